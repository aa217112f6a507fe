//! What a reader takes from the database: the watermark, and published collections as they are in
//! one snapshot.
//!
//! No statement is prepared: each is one message with the types of its parameters, so that all of
//! this works through a pooler that gives every transaction another session, and a single
//! statement costs one round trip.

use serde_json::{Map, Value};
use tokio_postgres::{
    Client,
    error::SqlState,
    types::{Json, ToSql, Type},
};

use super::Tx;
use crate::{error::ApiError, model::Timestamp};

/// Where one collection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The bucket's id.
    pub bucket: String,
    /// The collection's id.
    pub collection: String,
    /// The records timestamp: moves with every record that is written or deleted.
    pub timestamp: Timestamp,
    /// The metadata's timestamp: moves with a refreshed signature, too.
    pub metadata_timestamp: Timestamp,
    /// Tombstones up to this timestamp may have been purged (§7.10); zero where none was.
    pub tombstone_horizon: Timestamp,
    /// Whether everybody may read it.
    pub public: bool,
}

/// A record or tombstone as stored.
#[derive(Debug, Clone)]
pub struct Row {
    /// Its id.
    pub id: String,
    /// Its timestamp.
    pub last_modified: Timestamp,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Its members, without `id` and `last_modified`.
    pub data: Map<String, Value>,
}

/// The publication watermark: it moves with every commit that changes what is published. On a
/// standby it moves when that commit has been replayed.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn watermark(client: &Client) -> Result<Timestamp, ApiError> {
    let row = client.query_typed_one("select last_modified from publication_clock", &[]).await?;
    Ok(Timestamp::from_millis(row.try_get(0)?))
}

/// What a look at the database tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The publication watermark.
    pub watermark: Timestamp,
    /// What push services are told by a broadcast (`remote-settings.md` §4.1); `None` before the
    /// first time.
    pub broadcast: Option<Timestamp>,
    /// Whether this server is a standby.
    pub is_standby: bool,
    /// How far a standby is behind what it has received, in milliseconds: zero when it has
    /// replayed all of it. What it has not even received cannot be known here.
    pub replay_lag_ms: Option<i64>,
}

/// Looks at the database: one statement, which reads two rows.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn look(client: &Client, broadcast: &str) -> Result<Look, ApiError> {
    const SQL: &str = "
        select last_modified, (select value from broadcast_state where id = $1),
               pg_is_in_recovery(),
               case when not pg_is_in_recovery() then null
                    when pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() then 0
                    else (extract(epoch from
                          clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::bigint
               end
        from publication_clock";

    let row = client.query_typed_one(SQL, &[(&broadcast, Type::TEXT)]).await?;
    let value: Option<i64> = row.try_get(1)?;
    Ok(Look {
        watermark: Timestamp::from_millis(row.try_get(0)?),
        broadcast: value.map(Timestamp::from_millis),
        is_standby: row.try_get(2)?,
        replay_lag_ms: row.try_get(3)?,
    })
}

/// Whether a standby ended a statement because it stood in the way of what had to be replayed.
pub fn is_cancelled(error: &ApiError) -> bool {
    let ApiError::Backend(source) = error else { return false };
    let code = source.downcast_ref().and_then(tokio_postgres::Error::code);
    code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
}

/// Where every live collection of `buckets` stands.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn versions(tx: &Tx<'_>, buckets: &[String]) -> Result<Vec<Version>, ApiError> {
    const SQL: &str = "
        select c.bucket_id, c.id, c.last_modified as metadata_timestamp,
               coalesce(t.last_modified, c.last_modified) as timestamp,
               coalesce(t.tombstone_horizon, 0) as tombstone_horizon,
               exists (
                   select from public_object p
                   where p.bucket_id = c.bucket_id
                     and p.object_uri in ('/buckets/' || c.bucket_id,
                                          '/buckets/' || c.bucket_id || '/collections/' || c.id)
               ) as public
        from collection c
        left join resource_timestamp t
               on t.bucket_id = c.bucket_id and t.collection_id = c.id
              and t.resource_name = 'record'
        where c.bucket_id = any ($1) and not c.deleted
        order by c.bucket_id, c.id";

    let rows = tx.query_typed(SQL, &[(&buckets, Type::TEXT_ARRAY)]).await?;
    rows.iter()
        .map(|row| {
            Ok(Version {
                bucket: row.try_get("bucket_id")?,
                collection: row.try_get("id")?,
                timestamp: Timestamp::from_millis(row.try_get("timestamp")?),
                metadata_timestamp: Timestamp::from_millis(row.try_get("metadata_timestamp")?),
                tombstone_horizon: Timestamp::from_millis(row.try_get("tombstone_horizon")?),
                public: row.try_get("public")?,
            })
        })
        .collect()
}

/// Up to which timestamps some collections that are not there may have been deleted, in their order:
/// [`Timestamp::LATEST`] where there is a tombstone, of the collection or of its bucket. What erases
/// without tombstones (a bucket that is made again, a target that a writer deletes for good, a flush)
/// leaves when it did, for the bucket or for all. Zero where nobody deleted anything.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn deletions(
    tx: &Tx<'_>,
    buckets: &[&str],
    collections: &[&str],
) -> Result<Vec<Timestamp>, ApiError> {
    const SQL: &str = "
        select exists (
                   select from collection c
                   where c.bucket_id = gone.bucket_id and c.collection_id = ''
                     and c.id = gone.id and c.deleted
               ) or exists (
                   select from bucket b
                   where b.bucket_id = gone.bucket_id and b.id = gone.bucket_id and b.deleted
               ) as has_tombstone,
               (select max(last_modified) from resource_timestamp t
                where t.bucket_id = '' and t.collection_id in ('', gone.bucket_id)
                  and t.resource_name = '__erased__') as erased
        from unnest($1::text[], $2::text[]) with ordinality as gone (bucket_id, id, place)
        order by place";

    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&buckets, Type::TEXT_ARRAY), (&collections, Type::TEXT_ARRAY)];
    let rows = tx.query_typed(SQL, &parameters).await?;
    rows.iter()
        .map(|row| {
            let erased: Option<i64> = row.try_get("erased")?;
            let has_tombstone = row.try_get("has_tombstone")?;
            let erased = Timestamp::from_millis(erased.unwrap_or_default());
            Ok(if has_tombstone { Timestamp::LATEST } else { erased })
        })
        .collect()
}

/// Which of `buckets` everybody may read: there, an unknown collection is a 404 and no secret.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn public_buckets(tx: &Tx<'_>, buckets: &[String]) -> Result<Vec<String>, ApiError> {
    const SQL: &str = "
        select bucket_id from public_object
        where bucket_id = any ($1) and object_uri = '/buckets/' || bucket_id";

    let rows = tx.query_typed(SQL, &[(&buckets, Type::TEXT_ARRAY)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A collection's metadata: its members, without `id` and `last_modified`; `None` when it is
/// gone.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn metadata(
    tx: &Tx<'_>,
    bucket: &str,
    collection: &str,
) -> Result<Option<Map<String, Value>>, ApiError> {
    const SQL: &str = "
        select data from collection
        where bucket_id = $1 and collection_id = '' and id = $2 and not deleted";

    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&bucket, Type::TEXT), (&collection, Type::TEXT)];
    let row = tx.query_typed_opt(SQL, &parameters).await?;
    row.map(|row| Ok(row.try_get::<_, Json<_>>(0)?.0)).transpose()
}

/// All certificate chains: their paths below `/v1/cert-chains/`, and their PEM.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn chains(tx: &Tx<'_>) -> Result<Vec<(String, String)>, ApiError> {
    const SQL: &str = "select path, pem from certificate_chain";

    let rows = tx.query_typed(SQL, &[]).await?;
    rows.iter().map(|row| Ok((row.try_get("path")?, row.try_get("pem")?))).collect()
}

/// All records and tombstones of a collection, newest first.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn records(tx: &Tx<'_>, bucket: &str, collection: &str) -> Result<Rows, ApiError> {
    const SQL: &str = "
        select id, last_modified, deleted, data from record
        where bucket_id = $1 and collection_id = $2 and last_modified >= 0
        order by last_modified desc";

    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&bucket, Type::TEXT), (&collection, Type::TEXT)];
    Ok(Rows(tx.query_typed(SQL, &parameters).await?))
}

/// Records as they arrived. Reading their JSON is work for another thread than the one that waits
/// for the database.
#[derive(Debug)]
pub struct Rows(Vec<tokio_postgres::Row>);

impl Rows {
    /// Reads one after the other: an error where one is not what it should be.
    pub fn decode(self) -> impl ExactSizeIterator<Item = Result<Row, tokio_postgres::Error>> {
        self.0.into_iter().map(|row| {
            Ok(Row {
                id: row.try_get(0)?,
                last_modified: Timestamp::from_millis(row.try_get(1)?),
                deleted: row.try_get(2)?,
                data: row.try_get::<_, Json<_>>(3)?.0,
            })
        })
    }
}

impl Row {
    /// The object as clients see it. A tombstone has `id`, `last_modified` and `deleted` only.
    pub fn into_value(self) -> Value {
        let mut object = if self.deleted { Map::new() } else { self.data };
        if self.deleted {
            object.insert("deleted".to_owned(), true.into());
        }
        object.insert("id".to_owned(), self.id.into());
        object.insert("last_modified".to_owned(), self.last_modified.as_millis().into());
        Value::Object(object)
    }
}
