//! Statements about all that is stored: erase it, count it.

use shared::{error::ApiError, model::Timestamp, store::Tx};

/// Erases everything. The clocks that last (of buckets, of accounts, of what is published) move
/// forward, so that clients and readers notice.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn flush(tx: &Tx<'_>, now: Timestamp) -> Result<(), ApiError> {
    const ERASE: [&str; 11] = [
        "delete from record",
        "delete from collection",
        "delete from \"group\"",
        "delete from bucket",
        "delete from account",
        "select erase_history(null)",
        "delete from ace",
        "delete from membership",
        "delete from quota_usage",
        "delete from cache",
        "delete from resource_timestamp where bucket_id <> ''",
    ];
    const CLOCKS: [&str; 2] = [
        "update resource_timestamp set last_modified = greatest(last_modified + 1, $1), live = 0",
        "update publication_clock set last_modified = greatest(last_modified + 1, $1)",
    ];

    lock(tx).await?;
    for text in ERASE {
        tx.execute(text, &[]).await?;
    }
    for text in CLOCKS {
        tx.execute(text, &[&now.as_millis()]).await?;
    }
    note_erasure(tx, "").await
}

/// Notes that collections of a bucket, or of all where it is `""`, may be gone without a tombstone:
/// readers go on showing what is gone, and nobody deleted ([`shared::store::published::deletions`]).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn note_erasure(tx: &Tx<'_>, bucket: &str) -> Result<(), ApiError> {
    // Lists run ahead of the time of day, and what was just published in this transaction was not seen.
    const SQL: &str = "
        insert into resource_timestamp as noted
            (bucket_id, collection_id, resource_name, last_modified)
        select '', $1::text, '__erased__',
               greatest(last_modified, (extract(epoch from clock_timestamp()) * 1000)::bigint)
        from publication_clock
        on conflict (bucket_id, collection_id, resource_name) do update
        set last_modified = greatest(noted.last_modified, excluded.last_modified)";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&bucket]).await?;
    Ok(())
}

/// Waits until no writer is half-way, and lets none begin: each begins with a lock on a row of this
/// table.
///
/// # Errors
///
/// [`ApiError::Backend`] when it takes too long.
pub async fn lock(tx: &Tx<'_>) -> Result<(), ApiError> {
    tx.begin().await?;
    Ok(tx.batch_execute("lock table resource_timestamp in exclusive mode").await?)
}

/// How many objects of a kind there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The kind's name.
    pub resource: String,
    /// Live objects.
    pub live: i64,
    /// Tombstones.
    pub tombstones: i64,
}

/// Counts every kind of object. Live ones have been counted as they came and went; tombstones are
/// counted now.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn count(tx: &Tx<'_>) -> Result<Vec<Counted>, ApiError> {
    const SQL: &str = "
        select resource, coalesce(live, 0)::bigint as live, tombstones
        from (values
            ('account', (select count(*) from account where deleted)),
            ('bucket', (select count(*) from bucket where deleted)),
            ('collection', (select count(*) from collection where deleted)),
            ('group', (select count(*) from \"group\" where deleted)),
            ('history', (select count(*) from history where deleted)),
            ('record', (select count(*) from record where deleted))
        ) as buried (resource, tombstones)
        left join (
            select resource_name, sum(live) as live from resource_timestamp group by resource_name
        ) as counted on counted.resource_name = buried.resource";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Counted {
                resource: row.try_get("resource")?,
                live: row.try_get("live")?,
                tombstones: row.try_get("tombstones")?,
            })
        })
        .collect()
}
