//! What a change entails: the order of this file is the order of things.
//!
//! After each operation, sign-off: a batch is judged in sequence, each request on the state that
//! the former ones left (D1). Once before the commit, signatures, the outbox, quotas, history and the
//! clocks.

use shared::error::ApiError;

use crate::{
    context::Ctx,
    failpoint, notifications,
    operations::Outcome,
    plugins::{history, quotas},
    purge,
    signoff::{
        effects,
        events::{Action, ReviewKind},
        publish,
    },
};

/// Draws the consequences of the changes from the `first` on.
///
/// # Errors
///
/// A refusal of the workflow, which ends the whole request.
pub async fn after_operation(
    ctx: &mut Ctx<'_>,
    first: usize,
    outcome: &mut Outcome,
) -> Result<(), ApiError> {
    if ctx.app.config.signer.resources.is_empty() {
        return Ok(());
    }
    let changes = ctx.changes[first..].to_vec();
    let mut moved = false;
    for change in &changes {
        moved |= effects::after_change(ctx, change).await?;
    }
    failpoint::at("judged").await;
    // The client sees the final state, and its `ETag`, not the command that it sent (D12).
    if moved && let Outcome::Written { path, object, acl, .. } = outcome {
        if let Some(now) = ctx.object(path).await? {
            *object = now;
        }
        acl.clone_from(ctx.acl(path).await?);
    }
    Ok(())
}

/// The last steps of a transaction, and its end.
///
/// # Errors
///
/// [`ApiError::Backend`] when signing fails; 507 when a quota is exceeded.
pub async fn commit(ctx: &mut Ctx<'_>) -> Result<(), ApiError> {
    publish::sign_all(ctx).await?;
    failpoint::at("signed").await;
    // Before the locks of the next two: it may have to read groups.
    let told = notifications::append(ctx).await?;
    quotas::charge(ctx).await?;
    history::append(ctx).await?;
    failpoint::at("before commit").await;
    // The last to be written: its delay counts from here.
    let purged = purge::append(ctx);
    ctx.finish().await?;
    if told {
        ctx.app.outbox.wake();
    }
    if purged {
        ctx.app.outbox.wake_after(ctx.app.config.purge.delay);
    }
    ctx.actions.iter().for_each(Action::log);
    for event in ctx.review_events.iter().filter(|event| event.kind == ReviewKind::Approved) {
        let changes = event.changes.unwrap_or_default();
        ctx.app.metrics.approved(&event.triple.destination, changes.count);
    }
    Ok(())
}
