//! What may be lost: tokens that are valid once, states of a login. The database's clock decides
//! when something expires, for all writers alike.

use std::time::Duration;

use serde_json::Value;
use shared::{error::ApiError, store::Tx};
use tokio_postgres::types::Json;

/// Keeps `value` under `key` for some time, and makes room: what has expired goes, a little with
/// each call.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn put(
    tx: &Tx<'_>,
    key: &str,
    value: &Value,
    lifetime: Duration,
) -> Result<(), ApiError> {
    const SQL: &str = "
        insert into cache (key, value, expires_at)
        values ($1, $2, now() + $3::float8 * interval '1 second')
        on conflict (key) do update
           set value = excluded.value, expires_at = excluded.expires_at";

    purge(tx, 100).await?;
    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&key, &Json(value), &lifetime.as_secs_f64()]).await?;
    Ok(())
}

/// Takes what was kept under `key`, unless it has expired: of two that take it, one gets it.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn take(tx: &Tx<'_>, key: &str) -> Result<Option<Value>, ApiError> {
    const SQL: &str =
        "delete from cache where key = $1 returning value, expires_at > now() as is_valid";

    let statement = tx.prepare_cached(SQL).await?;
    let Some(row) = tx.query_opt(&statement, &[&key]).await? else { return Ok(None) };
    let value: Json<Value> = row.try_get("value")?;
    Ok(row.try_get::<_, bool>("is_valid")?.then_some(value.0))
}

/// Erases at most `most` entries that have expired, and says how many. Those that another
/// transaction is at are left to it.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn purge(tx: &Tx<'_>, most: i64) -> Result<u64, ApiError> {
    const SQL: &str = "
        delete from cache where key in (
            select key from cache where expires_at <= now()
            order by expires_at limit $1 for update skip locked)";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.execute(&statement, &[&most]).await?)
}
