//! Accounts' passwords, read before a request's transaction begins.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use shared::{error::ApiError, model::Id};
use tokio::time::timeout;

/// The stored hash of an account's password; `None` when there is no such account.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or takes longer than `patience`.
pub async fn password(
    pool: &Pool,
    patience: Duration,
    id: &Id,
) -> Result<Option<String>, ApiError> {
    let client = pool.get().await?;
    let Ok(found) = timeout(patience, query(&client, id)).await else {
        // It may still answer the old question: it is not used again.
        drop(Object::take(client));
        return Err(ApiError::backend("PostgreSQL does not answer"));
    };
    found
}

async fn query(client: &Object, id: &Id) -> Result<Option<String>, ApiError> {
    const SQL: &str = "
        select data ->> 'password' as password from account
        where bucket_id = '' and collection_id = '' and id = $1 and not deleted";

    let statement = client.prepare_cached(SQL).await?;
    let row = client.query_opt(&statement, &[&id.as_str()]).await?;
    row.map_or(Ok(None), |row| Ok(row.try_get("password")?))
}
