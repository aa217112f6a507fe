//! How much buckets and collections hold: one row each, by URI (`platform-features.md` §5.3).

use std::ops::{AddAssign, Neg, SubAssign};

use shared::{error::ApiError, model::Resource, store::Tx};
use tokio_postgres::Row;

use super::objects::Object;

/// One statement text for each of the object tables.
macro_rules! page_of {
    ($table:literal) => {
        concat!(
            "select collection_id, id, last_modified, deleted, data from ",
            $table,
            " where bucket_id = $1 and (collection_id, id) > ($2, $3) and not deleted
              order by collection_id, id limit 1000"
        )
    };
}

/// What something holds, or by how much that changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Collections; zero for a collection.
    pub collections: i64,
    /// Records.
    pub records: i64,
    /// Bytes of canonical JSON, of the bucket or collection itself, too.
    pub bytes: i64,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.collections += other.collections;
        self.records += other.records;
        self.bytes += other.bytes;
    }
}

impl SubAssign for Usage {
    fn sub_assign(&mut self, other: Self) {
        *self += -other;
    }
}

impl Neg for Usage {
    type Output = Self;

    fn neg(self) -> Self {
        Self { collections: -self.collections, records: -self.records, bytes: -self.bytes }
    }
}

impl Usage {
    fn from_row(row: &Row) -> Result<Self, ApiError> {
        Ok(Self {
            collections: row.try_get("collection_count")?,
            records: row.try_get("record_count")?,
            bytes: row.try_get("storage_size")?,
        })
    }
}

/// What `uri` holds, as far as it was counted.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn get(tx: &Tx<'_>, uri: &str) -> Result<Usage, ApiError> {
    const SQL: &str = "
        select collection_count, record_count, storage_size from quota_usage where parent_id = $1";

    let statement = tx.prepare_cached(SQL).await?;
    let row = tx.query_opt(&statement, &[&uri]).await?;
    row.map_or_else(|| Ok(Usage::default()), |row| Usage::from_row(&row))
}

/// Adds to what is counted, in the order given, and locks each row until the transaction ends.
/// Returns the sums in that order.
///
/// # Errors
///
/// [`ApiError::Backend`] when a lock is not granted in time.
pub async fn add(tx: &Tx<'_>, more: &[(String, Usage)]) -> Result<Vec<Usage>, ApiError> {
    const SQL: &str = "
        insert into quota_usage as q (parent_id, collection_count, record_count, storage_size)
        select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])
        on conflict (parent_id) do update
           set collection_count = q.collection_count + excluded.collection_count,
               record_count = q.record_count + excluded.record_count,
               storage_size = q.storage_size + excluded.storage_size
        returning collection_count, record_count, storage_size";

    let uris: Vec<&str> = more.iter().map(|(uri, _)| uri.as_str()).collect();
    let column = |of: fn(&Usage) -> i64| more.iter().map(|(_, usage)| of(usage)).collect();
    let collections: Vec<i64> = column(|usage| usage.collections);
    let records: Vec<i64> = column(|usage| usage.records);
    let bytes: Vec<i64> = column(|usage| usage.bytes);
    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&uris, &collections, &records, &bytes]).await?;
    rows.iter().map(Usage::from_row).collect()
}

/// Locks rows in the order given, where they exist.
///
/// # Errors
///
/// [`ApiError::Backend`] when a lock is not granted in time.
pub async fn lock(tx: &Tx<'_>, uris: &[String]) -> Result<(), ApiError> {
    const SQL: &str = "
        select from unnest($1::text[]) with ordinality as wanted (parent_id, number)
        join quota_usage as q using (parent_id)
        order by wanted.number for update of q";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&uris]).await?;
    Ok(())
}

/// Forgets one row, and returns what was counted there.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn take(tx: &Tx<'_>, uri: &str) -> Result<Usage, ApiError> {
    const SQL: &str = "
        delete from quota_usage where parent_id = $1
        returning collection_count, record_count, storage_size";

    let statement = tx.prepare_cached(SQL).await?;
    let row = tx.query_opt(&statement, &[&uri]).await?;
    row.map_or_else(|| Ok(Usage::default()), |row| Usage::from_row(&row))
}

/// Forgets what is counted of a bucket, and of all that is below. The bucket's row goes first: once
/// it is locked nobody adds others.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase(tx: &Tx<'_>, bucket: &str) -> Result<(), ApiError> {
    // `0` follows `/`: what is between begins with the bucket's URI and a slash.
    const BELOW: &str =
        "delete from quota_usage where parent_id > $1 || '/' and parent_id < $1 || '0'";

    take(tx, bucket).await?;
    let statement = tx.prepare_cached(BELOW).await?;
    tx.execute(&statement, &[&bucket]).await?;
    Ok(())
}

/// The URIs of everything that is counted or should be: live buckets, and what has a row.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn buckets(tx: &Tx<'_>) -> Result<Vec<String>, ApiError> {
    const SQL: &str = "
        select id from bucket where not deleted
        union select split_part(parent_id, '/', 3) from quota_usage
        order by 1";

    let rows = tx.query(SQL, &[]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// All that is counted of a bucket and below, in the order of the URIs.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn all(tx: &Tx<'_>, bucket: &str) -> Result<Vec<(String, Usage)>, ApiError> {
    const SQL: &str = "
        select parent_id, collection_count, record_count, storage_size from quota_usage
        where parent_id = $1 or (parent_id > $1 || '/' and parent_id < $1 || '0')
        order by parent_id";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&bucket]).await?;
    rows.iter().map(|row| Ok((row.try_get("parent_id")?, Usage::from_row(row)?))).collect()
}

/// An object of a bucket, and the id of the collection that holds it: `""` but for records.
pub type Counted = (String, Object);

/// The live objects of a bucket of one kind, a page of them, after a collection and an id.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn page(
    tx: &Tx<'_>,
    resource: Resource,
    bucket: &str,
    after: (&str, &str),
) -> Result<Vec<Counted>, ApiError> {
    let text = match resource {
        Resource::Bucket => page_of!("bucket"),
        Resource::Group => page_of!("\"group\""),
        Resource::Collection => page_of!("collection"),
        Resource::Record => page_of!("record"),
        Resource::Account | Resource::History => return Ok(Vec::new()),
    };
    let statement = tx.prepare_cached(text).await?;
    let rows = tx.query(&statement, &[&bucket, &after.0, &after.1]).await?;
    rows.iter().map(|row| Ok((row.try_get("collection_id")?, Object::from_row(row)?))).collect()
}
