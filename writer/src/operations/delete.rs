//! `DELETE` of an object or of a list (`kinto-http-api.md` §2.12).

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::{
    error::{ApiError, Location},
    http::Reply,
    model::{Id, ListPath, ObjectPath, Timestamp},
};

use super::{
    Operation, Outcome, addressed, list::Listing, merge_problems, modified_meanwhile,
    no_such_object, require_collection,
};
use crate::{
    authz,
    body::check_ignored,
    context::{Change, Ctx},
    listing::{
        ListQuery, Params, alert,
        token::{self, Cursor, Token},
    },
    preconditions::{Preconditions, Verdict},
    signoff::deletion,
    store::{
        aces::{self, Acl},
        cache, list_sql, memberships,
        objects::{self, Object},
    },
};

pub(super) async fn delete(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let (path, old) = addressed(ctx, list, id).await?;
    if old.is_some() && !is_judged_by_source(list) {
        authz::refuse_signed(ctx, list, Some(id))?;
    }
    check_ignored(request)?;
    let conditions = Preconditions::parse(&request.headers).map_err(ApiError::Invalid)?;
    let path = path?;
    let Some(old) = old else { return Err(no_such_object(&path)) };
    if !conditions.allow_write(Some(old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, Some(&old)));
    }
    let wanted = wanted_timestamp(operation)?
        .filter(|wanted| *wanted > old.last_modified && !ctx.is_published(list, id));
    deletion::refuse_in_use(ctx, &path).await?;
    let tombstone = erase(ctx, &path, old, wanted).await?;
    let reply = Reply::json(StatusCode::OK, &json!({"data": tombstone.to_value()}));
    Ok(Outcome::Ready(reply.version(tombstone.last_modified)))
}

/// Whether sign-off tells if objects of the list may be deleted, by the sources that use them.
const fn is_judged_by_source(list: &ListPath) -> bool {
    matches!(list, ListPath::Buckets | ListPath::Collections(_))
}

/// `?last_modified=N`, quoted or not (§2.8.5).
fn wanted_timestamp(operation: &Operation) -> Result<Option<Timestamp>, ApiError> {
    let query = operation.request.query()?;
    let Some(text) = query.get("last_modified") else { return Ok(None) };
    let refuse = |text| Err(ApiError::invalid(Location::QueryString, "last_modified", text));
    match Timestamp::parse(text) {
        Err(_) => refuse(format!("\"{text}\" is not a number")),
        Ok(wanted) if wanted > Timestamp::LATEST => {
            refuse(format!("{wanted} is greater than maximum value {}", Timestamp::LATEST))
        }
        Ok(wanted) => Ok(Some(wanted)),
    }
}

/// How far a list runs ahead of the time of day by itself: by a millisecond for each object of a batch.
const MOST_AHEAD_MS: i64 = 60_000;

/// Replaces one object by a tombstone, and erases what is below it.
async fn erase(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    old: Object,
    wanted: Option<Timestamp>,
) -> Result<Object, ApiError> {
    if let ListPath::Buckets = path.list
        && let Some(latest) = ctx.clocks.latest_in(&path.id)
    {
        // Lists may have run ahead of the time of day, and their clocks go with the bucket: those of
        // a bucket that is made again must not begin before (`open_lists_below`). What somebody has
        // dated into the future is no reason to follow.
        ctx.clocks.advance(&path.list, latest.min(ctx.now.plus_millis(MOST_AHEAD_MS)));
    }
    let next = ctx.next_timestamp(&path.list, &path.id).await?;
    let timestamp = wanted.filter(|wanted| *wanted > next).unwrap_or(next);
    ctx.clocks.advance(&path.list, timestamp);
    // What sign-off does about a deleted source needs its records, so it comes first.
    deletion::before_deletion(ctx, path).await?;
    if let ListPath::Buckets = path.list {
        // The history's clock goes with the bucket, and is locked by that.
        ctx.hold_histories(&path.id).await?;
    }
    erase_below(ctx, path).await?;
    let tombstone = ctx.delete(path, timestamp).await?;
    ctx.changed(deletion(ctx, path.clone(), old, timestamp));
    Ok(tombstone)
}

/// Erases what is below an object, and what names it.
async fn erase_below(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let id = path.id.clone();
    match &path.list {
        ListPath::Buckets => {
            let tx = ctx.settled().await?;
            objects::erase_below(tx, path).await?;
            memberships::erase_bucket(tx, &id).await?;
            aces::erase(tx, path).await?;
            ctx.clocks.forget(|list| list.bucket_id() == id.as_str());
            ctx.forget(|known| known.bucket_id() == id.as_str() && known != path);
            ctx.forget_rights(path);
        }
        ListPath::Groups(bucket) => {
            memberships::set(ctx.settled().await?, bucket, &id, &[]).await?;
        }
        ListPath::Collections(bucket) => {
            let tx = ctx.settled().await?;
            objects::erase_below(tx, path).await?;
            aces::erase(tx, path).await?;
            let records = ListPath::Records(bucket.clone(), id);
            ctx.clocks.forget(|list| *list == records);
            ctx.forget(|known| known.list == records);
            ctx.forget_rights(path);
        }
        ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {}
    }
    Ok(())
}

fn deletion(ctx: &Ctx<'_>, path: ObjectPath, old: Object, timestamp: Timestamp) -> Change {
    Change {
        path,
        user_id: ctx.user.id.clone(),
        old: Some(old),
        new: None,
        timestamp,
        acl: Acl::new(),
        posted: Map::new(),
    }
}

pub(super) async fn delete_list(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let visible = authz::deletable(ctx, list).await?;
    require_collection(ctx, list).await?;
    if !is_judged_by_source(list) {
        authz::refuse_signed(ctx, list, None)?;
    }
    check_ignored(request)?;
    let sent = request.query()?;
    let conditions = Preconditions::parse(&request.headers);
    let (conditions, params) = merge_problems(conditions, Params::parse_delete(&sent))?;
    if let ListPath::History(bucket) = list {
        ctx.hold_histories(bucket).await?;
    }
    let mut current = ctx.hold(list).await?;
    if current == Timestamp::ZERO {
        // A list that nobody has asked for has its first timestamp when somebody does.
        current = ctx.now;
        ctx.clocks.advance(list, current);
    }
    if conditions.for_read(current) == Verdict::Failed {
        return Err(ApiError::ModifiedMeanwhile { existing: None, current: Some(current) });
    }
    let listing = Listing::new(ctx, list, visible, request);
    let query = ListQuery::new(params, listing.schema, ctx.now)?;
    let query = ListQuery { with_tombstones: false, ..query };
    let token = listing.token(ctx, &query)?;
    let (objects, next) = doomed(ctx, &listing, &query, token.as_ref()).await?;
    if let ListPath::Buckets = list {
        let ids: Result<Vec<Id>, _> = objects.iter().map(|old| stored_id(list, &old.id)).collect();
        ctx.check_emptied(ids?)?;
    }
    // All is checked before anything is written: a refusal deletes nothing.
    check_deletable(ctx, list, &objects).await?;
    use_up(ctx, token).await?;
    let tombstones = erase_list(ctx, list, objects).await?;
    let data: Vec<Value> = tombstones.iter().map(Object::to_value).collect();
    let reply = Reply::json(StatusCode::OK, &json!({"data": data}));
    let mut reply = alert(reply, &query).version(ctx.hold(list).await?);
    if let Some(after) = next {
        let token = usable_once(ctx, after).await?;
        reply = listing.with_next_page(ctx, reply, &sent, &query, &token);
    }
    Ok(Outcome::Ready(reply))
}

/// The objects of one page, and where the next one begins.
async fn doomed(
    ctx: &mut Ctx<'_>,
    listing: &Listing<'_>,
    query: &ListQuery,
    token: Option<&Token>,
) -> Result<(Vec<Object>, Option<Cursor>), ApiError> {
    let limit = ctx.app.config.listing.pages.of(query.limit);
    let select = listing.select(query, token.map(|token| &token.after), limit);
    let mut objects = Vec::new();
    let next = list_sql::read(ctx.settled().await?, select, |object| {
        objects.push(object);
        Ok(())
    })
    .await?;
    Ok((objects, next))
}

/// A token of a DELETE is valid once, and for a while (§2.12.3).
async fn use_up(ctx: &mut Ctx<'_>, token: Option<Token>) -> Result<(), ApiError> {
    let Some(token) = token else { return Ok(()) };
    let known = match &token.nonce {
        Some(nonce) => cache::take(ctx.settled().await?, nonce).await?,
        None => None,
    };
    known.map(|_| ()).ok_or_else(|| token::refusal("_token was already used or has expired."))
}

async fn usable_once(ctx: &mut Ctx<'_>, after: Cursor) -> Result<Token, ApiError> {
    let nonce = format!("pagination-token-{}", uuid::Uuid::new_v4());
    let validity = ctx.app.config.listing.token_validity;
    cache::put(ctx.settled().await?, &nonce, &Value::Null, validity).await?;
    Ok(Token { after, nonce: Some(nonce) })
}

async fn check_deletable(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    objects: &[Object],
) -> Result<(), ApiError> {
    if matches!(list, ListPath::Records(..) | ListPath::History(_)) {
        return Ok(());
    }
    for old in objects {
        if !is_judged_by_source(list) {
            authz::refuse_signed(ctx, list, Some(&old.id))?;
        }
        deletion::refuse_in_use(ctx, &list.object(stored_id(list, &old.id)?)).await?;
    }
    Ok(())
}

async fn erase_list(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    objects: Vec<Object>,
) -> Result<Vec<Object>, ApiError> {
    if matches!(list, ListPath::Records(..) | ListPath::History(_)) {
        return erase_records(ctx, list, objects).await;
    }
    let mut tombstones = Vec::new();
    for old in objects {
        let path = list.object(stored_id(list, &old.id)?);
        tombstones.push(erase(ctx, &path, old, None).await?);
    }
    Ok(tombstones)
}

/// All at once: a collection may hold many.
async fn erase_records(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    objects: Vec<Object>,
) -> Result<Vec<Object>, ApiError> {
    if objects.is_empty() {
        return Ok(objects);
    }
    let first = ctx.next_timestamps(list, objects.len()).await?;
    let ids: Vec<String> = objects.iter().map(|object| object.id.clone()).collect();
    let tx = ctx.settled().await?;
    objects::delete_all(tx, list, &ids, first).await?;
    aces::erase_all(tx, list, &ids).await?;
    ctx.changed_behind(list, 0, ids.len());
    let mut tombstones = Vec::new();
    for (offset, old) in (0..).zip(objects) {
        let path = list.object(stored_id(list, &old.id)?);
        let (id, last_modified) = (old.id.clone(), first.plus_millis(offset));
        tombstones.push(Object { id, last_modified, deleted: true, data: Map::new() });
        ctx.changed(deletion(ctx, path, old, last_modified));
    }
    Ok(tombstones)
}

fn stored_id(list: &ListPath, text: &str) -> Result<Id, ApiError> {
    list.parse_id(text).map_err(|error| ApiError::Internal(error.into()))
}
