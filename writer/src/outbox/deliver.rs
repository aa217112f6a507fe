//! One attempt: an entry is taken, carried out, and settled.

use deadpool_postgres::ClientWrapper;
use shared::error::ApiError;
use tokio::time::timeout;

use super::{Failure, Kind, Remedy, purge, slack, webhook};
use crate::{
    app::App,
    store::outbox::{self, Claimed},
};

/// Delivers the oldest entry that is due for `target`; whether there was one.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away. What was taken is taken again later, then.
pub(super) async fn next(app: &App, target: &str) -> Result<bool, ApiError> {
    let kinds = Kind::ALL.map(Kind::name);
    let settings = &app.config.outbox;
    // No connection is held while the world outside is waited for.
    let claimed = outbox::claim(&*app.pool.get().await?, target, &kinds, settings.lease()).await?;
    let Some(mut entry) = claimed else { return Ok(false) };
    if entry.kind == Kind::Purge.name() {
        // Publications may come faster than an API takes calls.
        outbox::merge_keys(&*app.pool.get().await?, &mut entry).await?;
    }
    let result = if attempts(&entry) > settings.max_attempts {
        // Each attempt ended the process, or took the database away.
        Err(Failure::permanent("no attempt came to an end"))
    } else {
        let late = Failure::new(format!("no end after {:?}", settings.timeout));
        timeout(settings.timeout, carry_out(app, &entry)).await.unwrap_or(Err(late))
    };
    settle(app, &*app.pool.get().await?, &entry, result).await?;
    Ok(true)
}

async fn carry_out(app: &App, entry: &Claimed) -> Result<(), Failure> {
    match Kind::ALL.into_iter().find(|kind| kind.name() == entry.kind) {
        Some(Kind::Mail) => match &app.outbox.mailer {
            Some(mailer) => mailer.deliver(entry).await,
            None => Err(Failure::new("mail is not switched on (includes: kinto_emailer)")),
        },
        Some(Kind::Slack) => slack::deliver(app, entry).await,
        Some(Kind::Webhook) => webhook::deliver(app, entry).await,
        Some(Kind::Purge) => purge::deliver(app, entry).await,
        None => Err(Failure::permanent("a kind that is not known")),
    }
}

async fn settle(
    app: &App,
    client: &ClientWrapper,
    entry: &Claimed,
    result: Result<(), Failure>,
) -> Result<(), ApiError> {
    let settings = &app.config.outbox;
    let failure = match result {
        Ok(()) => {
            app.metrics.outbox.attempted(&entry.kind, "delivered");
            return outbox::delivered(client, &entry.id).await;
        }
        Err(failure) => failure,
    };
    let Failure { text: error, remedy } = failure;
    let (id, target, attempts) = (&entry.id, &entry.target, attempts(entry));
    let wait = settings.wait(attempts);
    let wait = match remedy {
        Remedy::Split(payloads) => {
            app.metrics.outbox.attempted(&entry.kind, "split");
            return outbox::split(client, entry, payloads).await;
        }
        Remedy::None => None,
        Remedy::Retry => Some(wait),
        // Half of a wait may be taken away again.
        Remedy::RetryAfter(asked) => {
            Some(wait.max(asked.saturating_mul(2).min(settings.longest_wait)))
        }
    };
    if let Some(wait) = wait.filter(|_| attempts < settings.max_attempts) {
        app.metrics.outbox.attempted(&entry.kind, "failed");
        tracing::warn!(id, target, attempts, error, "not delivered, to be repeated");
        return outbox::postpone(client, entry, wait, &error).await;
    }
    app.metrics.outbox.attempted(&entry.kind, "dead");
    tracing::error!(id, target, attempts, error, "given up: `outbox list` shows it");
    outbox::bury(client, entry, &error).await
}

fn attempts(entry: &Claimed) -> u32 {
    u32::try_from(entry.attempts).unwrap_or(u32::MAX)
}
