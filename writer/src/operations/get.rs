//! `GET` and `HEAD` of an object (`kinto-http-api.md` §2.9.1).

use http::StatusCode;
use serde_json::{Value, json};
use shared::{error::ApiError, http::Reply};

use super::{
    Operation, Outcome, addressed_path, modified_meanwhile, no_such_object, not_modified,
    object_reply, require_collection, require_readable,
};
use crate::{
    body::check_ignored,
    caching,
    context::Ctx,
    listing::Selection,
    preconditions::{Preconditions, Verdict},
    store::objects::Object,
};

pub(super) async fn get(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let path = addressed_path(ctx, &operation.list, id);
    require_readable(ctx, &operation.list, path.as_ref().ok()).await?;
    require_collection(ctx, &operation.list).await?;
    check_ignored(&operation.request)?;
    let conditions = Preconditions::parse(&operation.request.headers).map_err(ApiError::Invalid)?;
    let path = path?;
    let Some(object) = ctx.object(&path).await? else {
        return Err(no_such_object(&path));
    };
    match conditions.for_read(object.last_modified) {
        Verdict::NotModified => return Ok(not_modified(object.last_modified)),
        Verdict::Failed => return Err(modified_meanwhile(ctx, &operation.list, Some(&object))),
        Verdict::Proceed => {}
    }
    let reply = if let Some(selection) = Selection::of_object(&operation.request.query()?) {
        selected(&object, &selection)
    } else {
        let acl = ctx.acl(&path).await?.clone();
        object_reply(ctx, StatusCode::OK, &path, &object, &acl)
    };
    let reply = caching::apply(ctx, &operation.list, reply).await?;
    Ok(Outcome::Ready(reply.version(object.last_modified)))
}

/// With `_fields`, permissions are not among what is shown (§3.7.2).
fn selected(object: &Object, selection: &Selection) -> Reply {
    let data = object.to_value().as_object().map(|members| selection.of(members));
    Reply::json(StatusCode::OK, &json!({"data": data.map_or(Value::Null, Value::from)}))
}
