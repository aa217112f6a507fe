//! `POST /v1/__flush__` (`kinto-http-api.md` §7.3.1): for tests, and only where it is included.

use http::StatusCode;
use serde_json::json;
use shared::{error::ApiError, http::Reply, model::Timestamp, store::Tx};

use crate::{
    app::App,
    config::Purge,
    purge::{self, Purged},
    store::maintenance,
};

/// Erases everything.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn flush(tx: &Tx<'_>, caches: &Purge) -> Result<Reply, ApiError> {
    maintenance::flush(tx, Timestamp::now()).await?;
    tx.run(purge::writes(tx, caches, &Purged::everything()).await?).await?;
    Ok(flushed())
}

/// What is answered, also to a flush in a batch.
pub fn flushed() -> Reply {
    Reply::json(StatusCode::ACCEPTED, &json!({}))
}

/// What follows the commit: nothing is remembered either, and the log tells.
pub fn after_flush(app: &App) {
    app.authn.passwords.forget();
    tracing::warn!("everything was erased");
}
