//! The certificate chains of signatures: added by writers, served by readers.

use shared::{error::ApiError, model::Timestamp, store::Tx};

/// Locks what is published, as everything does that changes it; the lock comes before that of a
/// chain.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or the lock is not granted in time.
pub async fn lock(tx: &Tx<'_>) -> Result<(), ApiError> {
    const SQL: &str = "select from publication_clock for update";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[]).await?;
    Ok(())
}

/// Adds a chain, and says whether it was not there. What is there never changes, since caches keep
/// it for ever.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or another chain has this path.
pub async fn add(
    tx: &Tx<'_>,
    path: &str,
    pem: &str,
    expires_at: Timestamp,
) -> Result<bool, ApiError> {
    const ADD: &str = "
        insert into certificate_chain (path, pem, expires_at) values ($1, $2, $3)
        on conflict (path) do nothing";
    const IS_SAME: &str = "select pem = $2 from certificate_chain where path = $1";

    let statement = tx.prepare_cached(ADD).await?;
    if tx.execute(&statement, &[&path, &pem, &expires_at.as_millis()]).await? == 1 {
        return Ok(true);
    }
    let statement = tx.prepare_cached(IS_SAME).await?;
    let row = tx.query_opt(&statement, &[&path, &pem]).await?;
    match row.map(|row| row.try_get(0)).transpose()? {
        Some(true) => Ok(false),
        Some(false) | None => {
            Err(ApiError::backend(format!("another certificate chain is published as {path}")))
        }
    }
}

/// Moves the publication clock, so that readers load what is new.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn announce(tx: &Tx<'_>, now: Timestamp) -> Result<(), ApiError> {
    const SQL: &str =
        "update publication_clock set last_modified = greatest(last_modified + 1, $1)";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&now.as_millis()]).await?;
    Ok(())
}

/// Erases the chains that ended before a time.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase(tx: &Tx<'_>, before: Timestamp) -> Result<u64, ApiError> {
    const SQL: &str = "delete from certificate_chain where expires_at < $1";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.execute(&statement, &[&before.as_millis()]).await?)
}
