//! What sign-off writes is a change like any other, of the user `plugin:remote-settings`: history
//! and quotas know of it (`remote-settings.md` §1.18).

use std::collections::HashMap;

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Timestamp},
};

use super::effects::PLUGIN_USER;
use crate::{
    context::{Change, Ctx},
    notifications, plugins,
    store::{
        aces::{self, Acl},
        objects::{self, Difference, Object},
    },
};

/// Creates or replaces an object. Its rights are given before, so that its history tells them.
pub(super) async fn put(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    data: Map<String, Value>,
) -> Result<(), ApiError> {
    let timestamp = ctx.next_timestamp(&path.list, &path.id).await?;
    let old = ctx.object(path).await?;
    let new = ctx.put(path, timestamp, data).await?;
    note(ctx, path, old, Some(new), timestamp).await
}

/// Replaces an object by a tombstone.
pub(super) async fn delete(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    old: Object,
) -> Result<(), ApiError> {
    let timestamp = ctx.next_timestamp(&path.list, &path.id).await?;
    ctx.delete(path, timestamp).await?;
    note(ctx, path, Some(old), None, timestamp).await
}

async fn note(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    old: Option<Object>,
    new: Option<Object>,
    timestamp: Timestamp,
) -> Result<(), ApiError> {
    if plugins::watch(&ctx.app.config, path) || notifications::watch(ctx, path).await? {
        let acl = ctx.acl(path).await?.clone();
        ctx.changed(change(path.clone(), old, new, timestamp, acl));
    }
    Ok(())
}

fn change(
    path: ObjectPath,
    old: Option<Object>,
    new: Option<Object>,
    timestamp: Timestamp,
    acl: Acl,
) -> Change {
    let user_id = Some(PLUGIN_USER.to_owned());
    Change { path, user_id, old, new, timestamp, acl, posted: Map::new() }
}

/// The records of a list, by id, that are about to be changed by a statement; `None` where nobody
/// wants to know.
pub(super) async fn before(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    difference: &Difference,
) -> Result<Option<HashMap<String, Object>>, ApiError> {
    let Some(collection) = list.parent() else { return Ok(None) };
    let watched = plugins::watch(&ctx.app.config, &collection)
        || notifications::watch(ctx, &collection).await?;
    if !watched {
        return Ok(None);
    }
    let found = read(ctx, list, difference.deleted.iter().chain(&difference.replaced)).await?;
    Ok(Some(found.into_iter().map(|(path, object)| (path.id.to_string(), object)).collect()))
}

/// Notes what a statement has changed: tombstones from `first` on, then the records as they are.
pub(super) async fn after(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    difference: &Difference,
    first: Timestamp,
    before: Option<HashMap<String, Object>>,
) -> Result<(), ApiError> {
    let Some(mut before) = before else { return Ok(()) };
    for (offset, id) in (0..).zip(&difference.deleted) {
        let (path, old) = (list.object(stored(id)?), before.remove(id));
        ctx.changed(change(path, old, None, first.plus_millis(offset), Acl::new()));
    }
    let ids = difference.replaced.iter().chain(&difference.created);
    let mut written = read(ctx, list, ids).await?;
    written.sort_by_key(|(_, object)| object.last_modified);
    let paths: Vec<&ObjectPath> = written.iter().map(|(path, _)| path).collect();
    let mut acls = aces::get_all(ctx.settled().await?, &paths).await?;
    for (path, new) in written {
        let (old, acl) = (before.remove(&new.id), acls.remove(&path).unwrap_or_default());
        let timestamp = new.last_modified;
        ctx.changed(change(path, old, Some(new), timestamp, acl));
    }
    Ok(())
}

/// The live records with these ids.
async fn read(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    ids: impl Iterator<Item = &String>,
) -> Result<Vec<(ObjectPath, Object)>, ApiError> {
    let paths: Vec<ObjectPath> =
        ids.map(|id| Ok(list.object(stored(id)?))).collect::<Result<_, ApiError>>()?;
    let paths: Vec<&ObjectPath> = paths.iter().collect();
    objects::get_all(ctx.settled().await?, &paths).await
}

fn stored(id: &str) -> Result<Id, ApiError> {
    Id::new(id).map_err(|error| ApiError::Internal(error.into()))
}
