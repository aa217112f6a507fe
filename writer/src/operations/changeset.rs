//! `GET …/collections/{c}/changeset`: what changed in a collection (`remote-settings.md` §3.3).

use http::{HeaderValue, StatusCode, header};
use shared::{
    error::ApiError,
    http::Reply,
    model::{Permission, Resource},
    wire::{ChangesetQuery, Detour, changeset_body, changeset_metadata, lifetime},
};

use super::{Operation, Outcome, monitor::asked};
use crate::{authz, context::Ctx, store::changes};

/// Metadata, timestamp and records are of one state of the database (D15).
pub(super) async fn changeset(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
) -> Result<Outcome, ApiError> {
    let list = &operation.list;
    let Some(path) = list.parent() else { return Err(ApiError::NoSuchEndpoint) };
    if !authz::may(ctx, Permission::Read, &path).await? {
        return Err(authz::denied(ctx));
    }
    let Some(collection) = ctx.object(&path).await? else {
        let id = path.id.to_string();
        return Err(ApiError::NoSuchParent { resource: Resource::Collection, id });
    };
    let query = ChangesetQuery::parse(&operation.request.query()?)?;
    let settings = &ctx.app.config.changes;
    let asked_limit = query.limit.and_then(|limit| u64::try_from(limit).ok());
    let tx = ctx.settled().await?;
    let state = changes::state(tx, list).await?;
    if query.since.is_some_and(|since| since < state.tombstone_horizon) {
        let reply =
            Detour::DropSince.reply(&settings.redirects, asked(&operation.request), ctx.now);
        return Ok(Outcome::Ready(reply));
    }
    let timestamp = state.timestamp.unwrap_or(collection.last_modified);
    let objects = changes::since(tx, list, query.since, settings.pages.of(asked_limit)).await?;
    let changes: Vec<String> = objects.iter().map(|object| object.to_value().to_string()).collect();
    let changes: Vec<&str> = changes.iter().map(String::as_str).collect();
    let (bucket, last_modified) = (path.bucket_id(), collection.last_modified);
    let metadata = changeset_metadata(bucket, &path.id, last_modified, collection.data);
    let body = changeset_body(&metadata, timestamp, &changes);
    let reply = Reply::json_bytes(StatusCode::OK, body)
        .header_text(header::LAST_MODIFIED, &last_modified.http_date());
    let policy = settings.lifetimes.of(bucket, &path.id);
    let ttl = lifetime(&query.expected, timestamp, policy);
    Ok(Outcome::Ready(kept(ctx, reply, ttl)))
}

/// What somebody may read as who he is, caches must not keep for others.
fn kept(ctx: &Ctx<'_>, reply: Reply, ttl: Option<u32>) -> Reply {
    let never = HeaderValue::from_static("no-cache, no-store");
    match ttl {
        _ if ctx.user.id.is_some() => reply.header(header::CACHE_CONTROL, never),
        Some(ttl) => reply.lifetime(ttl, ctx.now),
        None => reply,
    }
}
