//! The chains behind signatures on their way to readers, which serve them to clients: those of our
//! keys, and those of signing services, which were fetched to be checked.
//!
//! Ours are published when the writer starts and when it reads its keys again, before anything is
//! signed with them; and once more in the transaction of a signature that names one of which this
//! is not known: a signature is never published without its chain.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use shared::{
    certificates::Ends,
    chain::{Chain, Role},
    error::{ApiError, with_causes},
    model::Timestamp,
    signature::ContentSignature,
    store::Tx,
    wire::chain_path,
};
use tokio::time::sleep;

use crate::{app::App, context::Ctx, store::chains};

/// How often all is published again: the database may have been restored from a backup.
const AGAIN: Duration = Duration::from_hours(1);
/// Likewise, after a failure.
const RETRY: Duration = Duration::from_mins(1);
/// A chain is kept for so long after its end, in milliseconds: what names it says so by itself.
const KEPT_MS: i64 = 90 * 24 * 3_600 * 1_000;

/// A chain, and its URL in signatures.
#[derive(Debug, Clone)]
pub struct Certified {
    /// The URL.
    pub x5u: String,
    /// What is there.
    pub chain: Arc<Chain>,
}

/// The URLs whose chains are known to be in the database.
#[derive(Debug, Default)]
pub struct Known(Mutex<HashSet<String>>);

impl Known {
    fn has(&self, x5u: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(x5u)
    }

    fn set(&self, all: &[Certified]) {
        let urls = all.iter().map(|certified| certified.x5u.clone()).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = urls;
    }
}

/// Publishes the chains that are known, and tells of those that end: now and then, for ever.
pub async fn keep(app: Arc<App>) {
    let mut pause = AGAIN;
    loop {
        sleep(pause).await;
        pause = publish_or_tell(&app).await;
    }
}

/// Publishes, and says when to do it again.
pub async fn publish_or_tell(app: &App) -> Duration {
    match publish(app, Timestamp::now()).await {
        Ok(()) => AGAIN,
        Err(error) => {
            let problem = with_causes(&error);
            tracing::error!(problem, "the certificate chains are not published");
            RETRY
        }
    }
}

/// Publishes the chains that are known, and tells of those that end. Readers load them at once.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or another chain has the URL of one of these.
pub async fn publish(app: &App, now: Timestamp) -> Result<(), ApiError> {
    app.metrics.certificates.remind(&ends(app), app.config.certificates, now);
    let known = app.signers.chains();
    if known.is_empty() || app.config.service.readonly {
        return Ok(());
    }
    let mut client = app.pool.get().await?;
    let tx = Tx::writing(&mut client);
    tx.begin().await?;
    chains::lock(&tx).await?;
    let mut is_news = false;
    for certified in &known {
        is_news |= add(&tx, certified).await?;
    }
    if is_news {
        chains::announce(&tx, now).await?;
    }
    chains::erase(&tx, now.plus_millis(-KEPT_MS)).await?;
    tx.commit(Vec::new()).await?;
    app.chains.set(&known);
    Ok(())
}

/// Publishes, with the signatures of a transaction, the chains that they name.
///
/// # Errors
///
/// As [`publish`].
pub async fn publish_with(
    ctx: &mut Ctx<'_>,
    signatures: &[ContentSignature],
) -> Result<(), ApiError> {
    let app = ctx.app;
    let is_needed = |certified: &&Certified| {
        !app.chains.has(&certified.x5u)
            && signatures.iter().any(|signature| signature.x5u == certified.x5u)
    };
    for certified in app.signers.chains().iter().filter(is_needed) {
        add(ctx.settled().await?, certified).await?;
    }
    Ok(())
}

async fn add(tx: &Tx<'_>, Certified { x5u, chain }: &Certified) -> Result<bool, ApiError> {
    let path = chain_path(x5u).ok_or_else(|| ApiError::internal(format!("{x5u} has no path")))?;
    let pem = chain.to_pem().map_err(|error| ApiError::Internal(error.into()))?;
    chains::add(tx, &path, &pem, chain.validity(Role::Leaf).1).await
}

/// When the certificates of new signatures end.
pub fn ends(app: &App) -> Ends {
    let mut ends = Ends::default();
    app.signers.chains_in_use().iter().for_each(|certified| ends.add(&certified.chain));
    ends
}
