//! What PUT, PATCH and POST share: an object is written with its rights, a group's members, and a
//! timestamp (`kinto-http-api.md` §2.8, §2.10).

use http::StatusCode;
use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath, Permission, Timestamp},
};

use super::{Outcome, accounts};
use crate::{
    context::{Change, Ctx},
    locks, notifications,
    patches::Shown,
    schema,
    store::{
        aces::Acl,
        memberships,
        objects::{self, Object},
    },
};

/// An object to be written: what the client sent, checked.
pub(super) struct Write {
    pub(super) path: ObjectPath,
    pub(super) old: Option<Object>,
    /// The members that will be stored; `None` keeps the old ones.
    pub(super) data: Option<Map<String, Value>>,
    /// The members as posted.
    pub(super) posted: Map<String, Value>,
    /// The rights to replace.
    pub(super) acl: Acl,
    /// Whether rights that were not sent are emptied (PUT) or kept (PATCH).
    pub(super) replace_all: bool,
    /// What the client wants to see of it.
    pub(super) shown: Shown,
}

impl Write {
    /// Validates what will be stored against the schemas of its parents. An id that was made for
    /// the object is none of the client's members (§2.13.2).
    pub(super) async fn check(
        &mut self,
        ctx: &mut Ctx<'_>,
        has_own_id: bool,
    ) -> Result<(), ApiError> {
        let old = self.old.as_ref().map(|old| &old.data);
        let data = self.data.get_or_insert_with(|| old.cloned().unwrap_or_default());
        schema::enforce(ctx, &self.path, has_own_id, data).await?;
        notifications::check(ctx.app, &self.path, data)
    }
}

/// Writes an object that its parents' schemas accept.
pub(super) async fn write(ctx: &mut Ctx<'_>, mut write: Write) -> Result<Outcome, ApiError> {
    write.check(ctx, true).await?;
    store(ctx, write).await
}

/// Writes an object with its permissions, its groups' members, and a new timestamp.
pub(super) async fn store(ctx: &mut Ctx<'_>, write: Write) -> Result<Outcome, ApiError> {
    let Write { path, old, data, posted, acl, replace_all, shown } = write;
    let mut data = data.or_else(|| old.as_ref().map(|old| old.data.clone())).unwrap_or_default();
    data.remove("id");
    let wanted = data.remove("last_modified").and_then(|value| value.as_i64());
    accounts::check_stored(&path, &data)?;
    let timestamp = assign_timestamp(ctx, &path, old.as_ref(), wanted).await?;
    if let ListPath::Groups(bucket) = &path.list {
        let members = data.get("members").and_then(Value::as_array);
        let members: Vec<String> = members
            .into_iter()
            .flatten()
            .filter_map(|member| member.as_str().map(str::to_owned))
            .collect();
        memberships::set(ctx.settled().await?, bucket, &path.id, &members).await?;
    }
    let new = ctx.put(&path, timestamp, data).await?;
    let acl = write_acl(ctx, &path, acl, replace_all).await?;
    if old.is_none() {
        open_lists_below(ctx, &path).await?;
    }
    let status = if old.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    ctx.changed(Change {
        path: path.clone(),
        user_id: ctx.user.id.clone(),
        old,
        new: Some(new.clone()),
        timestamp,
        acl: acl.clone(),
        posted,
    });
    Ok(Outcome::Written { status, path, object: new, acl, shown })
}

/// Makes an object that a request takes for granted: empty, the user's, and whatever schemas say
/// (as Kinto does).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn make(ctx: &mut Ctx<'_>, path: ObjectPath) -> Result<Outcome, ApiError> {
    let (posted, acl, shown) = (Map::new(), Acl::new(), Shown::default());
    let new = Write { path, old: None, data: None, posted, acl, replace_all: false, shown };
    store(ctx, new).await
}

/// Rule of §2.8.4. A published object always takes the clock's next timestamp: one that a client
/// chose could hide a change from others.
async fn assign_timestamp(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    old: Option<&Object>,
    wanted: Option<i64>,
) -> Result<Timestamp, ApiError> {
    let list_time = ctx.hold(&path.list).await?;
    let wanted = wanted.map(Timestamp::from_millis).filter(|wanted| {
        *wanted != list_time
            && old.is_none_or(|old| *wanted > old.last_modified)
            && !ctx.is_published(&path.list, &path.id)
    });
    match wanted {
        None => ctx.next_timestamp(&path.list, &path.id).await,
        Some(wanted) if wanted > list_time => {
            ctx.clocks.advance(&path.list, wanted);
            Ok(wanted)
        }
        Some(wanted) => {
            if objects::timestamp_is_taken(ctx.settled().await?, path, wanted).await? {
                return Err(ApiError::Constraint);
            }
            Ok(wanted)
        }
    }
}

/// Replaces what was sent and, with `explicit_permissions`, makes the user a writer (§2.10.5-6).
async fn write_acl(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    mut acl: Acl,
    replace_all: bool,
) -> Result<Acl, ApiError> {
    if replace_all && !acl.is_empty() {
        for permission in Permission::of(path.resource()) {
            acl.entry(permission.name()).or_default();
        }
    }
    let mut stored = ctx.acl(path).await?.clone();
    for (permission, mut principals) in acl {
        principals.sort();
        principals.dedup();
        stored.insert(permission, principals);
    }
    if ctx.app.config.explicit_permissions {
        let user = accounts::stands_for(ctx, path).unwrap_or_else(|| ctx.user.name().to_owned());
        let writers = stored.entry(Permission::Write.name()).or_default();
        if !writers.contains(&user) {
            writers.push(user);
        }
    }
    stored.retain(|_, principals| !principals.is_empty());
    ctx.put_acl(path, stored.clone()).await?;
    Ok(stored)
}

async fn open_lists_below(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let parent = ctx.hold(&path.list).await?;
    for list in locks::lists_below(path) {
        ctx.open_list(&list, parent).await?;
    }
    Ok(())
}
