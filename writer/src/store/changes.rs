//! What changed in a collection, as a changeset shows it.

use shared::{
    error::ApiError,
    model::{ListPath, Timestamp},
    store::Tx,
};

use super::objects::Object;

/// Where a list of records stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// Its timestamp; `None` where it never had one.
    pub timestamp: Option<Timestamp>,
    /// Tombstones up to this timestamp may be gone.
    pub tombstone_horizon: Timestamp,
}

/// Where a list of records stands.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn state(tx: &Tx<'_>, list: &ListPath) -> Result<State, ApiError> {
    const SQL: &str = "
        select last_modified, tombstone_horizon from resource_timestamp
        where bucket_id = $1 and collection_id = $2 and resource_name = 'record'";

    let statement = tx.prepare_cached(SQL).await?;
    let row = tx.query_opt(&statement, &[&list.bucket_id(), &list.collection_id()]).await?;
    let Some(row) = row else { return Ok(State::default()) };
    Ok(State {
        timestamp: Some(Timestamp::from_millis(row.try_get("last_modified")?)),
        tombstone_horizon: Timestamp::from_millis(row.try_get("tombstone_horizon")?),
    })
}

/// Records newest first: the live ones or, with `since`, what changed after it, tombstones
/// included.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn since(
    tx: &Tx<'_>,
    list: &ListPath,
    since: Option<Timestamp>,
    limit: u64,
) -> Result<Vec<Object>, ApiError> {
    const LIVE: &str = "
        select id, last_modified, deleted, data from record
        where bucket_id = $1 and collection_id = $2 and last_modified >= 0 and not deleted
        order by last_modified desc limit $3";
    const CHANGED: &str = "
        select id, last_modified, deleted, data from record
        where bucket_id = $1 and collection_id = $2 and last_modified >= 0
          and last_modified > $4
        order by last_modified desc limit $3";

    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = match since.map(Timestamp::as_millis) {
        None => {
            let statement = tx.prepare_cached(LIVE).await?;
            tx.query(&statement, &[&bucket, &collection, &limit]).await?
        }
        Some(since) => {
            let statement = tx.prepare_cached(CHANGED).await?;
            tx.query(&statement, &[&bucket, &collection, &limit, &since]).await?
        }
    };
    rows.iter().map(Object::from_row).collect()
}
