//! `DELETE` of an object or of a list (`kinto-http-api.md` §2.12).

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::{
    error::{ApiError, Location},
    http::Reply,
    model::{Id, ListPath, ObjectPath, Timestamp},
};

use super::{
    Operation, Outcome, addressed, list::selection, modified_meanwhile, no_such_object,
    require_collection,
};
use crate::{
    authz::{self, Visible},
    context::{Change, Ctx},
    preconditions::{Preconditions, Verdict},
    signoff::effects,
    store::{
        aces, memberships,
        objects::{self, Object},
    },
};

pub(super) async fn delete(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    require_collection(ctx, list).await?;
    let (path, old) = addressed(ctx, list, id).await?;
    let conditions = Preconditions::parse(&request.headers).map_err(ApiError::Invalid)?;
    let Some(old) = old else { return Err(no_such_object(&path)) };
    if !conditions.allow_write(Some(old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, Some(&old)));
    }
    let wanted = wanted_timestamp(operation)?
        .filter(|wanted| *wanted > old.last_modified && !ctx.is_published(list, id));
    effects::refuse_in_use(ctx, &path).await?;
    let tombstone = erase(ctx, &path, old, wanted).await?;
    let reply = Reply::json(StatusCode::OK, &json!({"data": tombstone.to_value()}));
    Ok(Outcome::Ready(reply.version(tombstone.last_modified)))
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

/// Replaces one object by a tombstone, and erases what is below it.
async fn erase(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    old: Object,
    wanted: Option<Timestamp>,
) -> Result<Object, ApiError> {
    let next = ctx.next_timestamp(&path.list, &path.id).await?;
    let timestamp = wanted.filter(|wanted| *wanted > next).unwrap_or(next);
    ctx.clocks.advance(&path.list, timestamp);
    // What sign-off does about a deleted source needs its records, so it comes first.
    effects::before_deletion(ctx, path).await?;
    objects::erase_below(ctx.tx, path).await?;
    let id = path.id.clone();
    match &path.list {
        ListPath::Buckets => {
            memberships::erase_bucket(ctx.tx, &id).await?;
            ctx.clocks.forget(|list| list.bucket_id() == id.as_str());
        }
        ListPath::Groups(bucket) => memberships::set(ctx.tx, bucket, &id, &[]).await?,
        ListPath::Collections(bucket) => {
            let records = ListPath::Records(bucket.clone(), id);
            ctx.clocks.forget(|list| *list == records);
        }
        ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {}
    }
    aces::erase(ctx.tx, path).await?;
    let tombstone = objects::delete(ctx.tx, path, timestamp).await?;
    ctx.changed(Change { path: path.clone(), old: Some(old), new: None, posted: Map::new() });
    Ok(tombstone)
}

pub(super) async fn delete_list(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let visible = authz::deletable(ctx, list).await?;
    require_collection(ctx, list).await?;
    authz::refuse_signed(ctx, list, None)?;
    let conditions = Preconditions::parse(&request.headers).map_err(ApiError::Invalid)?;
    let mut selection = selection(&request.query()?)?;
    selection.with_tombstones = false;
    let current = ctx.clocks.hold(ctx.tx, list).await?;
    if conditions.for_read(current) == Verdict::Failed {
        return Err(ApiError::ModifiedMeanwhile { existing: None, current: Some(current) });
    }
    if let Visible::Only(ids) = visible {
        selection.ids = Some(ids);
    }
    let objects = objects::list(ctx.tx, list, &selection).await?;
    let tombstones = match list {
        ListPath::Records(..) | ListPath::History(_) => erase_records(ctx, list, objects).await?,
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Collections(_) | ListPath::Accounts => {
            // All is checked before anything is written: a refusal deletes nothing.
            for old in &objects {
                authz::refuse_signed(ctx, list, Some(&old.id))?;
                effects::refuse_in_use(ctx, &list.object(stored_id(list, &old.id)?)).await?;
            }
            let mut tombstones = Vec::new();
            for old in objects {
                let path = list.object(stored_id(list, &old.id)?);
                tombstones.push(erase(ctx, &path, old, None).await?);
            }
            tombstones
        }
    };
    let current = ctx.clocks.hold(ctx.tx, list).await?;
    let data: Vec<Value> = tombstones.iter().map(Object::to_value).collect();
    let reply = Reply::json(StatusCode::OK, &json!({"data": data}));
    Ok(Outcome::Ready(reply.version(current)))
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
    let publish = ctx.is_published(list, "");
    let first = ctx.clocks.take(ctx.tx, list, ctx.now, objects.len(), publish).await?;
    let ids: Vec<String> = objects.iter().map(|object| object.id.clone()).collect();
    objects::delete_all(ctx.tx, list, &ids, first).await?;
    let mut tombstones = Vec::new();
    for (offset, old) in (0..).zip(objects) {
        let path = list.object(stored_id(list, &old.id)?);
        aces::erase(ctx.tx, &path).await?;
        tombstones.push(Object {
            id: old.id.clone(),
            last_modified: first.plus_millis(offset),
            deleted: true,
            data: Map::new(),
        });
        ctx.changed(Change { path, old: Some(old), new: None, posted: Map::new() });
    }
    Ok(tombstones)
}

fn stored_id(list: &ListPath, text: &str) -> Result<Id, ApiError> {
    list.parse_id(text).map_err(|error| ApiError::Internal(error.into()))
}
