//! May they do that here (`kinto-http-api.md` §4).

use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath, Permission, Resource, granting},
};

use crate::{
    config::Grant,
    context::Ctx,
    operations,
    store::{aces, history},
};

/// What of a list the user may see or delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visible {
    /// All of it.
    All,
    /// Only these ids.
    Only(Vec<String>),
}

/// 401 for anonymous requests, else 403.
pub fn denied(ctx: &Ctx<'_>) -> ApiError {
    if ctx.user.id.is_some() { ApiError::Forbidden } else { ApiError::MissingAuth }
}

/// Whether settings, the object's own entries or those of its parents grant `wanted`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn may(
    ctx: &mut Ctx<'_>,
    wanted: Permission,
    path: &ObjectPath,
) -> Result<bool, ApiError> {
    let by_settings: &[Grant] =
        if wanted == Permission::Read { &[Grant::Read, Grant::Write] } else { &[Grant::Write] };
    if settings_grant(ctx, path.resource(), by_settings) {
        return Ok(true);
    }
    if wanted == Permission::Write && !operations::may_be_written(ctx, path) {
        return Ok(false);
    }
    holds(ctx, &granting(wanted, path)).await
}

/// Whether the object's own entries or those of its parents grant `wanted`, whatever the settings
/// say, which are about the object itself and nothing below it (§4.8).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn is_granted(
    ctx: &mut Ctx<'_>,
    wanted: Permission,
    path: &ObjectPath,
) -> Result<bool, ApiError> {
    holds(ctx, &granting(wanted, path)).await
}

/// Whether the user has any one of these rights. The lists were read when the transaction began:
/// this costs no query, also in a batch.
async fn holds(ctx: &mut Ctx<'_>, rights: &[(ObjectPath, Permission)]) -> Result<bool, ApiError> {
    let user = ctx.user.clone();
    if user.is_job {
        return Ok(true);
    }
    for (object, permission) in rights {
        let principals = ctx.acl(object).await?.get(permission.name());
        if principals.is_some_and(|list| list.iter().any(|principal| user.is(principal))) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a single object may be read: rights to create below it let its attributes be seen, but
/// not its list (§4.2).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn may_read_object(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<bool, ApiError> {
    if may(ctx, Permission::Read, path).await? {
        return Ok(true);
    }
    let creating: Vec<_> =
        own_rights(path.resource()).iter().map(|right| (path.clone(), *right)).collect();
    holds(ctx, &creating).await
}

/// Whether the user is told that an object of the list is missing: whoever could read it is
/// (§2.5.1). A setting about the parent does not reach here.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn may_miss(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<bool, ApiError> {
    let by_settings: &[Grant] = match list.resource() {
        // Nothing is above a bucket that could be read.
        Resource::Bucket => &[Grant::Write],
        Resource::Group
        | Resource::Collection
        | Resource::Record
        | Resource::Account
        | Resource::History => &[Grant::Read, Grant::Write],
    };
    if settings_grant(ctx, list.resource(), by_settings) {
        return Ok(true);
    }
    match list.parent() {
        Some(parent) => holds(ctx, &granting(Permission::Read, &parent)).await,
        None => Ok(false),
    }
}

/// Whether the user may create objects in the list.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn may_create(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<bool, ApiError> {
    let resource = list.resource();
    let by_settings: &[Grant] = match resource {
        // `bucket_write_principals` is about existing buckets (§4.8).
        Resource::Bucket => &[Grant::Create],
        Resource::Group | Resource::Collection | Resource::Record | Resource::Account => {
            &[Grant::Create, Grant::Write]
        }
        Resource::History => &[],
    };
    if settings_grant(ctx, resource, by_settings) {
        return Ok(true);
    }
    match (list.parent(), Permission::to_create(resource)) {
        (Some(parent), Some(wanted)) => holds(ctx, &granting(wanted, &parent)).await,
        _ => Ok(false),
    }
}

/// What of the list the user may read (§4.4).
///
/// # Errors
///
/// 401 or 403 when nothing, and nothing may be created there either.
pub async fn readable(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<Visible, ApiError> {
    let rights: Vec<&str> = own_rights(list.resource()).iter().map(|right| right.name()).collect();
    visible(ctx, list, Permission::Read, &rights).await
}

/// What of the list the user may delete.
///
/// # Errors
///
/// 401 or 403 as above.
pub async fn deletable(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<Visible, ApiError> {
    visible(ctx, list, Permission::Write, &[Permission::Write.name()]).await
}

async fn visible(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    wanted: Permission,
    rights: &[&str],
) -> Result<Visible, ApiError> {
    if *list == ListPath::Accounts {
        return operations::visible_accounts(ctx, wanted, rights).await;
    }
    let by_settings: &[Grant] =
        if wanted == Permission::Read { &[Grant::Read] } else { &[Grant::Write] };
    let by_write = list.resource() != Resource::Bucket
        && settings_grant(ctx, list.resource(), &[Grant::Write]);
    if by_write || settings_grant(ctx, list.resource(), by_settings) {
        return Ok(Visible::All);
    }
    if let Some(parent) = list.parent()
        && holds(ctx, &granting(wanted, &parent)).await?
    {
        return Ok(Visible::All);
    }
    let tx = ctx.settled().await?;
    if let ListPath::History(bucket) = list {
        // Which entries are theirs is asked with the list itself, and may be very many.
        let reads = wanted == Permission::Read
            && history::has_reader(tx, bucket, &ctx.user.principals).await?;
        return if reads { Ok(Visible::Only(Vec::new())) } else { Err(denied(ctx)) };
    }
    let ids = aces::shared_ids(tx, list, rights, &ctx.user.principals).await?;
    if !ids.is_empty() || may_create(ctx, list).await? {
        return Ok(Visible::Only(ids));
    }
    Err(denied(ctx))
}

/// Every right of an object's own list: each lets the object itself be seen.
const fn own_rights(resource: Resource) -> &'static [Permission] {
    Permission::of(resource)
}

/// A setting about the URL's own kind of object; it does not reach below (§4.8).
pub fn settings_grant(ctx: &Ctx<'_>, resource: Resource, grants: &[Grant]) -> bool {
    grants.iter().any(|grant| {
        let principals = ctx.app.config.principals.get(&(resource, *grant));
        principals.is_some_and(|list| list.iter().any(|principal| ctx.user.is(principal)))
    })
}

/// Nobody writes previews and destinations but sign-off (D2). Whether buckets and collections may be
/// deleted there depends on their sources: `signoff::deletion` tells.
///
/// # Errors
///
/// 401 or 403.
pub fn refuse_signed(ctx: &Ctx<'_>, list: &ListPath, id: Option<&str>) -> Result<(), ApiError> {
    let settings = &ctx.app.config.signer;
    let resources = &settings.resources;
    let signed = match (list, id) {
        (ListPath::Buckets, Some(id)) => resources.is_signed_bucket(id),
        (ListPath::Buckets, None) | (ListPath::Accounts | ListPath::History(_), _) => false,
        (ListPath::Collections(bucket), Some(id)) => {
            resources.role(bucket, id) == Some(crate::signoff::Role::Signed)
        }
        (ListPath::Groups(bucket), _) | (ListPath::Collections(bucket), None) => {
            resources.is_signed_bucket(bucket)
        }
        (ListPath::Records(bucket, collection), _) => {
            resources.role(bucket, collection) == Some(crate::signoff::Role::Signed)
        }
    };
    let trusted =
        settings.sign_off.destination_writers.iter().any(|principal| ctx.user.is(principal));
    if signed && !trusted { Err(denied(ctx)) } else { Ok(()) }
}
