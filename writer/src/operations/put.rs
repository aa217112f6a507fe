//! `PUT` of an object: create it, or replace it (`kinto-http-api.md` §2.10).

use shared::{error::ApiError, model::Permission};

use super::{
    Operation, Outcome, Write, addressed_path, check_same_id, merge_problems, modified_meanwhile,
    require_bucket, write,
};
use crate::{authz, body::ObjectBody, context::Ctx, patches::Shown, preconditions::Preconditions};

pub(super) async fn put(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let conditions = Preconditions::parse(&request.headers);
    let path = addressed_path(ctx, list, id);
    let old = match &path {
        Ok(path) => ctx.object(path).await?,
        Err(_) => None,
    };
    // With `If-None-Match: *` the right to create is needed, also where the object exists.
    let creates = old.is_none() || conditions.as_ref().is_ok_and(Preconditions::wants_new);
    let allowed = match &path {
        Ok(path) if !creates => authz::may(ctx, Permission::Write, path).await?,
        _ => authz::may_create(ctx, list).await?,
    };
    if !allowed {
        return Err(authz::denied(ctx));
    }
    authz::refuse_signed(ctx, list, Some(id))?;
    let body = ObjectBody::parse(&request.body, list.resource());
    let (conditions, body) = merge_problems(conditions, body)?;
    let path = path?;
    if old.is_none() {
        require_bucket(ctx, list).await?;
    }
    if !conditions.allow_write(old.as_ref().map(|old| old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, old.as_ref()));
    }
    check_same_id(body.data.as_ref(), id)?;
    let posted = body.data.clone().unwrap_or_default();
    let (acl, shown) = (body.permissions, Shown::default());
    write(ctx, Write { path, old, data: body.data, posted, acl, replace_all: true, shown }).await
}
