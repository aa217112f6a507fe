//! The history of buckets: who changed what (`kinto-http-api.md` §7.2). Entries are added; the rest is
//! done by functions of the owner's, because the writer has no right to change what happened.

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{Id, ListPath, Timestamp},
    parameters,
    store::{Tx, Write},
};
use tokio_postgres::types::{Json, ToSql};
use uuid::Uuid;

use super::objects::Object;
use crate::config::Trim;

/// One entry of a bucket's history.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its members, without `id` and `last_modified`.
    pub data: Map<String, Value>,
    /// The principals that may read it.
    pub readers: Vec<String>,
}

/// So many entries go in one statement: a message to PostgreSQL stays well below its limit.
const CHUNK: usize = 500;

/// Adds entries to the history of a bucket, and moves its clock: one statement unless they are very
/// many. The clock is locked by the statement that moves it, so that it is held for the commit
/// only. The last entry gets the timestamp `until`, or a later one where history has come near
/// that already; the others come just before.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn append(
    tx: &Tx<'_>,
    bucket: &Id,
    until: Timestamp,
    mut entries: Vec<Entry>,
) -> Result<Vec<Write>, ApiError> {
    const SQL: &str = "
        with clock as (
            insert into resource_timestamp as t
                   (bucket_id, collection_id, resource_name, last_modified, live)
            values ($1, '', 'history', $2, $3)
            on conflict (bucket_id, collection_id, resource_name) do update
               set last_modified = greatest(t.last_modified + $3, $2), live = t.live + $3
            returning last_modified)
        insert into history (bucket_id, id, last_modified, data, readers)
        select $1, entry.id, clock.last_modified - $3 + entry.number, entry.data,
               array(select jsonb_array_elements_text(entry.readers))
        from clock,
             unnest($4::text[], $5::jsonb[], $6::jsonb[]) with ordinality
             as entry (id, data, readers, number)";

    let mut writes = Vec::new();
    while !entries.is_empty() {
        let (mut ids, mut data, mut readers) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries.drain(..entries.len().min(CHUNK)) {
            ids.push(Uuid::new_v4().to_string());
            data.push(Json(entry.data));
            readers.push(Json(entry.readers));
        }
        let (count, left) = (number(ids.len()), number(entries.len()));
        let until = until.plus_millis(-left).as_millis();
        let parameters = parameters![bucket.to_string(), until, count, ids, data, readers];
        writes.push(tx.write(SQL, parameters).await?);
    }
    Ok(writes)
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Deletes the oldest entries of a bucket about one kind of object, and of one user where `trim`
/// names users, once there are more than it allows. No tombstones. How many went.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn trim(
    tx: &Tx<'_>,
    bucket: &str,
    resource_name: &str,
    user_id: Option<&str>,
    trim: &Trim,
) -> Result<usize, ApiError> {
    const SQL: &str = "select trim_history($1, $2, $3, $4, $5)";

    let statement = tx.prepare_cached(SQL).await?;
    let row = tx
        .query_one(&statement, &[&bucket, &resource_name, &user_id, &trim.keep, &trim.slack])
        .await?;
    Ok(usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
}

/// Replaces entries by tombstones with new timestamps, counted up from `first`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn bury(
    tx: &Tx<'_>,
    bucket: &str,
    ids: &[String],
    first: Timestamp,
) -> Result<(), ApiError> {
    const SQL: &str = "select bury_history($1, $2, $3)";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&bucket, &ids, &first.as_millis()]).await?;
    Ok(())
}

/// Deletes at most `limit` entries of a bucket about what a user did before `before`. No tombstones:
/// nobody follows entries that are years old. How many went.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn purge(
    tx: &Tx<'_>,
    bucket: &str,
    user_id: &str,
    before: Timestamp,
    limit: i64,
) -> Result<u64, ApiError> {
    const SQL: &str = "select purge_history($1, $2, $3, $4)";

    let statement = tx.prepare_cached(SQL).await?;
    let parameters: [&(dyn ToSql + Sync); 4] = [&bucket, &user_id, &before.as_millis(), &limit];
    let gone: i64 = tx.query_one(&statement, &parameters).await?.try_get(0)?;
    Ok(u64::try_from(gone).unwrap_or(0))
}

/// How many entries [`purge`] would delete.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn count_before(
    tx: &Tx<'_>,
    bucket: &str,
    user_id: &str,
    before: Timestamp,
) -> Result<i64, ApiError> {
    const SQL: &str = "
        select count(*) from history
        where bucket_id = $1 and collection_id = '' and data ->> 'user_id' = $2
          and last_modified < $3";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.query_one(&statement, &[&bucket, &user_id, &before.as_millis()]).await?.try_get(0)?)
}

/// Whether any entry of the bucket may be read by one of the principals.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn has_reader(
    tx: &Tx<'_>,
    bucket: &str,
    principals: &[String],
) -> Result<bool, ApiError> {
    const SQL: &str = "
        select exists (select from history
                       where bucket_id = $1 and readers && $2 and not deleted)";

    let statement = tx.prepare_cached(SQL).await?;
    Ok(tx.query_one(&statement, &[&bucket, &principals]).await?.try_get(0)?)
}

/// The records of a collection as they were at a time, newest first (§7.2.10): those that have not
/// changed since, and of those that have, what their last entry before tells. Records that were
/// deleted then are left out; the reference shows their tombstones.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn snapshot(
    tx: &Tx<'_>,
    records: &ListPath,
    at: Timestamp,
) -> Result<Vec<Object>, ApiError> {
    const SQL: &str = "
        select id, last_modified, false as deleted, data from record
        where bucket_id = $1 and collection_id = $2 and not deleted and last_modified <= $3
        union all
        select r.id, past.last_modified, false, past.data - 'id' - 'last_modified'
        from record r
        cross join lateral (
            select h.data #> '{target,data}' as data,
                   (h.data #>> '{target,data,last_modified}')::bigint as last_modified
            from history h
            where h.bucket_id = $1 and h.data ->> 'uri' = $4 || '/' || r.id and not h.deleted
              and (h.data #>> '{target,data,last_modified}')::bigint <= $3
            order by h.last_modified desc limit 1) as past
        where r.bucket_id = $1 and r.collection_id = $2
          and r.last_modified >= 0 and r.last_modified > $3
          and past.data -> 'deleted' is distinct from 'true'
        order by last_modified desc";

    let statement = tx.prepare_cached(SQL).await?;
    let (bucket, collection) = (records.bucket_id(), records.collection_id());
    let uri = records.to_string();
    let rows = tx.query(&statement, &[&bucket, &collection, &at.as_millis(), &uri]).await?;
    rows.iter().map(Object::from_row).collect()
}
