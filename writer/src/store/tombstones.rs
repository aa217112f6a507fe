//! Tombstones that have served their time (`remote-settings.md` §7.10).

use shared::{
    error::ApiError,
    model::{ListPath, Timestamp},
    store::Tx,
};

/// A collection with old tombstones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Old {
    /// The bucket's id.
    pub bucket: String,
    /// The collection's id.
    pub collection: String,
    /// How many.
    pub count: i64,
}

/// The collections of some buckets that have tombstones from before `before`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn old(tx: &Tx<'_>, buckets: &[String], before: Timestamp) -> Result<Vec<Old>, ApiError> {
    const SQL: &str = "
        select bucket_id, collection_id, count(*) as count from record
        where bucket_id = any ($1) and deleted and last_modified < $2
        group by bucket_id, collection_id order by bucket_id, collection_id";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&buckets, &before.as_millis()]).await?;
    rows.iter()
        .map(|row| {
            Ok(Old {
                bucket: row.try_get("bucket_id")?,
                collection: row.try_get("collection_id")?,
                count: row.try_get("count")?,
            })
        })
        .collect()
}

/// Deletes at most `limit` tombstones from before `before`, the oldest first, and moves the list's
/// horizon to the last of them. The list must be locked. How many went.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn purge(
    tx: &Tx<'_>,
    list: &ListPath,
    before: Timestamp,
    limit: i64,
) -> Result<i64, ApiError> {
    const SQL: &str = "
        with doomed as (
            select id from record
            where bucket_id = $1 and collection_id = $2 and deleted
              and last_modified >= 0 and last_modified < $3
            order by last_modified limit $4),
        gone as (
            delete from record as r using doomed
            where r.bucket_id = $1 and r.collection_id = $2 and r.id = doomed.id
            returning r.last_modified),
        horizon as (
            update resource_timestamp set tombstone_horizon =
                greatest(tombstone_horizon, (select max(last_modified) from gone))
            where bucket_id = $1 and collection_id = $2 and resource_name = 'record')
        select count(*) from gone";

    let statement = tx.prepare_cached(SQL).await?;
    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    let row =
        tx.query_one(&statement, &[&bucket, &collection, &before.as_millis(), &limit]).await?;
    Ok(row.try_get(0)?)
}
