//! The rows that are locks: of lists, each in its turn, and the publication clock.

use shared::{error::ApiError, model::Timestamp, store::Tx};
use tokio::try_join;

use super::clocks::Lock;

/// Prepares the statements that lock, so that they are sent before whatever is sent with them.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn prepare(tx: &Tx<'_>) -> Result<(), ApiError> {
    try_join!(tx.prepare_cached(LOCK), tx.prepare_cached(LOCK_PUBLICATION))?;
    Ok(())
}

const LOCK: &str = "
    select wanted.number, t.last_modified
    from unnest($1::text[], $2::text[], $3::text[]) with ordinality
         as wanted (bucket_id, collection_id, resource_name, number)
    join resource_timestamp as t using (bucket_id, collection_id, resource_name)
    order by wanted.number
    for update of t";
const LOCK_PUBLICATION: &str = "select last_modified from publication_clock for update";

/// Locks the rows of lists one after the other, in the order given: PostgreSQL locks what it has
/// sorted. `None` for a list that has no row yet.
pub(super) async fn lock_rows(
    tx: &Tx<'_>,
    lists: &[Lock],
) -> Result<Vec<Option<Timestamp>>, ApiError> {
    let mut found = vec![None; lists.len()];
    if lists.is_empty() {
        return Ok(found);
    }
    let [buckets, collections, names] = columns(lists);
    let statement = tx.prepare_cached(LOCK).await?;
    for row in tx.query(&statement, &[&buckets, &collections, &names]).await? {
        let number = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        if let Some(slot) = number.checked_sub(1).and_then(|index| found.get_mut(index)) {
            *slot = Some(Timestamp::from_millis(row.try_get(1)?));
        }
    }
    Ok(found)
}

/// Locks the rows of lists one after the other, in the order given, and makes those that are
/// missing: the rows of a statement are inserted, or found, in its order.
pub(super) async fn make_rows(tx: &Tx<'_>, lists: &[Lock]) -> Result<Vec<Timestamp>, ApiError> {
    const SQL: &str = "
        insert into resource_timestamp as t
               (bucket_id, collection_id, resource_name, last_modified)
        select bucket_id, collection_id, resource_name, 0
        from unnest($1::text[], $2::text[], $3::text[]) with ordinality
             as wanted (bucket_id, collection_id, resource_name, number)
        order by wanted.number
        on conflict (bucket_id, collection_id, resource_name) do update
           set last_modified = t.last_modified
        returning last_modified";

    if lists.is_empty() {
        return Ok(Vec::new());
    }
    let [buckets, collections, names] = columns(lists);
    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&buckets, &collections, &names]).await?;
    rows.iter().map(|row| Ok(Timestamp::from_millis(row.try_get(0)?))).collect()
}

fn columns(lists: &[Lock]) -> [Vec<&str>; 3] {
    [
        lists.iter().map(|lock| lock.0.bucket_id()).collect(),
        lists.iter().map(|lock| lock.0.collection_id()).collect(),
        lists.iter().map(|lock| lock.0.resource().name()).collect(),
    ]
}

/// Locks the publication clock.
pub(super) async fn lock_publication(tx: &Tx<'_>) -> Result<Timestamp, ApiError> {
    let statement = tx.prepare_cached(LOCK_PUBLICATION).await?;
    let row = tx.query_one(&statement, &[]).await?;
    Ok(Timestamp::from_millis(row.try_get(0)?))
}
