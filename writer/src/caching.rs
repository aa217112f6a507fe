//! How long caches may keep what everybody may read (`kinto-http-api.md` §1.13).

use shared::{
    config::{cache_expires, kept},
    error::ApiError,
    http::Reply,
    model::ListPath,
};

use crate::context::Ctx;

/// The reply to a read of `list` or one of its objects, with what caches are told: nobody's
/// reading but everybody's is theirs to keep.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn apply(ctx: &mut Ctx<'_>, list: &ListPath, reply: Reply) -> Result<Reply, ApiError> {
    let lifetime = if ctx.user.id.is_none() { lifetime(ctx, list).await? } else { None };
    Ok(kept(reply, lifetime, ctx.now))
}

async fn lifetime(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<Option<u32>, ApiError> {
    let mut attribute = None;
    if let (ListPath::Records(..), Some(parent)) = (list, list.parent()) {
        attribute = ctx.object(&parent).await?.and_then(|parent| cache_expires(&parent.data));
    }
    Ok(ctx.app.config.service.lifetimes.of_list(list, attribute))
}
