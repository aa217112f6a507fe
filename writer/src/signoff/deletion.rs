//! What may be deleted, and what goes with it (`remote-settings.md` §1.14).

use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath},
};

use super::{
    Effect, Event, Situation, Status, Triple, noted,
    publish::{empty, erase},
    setup::{self, GROUPS},
    transition,
};
use crate::{
    context::Ctx,
    store::{memberships, objects},
};

/// A preview or destination cannot go while its source exists, nor a bucket that sources are
/// published into (D7).
///
/// # Errors
///
/// 403 `Collection is in use.`
pub async fn refuse_in_use(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let sources = match &path.list {
        ListPath::Collections(bucket) => {
            ctx.app.config.signer.resources.sources_of(bucket, &path.id)
        }
        ListPath::Buckets => sources_into(ctx, &path.id).await?,
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            Vec::new()
        }
    };
    for source in sources {
        let has_source = ctx.object(&source).await?.is_some();
        let now = Situation { has_source, ..Situation::new(Status::None) };
        transition(Event::DeleteTarget, &now).map_err(|refusal| refusal.error(path, "", None))?;
    }
    Ok(())
}

/// The sources of which something is, or would be, published into a bucket.
async fn sources_into(ctx: &mut Ctx<'_>, bucket: &Id) -> Result<Vec<ObjectPath>, ApiError> {
    let resources = &ctx.app.config.signer.resources;
    let mut sources = Vec::new();
    for (source, named) in resources.sources_into(bucket) {
        let ids = match named {
            Some(id) => vec![id.clone()],
            None => objects::collections_of(ctx.settled().await?, source).await?,
        };
        for id in ids {
            let Some(triple) = resources.of_source(source, &id) else { continue };
            if triple.targets().any(|target| target.bucket_id() == bucket.as_str()) {
                sources.push(triple.source);
            }
        }
    }
    Ok(sources)
}

/// A source is about to go, by itself or with its bucket: its groups go, its targets are emptied
/// with tombstones and signed, so that clients empty their copies; or they go, too, as if they had
/// never been.
///
/// # Errors
///
/// [`ApiError::Backend`] when signing fails.
pub async fn before_deletion(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let collections = match &path.list {
        ListPath::Collections(bucket) => vec![(bucket.clone(), path.id.clone())],
        ListPath::Buckets => {
            let ids = objects::collections_of(ctx.settled().await?, &path.id).await?;
            ids.into_iter().map(|id| (path.id.clone(), id)).collect()
        }
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            return Ok(());
        }
    };
    for (bucket, id) in collections {
        let Some(triple) = ctx.app.config.signer.resources.of_source(&bucket, &id) else {
            continue;
        };
        // Whatever its status: unreviewed changes go with it.
        if let Ok((_, Effect::Retract)) = transition(Event::Delete, &Situation::new(Status::None)) {
            retract(ctx, &triple).await?;
        }
    }
    Ok(())
}

async fn retract(ctx: &mut Ctx<'_>, triple: &Triple) -> Result<(), ApiError> {
    // An edit of a source that is made again must be noted again.
    ctx.edited.clear();
    let hard = ctx.app.config.signer.sign_off.hard_delete;
    for kind in GROUPS {
        let group = setup::group(&triple.source, kind)?;
        if let Some(old) = ctx.object(&group).await? {
            noted::delete(ctx, &group, old).await?;
            memberships::set(ctx.settled().await?, group.bucket_id(), &group.id, &[]).await?;
            if hard {
                objects::purge(ctx.settled().await?, &group).await?;
            }
        }
    }
    for target in triple.targets() {
        if hard {
            erase(ctx, target).await?;
        } else {
            empty(ctx, &triple.source, target).await?;
        }
    }
    Ok(())
}
