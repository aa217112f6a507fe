//! `GET` and `HEAD` of an object (`kinto-http-api.md` §2.9.1).

use http::StatusCode;
use shared::error::ApiError;

use super::{
    Operation, Outcome, addressed_path, modified_meanwhile, no_such_object, not_modified,
    object_reply, require_collection,
};
use crate::{
    authz, caching,
    context::Ctx,
    preconditions::{Preconditions, Verdict},
};

pub(super) async fn get(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let path = addressed_path(ctx, &operation.list, id).await?;
    if !authz::may_read_object(ctx, &path).await? {
        return Err(authz::denied(ctx));
    }
    require_collection(ctx, &operation.list).await?;
    let conditions = Preconditions::parse(&operation.request.headers).map_err(ApiError::Invalid)?;
    let Some(object) = ctx.object(&path).await? else {
        return Err(no_such_object(&path));
    };
    match conditions.for_read(object.last_modified) {
        Verdict::NotModified => return Ok(not_modified(object.last_modified)),
        Verdict::Failed => return Err(modified_meanwhile(ctx, &operation.list, Some(&object))),
        Verdict::Proceed => {}
    }
    let acl = ctx.acl(&path).await?.clone();
    let reply = object_reply(ctx, StatusCode::OK, &path, &object, &acl);
    let reply = caching::apply(ctx, &operation.list, reply).await?;
    Ok(Outcome::Ready(reply.version(object.last_modified)))
}
