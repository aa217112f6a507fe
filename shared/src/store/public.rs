//! What everybody may read, of buckets, collections and records: one object or one list, with the
//! right to see it. Groups and accounts are nobody's business here.
//!
//! No statement is prepared, as in [`super::published`]: all of this works through a pooler.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use serde_json::{Map, Value};
use tokio_postgres::types::{ToSql, Type};

use super::{Tx, published::Row};
use crate::{
    error::ApiError,
    model::{ListPath, ObjectPath, Resource, Timestamp},
};

/// An object, and what everybody may know of it.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Whether everybody may read it, or what it is in.
    pub is_readable: bool,
    /// Whether the collection exists that it would be in; of other objects nothing is asked.
    pub has_parent: bool,
    /// Its timestamp and its attributes, if it exists and is readable.
    pub found: Option<(Timestamp, Map<String, Value>)>,
    /// The attributes of a record's collection.
    pub collection: Option<Map<String, Value>>,
}

/// A list, and what everybody may see of it.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its timestamp.
    pub timestamp: Timestamp,
    /// Its rows, newest first.
    pub rows: Vec<Row>,
    /// The attributes of a list of records' collection.
    pub collection: Option<Map<String, Value>>,
}

/// A statement's parameter.
type Parameter<'a> = (&'a (dyn ToSql + Sync), Type);

/// Most objects of a list that are public each by itself.
const MAX_SHARED: i64 = 10_000;

/// Reads an object.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn object(tx: &Tx<'_>, path: &ObjectPath) -> Result<Seen, ApiError> {
    let above: Vec<ObjectPath> = path.ancestors().collect();
    let uris = std::iter::once(path).chain(&above).map(ToString::to_string).collect();
    if !is_any_public(tx, path.bucket_id(), uris).await? {
        return Ok(Seen::default());
    }
    let mut seen = Seen { is_readable: true, has_parent: true, ..Seen::default() };
    if path.resource() == Resource::Record {
        seen.collection = collection_of(tx, &path.list).await?;
        seen.has_parent = seen.collection.is_some();
    }
    seen.found = attributes(tx, path).await?;
    Ok(seen)
}

/// Reads a list of at most `max_bytes` of JSON.
///
/// # Errors
///
/// 401 when everybody may see nothing of it, 404 when there is no such collection;
/// [`ApiError::Backend`] when PostgreSQL is away, or the list is larger.
pub async fn list(tx: &Tx<'_>, list: &ListPath, max_bytes: usize) -> Result<Listed, ApiError> {
    let parent = list.parent();
    let above: Vec<String> = parent
        .iter()
        .flat_map(|parent| std::iter::once(parent.clone()).chain(parent.ancestors()))
        .map(|path| path.to_string())
        .collect();
    let is_public = is_any_public(tx, list.bucket_id(), above).await?;
    let shared = if is_public { Vec::new() } else { shared_ids(tx, list).await? };
    if !is_public && shared.is_empty() {
        return Err(ApiError::MissingAuth);
    }
    let collection = collection_of(tx, list).await?;
    if let (ListPath::Records(_, id), None) = (list, &collection) {
        return Err(ApiError::NoSuchParent { resource: Resource::Collection, id: id.to_string() });
    }
    let rows = if is_public {
        let (bucket, collection) = (list.bucket_id(), list.collection_id());
        let parameters: [Parameter<'_>; 2] = [(&bucket, Type::TEXT), (&collection, Type::TEXT)];
        rows(tx, all_sql(list.resource())?, &parameters, max_bytes).await?
    } else {
        // Whoever sees single objects sees no tombstones (`kinto-http-api.md` §4.7.2).
        let (bucket, collection) = (list.bucket_id(), list.collection_id());
        let parameters: [Parameter<'_>; 3] =
            [(&bucket, Type::TEXT), (&collection, Type::TEXT), (&shared, Type::TEXT_ARRAY)];
        rows(tx, some_sql(list.resource())?, &parameters, max_bytes).await?
    };
    Ok(Listed { timestamp: timestamp(tx, list).await?, rows, collection })
}

async fn is_any_public(tx: &Tx<'_>, bucket: &str, uris: Vec<String>) -> Result<bool, ApiError> {
    const SQL: &str = "
        select exists (
            select from public_object where bucket_id = $1 and object_uri = any ($2))";

    let parameters: [Parameter<'_>; 2] = [(&bucket, Type::TEXT), (&uris, Type::TEXT_ARRAY)];
    Ok(tx.query_typed_one(SQL, &parameters).await?.try_get(0)?)
}

/// The objects of a list that everybody may read each by itself (§4.4).
async fn shared_ids(tx: &Tx<'_>, list: &ListPath) -> Result<Vec<String>, ApiError> {
    const BUCKETS: &str = "
        select bucket_id from public_object where object_uri = '/buckets/' || bucket_id limit $1";
    const OTHERS: &str = "
        select substr(object_uri, length($2) + 1) from public_object
        where bucket_id = $1 and starts_with(object_uri, $2)
          and strpos(substr(object_uri, length($2) + 1), '/') = 0
        limit $3";

    let rows = if *list == ListPath::Buckets {
        tx.query_typed(BUCKETS, &[(&(MAX_SHARED + 1), Type::INT8)]).await?
    } else {
        let (bucket, below) = (list.bucket_id(), format!("{list}/"));
        let parameters: [Parameter<'_>; 3] =
            [(&bucket, Type::TEXT), (&below, Type::TEXT), (&(MAX_SHARED + 1), Type::INT8)];
        tx.query_typed(OTHERS, &parameters).await?
    };
    if rows.len() > usize::try_from(MAX_SHARED).unwrap_or(usize::MAX) {
        return Err(ApiError::backend("too many objects of the list are public by themselves"));
    }
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The attributes of a list of records' collection.
async fn collection_of(
    tx: &Tx<'_>,
    list: &ListPath,
) -> Result<Option<Map<String, Value>>, ApiError> {
    match (list, list.parent()) {
        (ListPath::Records(..), Some(parent)) => {
            Ok(attributes(tx, &parent).await?.map(|(_, attributes)| attributes))
        }
        _ => Ok(None),
    }
}

async fn attributes(
    tx: &Tx<'_>,
    path: &ObjectPath,
) -> Result<Option<(Timestamp, Map<String, Value>)>, ApiError> {
    let (bucket, collection) = (path.bucket_id(), path.collection_id());
    let id = path.id.as_str();
    let parameters: [Parameter<'_>; 3] =
        [(&bucket, Type::TEXT), (&collection, Type::TEXT), (&id, Type::TEXT)];
    let row = tx.query_typed_opt(one_sql(path.resource())?, &parameters).await?;
    row.map(|row| Ok((Timestamp::from_millis(row.try_get(0)?), members(row.try_get(1)?)?)))
        .transpose()
}

/// The list's timestamp. Where nothing was ever written to it, its parent's stands for it
/// (`remote-settings.md` §3.6).
async fn timestamp(tx: &Tx<'_>, list: &ListPath) -> Result<Timestamp, ApiError> {
    const SQL: &str = "
        select last_modified from resource_timestamp
        where bucket_id = $1 and collection_id = $2 and resource_name = $3";

    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    let name = list.resource().name();
    let parameters: [Parameter<'_>; 3] =
        [(&bucket, Type::TEXT), (&collection, Type::TEXT), (&name, Type::TEXT)];
    let row = tx.query_typed_opt(SQL, &parameters).await?;
    if let Some(row) = row {
        return Ok(Timestamp::from_millis(row.try_get(0)?));
    }
    match list.parent() {
        Some(parent) => {
            let found = attributes(tx, &parent).await?;
            Ok(found.map_or(Timestamp::ZERO, |(timestamp, _)| timestamp))
        }
        None => Ok(Timestamp::ZERO),
    }
}

async fn rows(
    tx: &Tx<'_>,
    sql: &'static str,
    parameters: &[Parameter<'_>],
    max_bytes: usize,
) -> Result<Vec<Row>, ApiError> {
    let mut stream = pin!(tx.query_typed_raw(sql, parameters.iter().cloned()).await?);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        let text: &str = row.try_get("data")?;
        bytes += text.len() + 64;
        if bytes > max_bytes {
            return Err(ApiError::backend("the list is larger than database_reads.max_bytes"));
        }
        rows.push(Row {
            id: row.try_get("id")?,
            last_modified: Timestamp::from_millis(row.try_get("last_modified")?),
            deleted: row.try_get("deleted")?,
            data: members(text)?,
        });
    }
    Ok(rows)
}

fn members(text: &str) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_str(text).map_err(|error| ApiError::Internal(error.into()))
}

fn one_sql(resource: Resource) -> Result<&'static str, ApiError> {
    match resource {
        Resource::Bucket => Ok("
            select last_modified, data::text as data from bucket
            where bucket_id = $1 and collection_id = $2 and id = $3 and not deleted"),
        Resource::Collection => Ok("
            select last_modified, data::text as data from collection
            where bucket_id = $1 and collection_id = $2 and id = $3 and not deleted"),
        Resource::Record => Ok("
            select last_modified, data::text as data from record
            where bucket_id = $1 and collection_id = $2 and id = $3 and not deleted"),
        Resource::Group | Resource::Account | Resource::History => Err(not_here()),
    }
}

fn all_sql(resource: Resource) -> Result<&'static str, ApiError> {
    match resource {
        Resource::Collection => Ok("
            select id, last_modified, deleted, data::text as data from collection
            where bucket_id = $1 and collection_id = $2 order by last_modified desc"),
        Resource::Record => Ok("
            select id, last_modified, deleted, data::text as data from record
            where bucket_id = $1 and collection_id = $2 and last_modified >= 0
            order by last_modified desc"),
        // Nothing is above buckets that could be public.
        Resource::Bucket | Resource::Group | Resource::Account | Resource::History => {
            Err(not_here())
        }
    }
}

fn some_sql(resource: Resource) -> Result<&'static str, ApiError> {
    match resource {
        Resource::Bucket => Ok("
            select id, last_modified, deleted, data::text as data from bucket
            where $1 = '' and collection_id = $2 and bucket_id = any ($3) and id = bucket_id
              and not deleted
            order by last_modified desc"),
        Resource::Collection => Ok("
            select id, last_modified, deleted, data::text as data from collection
            where bucket_id = $1 and collection_id = $2 and id = any ($3) and not deleted
            order by last_modified desc"),
        Resource::Record => Ok("
            select id, last_modified, deleted, data::text as data from record
            where bucket_id = $1 and collection_id = $2 and id = any ($3) and not deleted
            order by last_modified desc"),
        Resource::Group | Resource::Account | Resource::History => Err(not_here()),
    }
}

fn not_here() -> ApiError {
    ApiError::internal("the reader does not read these")
}
