//! The value that push services are told (`remote-settings.md` §4.1): one for all readers, which
//! cannot write.

use std::time::Duration;

use futures_util::FutureExt as _;
use shared::{
    config::Changes,
    error::ApiError,
    model::Timestamp,
    store::{Tx, published},
    wire::{MONITOR_BROADCAST, candidate, debounce, is_young},
};

use crate::{
    app::App,
    operations::published_entries,
    store::{advisory, broadcasts},
    transaction,
};

/// The rules depend on time passing, so that somebody must look.
pub(super) const EVERY: Duration = Duration::from_secs(10);

/// Looks once, unless another writer does.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub(super) async fn look(app: &App, now: Timestamp) -> Result<(), ApiError> {
    let about = (&app.config.changes, now);
    transaction::commit(app, &about, |tx, (settings, now)| update(tx, settings, *now).boxed()).await
}

async fn update(tx: &Tx<'_>, settings: &Changes, now: Timestamp) -> Result<(), ApiError> {
    if !advisory::try_lock_here(tx, "broadcast").await? {
        return Ok(());
    }
    let last = broadcasts::read(tx, MONITOR_BROADCAST).await?;
    if is_young(last, now, settings.debounce_ms) {
        return Ok(());
    }
    let versions = published::versions(tx, &settings.monitored.buckets()).await?;
    let newest = candidate(&published_entries(settings, &versions));
    match debounce(last, newest, now, settings.debounce_ms) {
        Some(value) if Some(value) != last => broadcasts::write(tx, MONITOR_BROADCAST, value).await,
        _ => Ok(()),
    }
}
