//! When a job last ended, for the writers' schedulers.

use shared::{error::ApiError, store::Tx};

/// Whether a job has not ended in the last so many seconds.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn is_due(tx: &Tx<'_>, name: &str, seconds: f64) -> Result<bool, ApiError> {
    const SQL: &str = "
        select not exists (
            select from job_run
            where name = $1 and finished_at > now() - make_interval(secs => $2))";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.query_one(&statement, &[&name, &seconds]).await?.try_get(0)?)
}

/// Notes that a job has ended.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn ended(tx: &Tx<'_>, name: &str) -> Result<(), ApiError> {
    const SQL: &str = "
        insert into job_run (name, finished_at) values ($1, now())
        on conflict (name) do update set finished_at = excluded.finished_at";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&name]).await?;
    Ok(())
}
