//! Locks that are about no row: who does a job, of all writers of a database.

use deadpool_postgres::ClientWrapper;
use shared::{error::ApiError, store::Tx};

/// Takes a lock for the rest of the session, unless another session has it. Whether it was taken.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn try_lock(session: &ClientWrapper, name: &str) -> Result<bool, ApiError> {
    const SQL: &str = "select pg_try_advisory_lock(hashtextextended('countersign ' || $1, 0))";

    Ok(session.query_one(SQL, &[&name]).await?.try_get(0)?)
}

/// Gives a lock back before the session ends.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn unlock(session: &ClientWrapper, name: &str) -> Result<(), ApiError> {
    const SQL: &str = "select pg_advisory_unlock(hashtextextended('countersign ' || $1, 0))";

    session.query_one(SQL, &[&name]).await?;
    Ok(())
}

/// Takes a lock for the rest of the transaction, unless somebody else has it.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn try_lock_here(tx: &Tx<'_>, name: &str) -> Result<bool, ApiError> {
    const SQL: &str = "select pg_try_advisory_xact_lock(hashtextextended('countersign ' || $1, 0))";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.query_one(&statement, &[&name]).await?.try_get(0)?)
}
