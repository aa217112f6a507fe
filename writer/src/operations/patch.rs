//! `PATCH` of an object (`kinto-http-api.md` §2.11).

use shared::error::{ApiError, Detail};

use super::{
    Operation, Outcome, Write, accounts, addressed, check_same_id, merge_problems,
    modified_meanwhile, no_such_object, sees_rights, write,
};
use crate::{
    authz,
    body::members,
    context::Ctx,
    patches::{Behavior, Patch, Shown},
    preconditions::Preconditions,
    service::ApiRequest,
};

pub(super) async fn patch(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    let resource = list.resource();
    let (path, old) = addressed(ctx, list, id).await?;
    if old.is_some() {
        authz::refuse_signed(ctx, list, Some(id))?;
    }
    let ((conditions, behavior), changes) =
        merge_problems(headers(request), Patch::parse(request, resource))?;
    let path = path?;
    let Some(old) = old else { return Err(no_such_object(&path)) };
    if !conditions.allow_write(Some(old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, Some(&old)));
    }
    let mut seen = ctx.acl(&path).await?.clone();
    if !sees_rights(ctx, &path, &seen) {
        seen.clear();
    }
    let max_bytes = ctx.app.config.listen.limits.max_body_bytes;
    let mut patched = changes.apply(&old, &seen, resource, max_bytes)?;
    // Of what is wrong with the result, the first is told.
    let problem = members::check(&mut patched.data, resource, "").into_iter().next();
    if let Some(problem) = problem {
        return Err(ApiError::Invalid(vec![problem]));
    }
    accounts::check_patched(operation, &old.data, &patched.data)?;
    check_same_id(Some(&patched.data), id)?;
    let shown = Shown::new(behavior, patched.sent, &old);
    let write_patched = Write {
        path,
        old: Some(old),
        data: Some(patched.data),
        posted: patched.posted,
        acl: patched.acl,
        replace_all: false,
        shown,
    };
    write(ctx, write_patched).await
}

/// What the headers say; all that is wrong with them is told together.
fn headers(request: &ApiRequest) -> Result<(Preconditions, Behavior), Vec<Detail>> {
    match (Preconditions::parse(&request.headers), Behavior::parse(&request.headers)) {
        (Ok(conditions), Ok(behavior)) => Ok((conditions, behavior)),
        (conditions, behavior) => {
            Err([conditions.err(), behavior.err()].into_iter().flatten().flatten().collect())
        }
    }
}
