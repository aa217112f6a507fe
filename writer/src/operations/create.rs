//! `POST` to a list (`kinto-http-api.md` §2.10).

use http::StatusCode;
use serde_json::Value;
use shared::{
    error::ApiError,
    model::{Id, ListPath},
};

use super::{
    Operation, Outcome, Write, checked_id, id_for, merge_problems, modified_meanwhile,
    object_reply, require_bucket, store,
};
use crate::{authz, body::ObjectBody, context::Ctx, patches::Shown, preconditions::Preconditions};

pub(super) async fn create(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let creates = authz::may_create(ctx, list).await?;
    let old = match operation.id_hint().as_deref().map(|id| list.parse_id(id)) {
        Some(Ok(id)) => ctx.object(&list.object(id)).await?,
        _ => None,
    };
    let allowed = match &old {
        // Nothing is modified, so it is a read: of that very object (§4.3).
        Some(old) => {
            let path = list.object(checked_id(list, &old.id)?);
            authz::may_read_object(ctx, &path).await?
        }
        None => creates,
    };
    if !allowed {
        return Err(authz::denied(ctx));
    }
    let (conditions, body) = merge_problems(
        Preconditions::parse(&request.headers),
        ObjectBody::parse(&request.body, list.resource()),
    )?;
    let sent_id = body.data.as_ref().and_then(|data| data.get("id"));
    let has_own_id = sent_id.is_some();
    let id = match sent_id {
        None => {
            let id = generate_id(ctx, list)?;
            if let ListPath::Records(..) = list {
                ctx.is_new(&list.object(id.clone()));
            }
            ctx.clocks.make_up(&id);
            id
        }
        Some(id) => posted_id(ctx, list, id)?,
    };
    authz::refuse_signed(ctx, list, Some(&id))?;
    let path = list.object(id);
    let Some(old) = old else {
        require_bucket(ctx, list).await?;
        if !conditions.allow_write(None) {
            return Err(modified_meanwhile(ctx, list, None));
        }
        let posted = body.data.clone().unwrap_or_default();
        let acl = body.permissions;
        let data = body.data;
        let shown = Shown::default();
        let mut new = Write { path, old: None, data, posted, acl, replace_all: true, shown };
        new.check(ctx, has_own_id).await?;
        return store(ctx, new).await;
    };
    if !conditions.allow_write(Some(old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, Some(&old)));
    }
    let acl = ctx.acl(&path).await?.clone();
    let reply = object_reply(ctx, StatusCode::OK, &path, &old, &acl);
    Ok(Outcome::Ready(reply.version(old.last_modified)))
}

/// An id that cannot be one is told to everybody, before all else that is wrong (§2.3.4).
pub(super) fn check_sent_id(ctx: &Ctx<'_>, operation: &Operation) -> Result<(), ApiError> {
    let body: Value = serde_json::from_slice(&operation.request.body).unwrap_or_default();
    match body.get("data").and_then(|data| data.get("id")) {
        None => Ok(()),
        Some(id) => posted_id(ctx, &operation.list, id).map(drop),
    }
}

fn posted_id(ctx: &Ctx<'_>, list: &ListPath, id: &Value) -> Result<Id, ApiError> {
    id_for(ctx, list, id.as_str().unwrap_or_default())
}

/// By the resource's generator (§2.3.2).
fn generate_id(ctx: &Ctx<'_>, list: &ListPath) -> Result<Id, ApiError> {
    let generators = &ctx.app.config.service.generators;
    generators.generate(list.resource()).map_err(|error| ApiError::Internal(error.into()))
}
