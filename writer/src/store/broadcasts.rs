//! What push services are told (`remote-settings.md` §4.1).

use shared::{error::ApiError, model::Timestamp, store::Tx};

/// A broadcast's value.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn read(tx: &Tx<'_>, id: &str) -> Result<Option<Timestamp>, ApiError> {
    const SQL: &str = "select value from broadcast_state where id = $1";

    let statement = tx.prepare_cached(SQL).await?;
    let row = tx.query_opt(&statement, &[&id]).await?;
    row.map(|row| Ok(Timestamp::from_millis(row.try_get(0)?))).transpose()
}

/// Changes a broadcast's value; it never goes back.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn write(tx: &Tx<'_>, id: &str, value: Timestamp) -> Result<(), ApiError> {
    const SQL: &str = "
        insert into broadcast_state as b (id, value) values ($1, $2)
        on conflict (id) do update set value = excluded.value where b.value < excluded.value";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&id, &value.as_millis()]).await?;
    Ok(())
}
