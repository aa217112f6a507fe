//! The four object tables.

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Resource, Timestamp},
    parameters,
    store::{Tx, Write},
};
use tokio_postgres::{Row, types::Json};

use super::{
    history,
    lookup::{self, Wanted},
    maintenance,
};

/// One statement text for each of the tables, which have the same columns.
macro_rules! sql {
    ($resource:expr, $before:literal, $after:literal) => {
        match $resource {
            Resource::Bucket => concat!($before, "bucket", $after),
            Resource::Group => concat!($before, "\"group\"", $after),
            Resource::Collection => concat!($before, "collection", $after),
            Resource::Record => concat!($before, "record", $after),
            Resource::Account => concat!($before, "account", $after),
            Resource::History => concat!($before, "history", $after),
        }
    };
}

/// A live object, or a tombstone in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Its id.
    pub id: String,
    /// When it was last written.
    pub last_modified: Timestamp,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Its members, without `id` and `last_modified`.
    pub data: Map<String, Value>,
}

impl Object {
    /// The object as clients see it.
    pub fn to_value(&self) -> Value {
        let mut data = if self.deleted { Map::new() } else { self.data.clone() };
        if self.deleted {
            data.insert("deleted".to_owned(), true.into());
        }
        data.insert("id".to_owned(), self.id.clone().into());
        data.insert("last_modified".to_owned(), self.last_modified.as_millis().into());
        Value::Object(data)
    }

    /// A text member.
    pub fn text(&self, member: &str) -> Option<&str> {
        self.data.get(member).and_then(Value::as_str)
    }

    pub(super) fn from_row(row: &Row) -> Result<Self, ApiError> {
        Ok(Self {
            id: row.try_get("id")?,
            last_modified: Timestamp::from_millis(row.try_get("last_modified")?),
            deleted: row.try_get("deleted")?,
            data: row.try_get::<_, Json<_>>("data")?.0,
        })
    }
}

/// The live object at `path`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn get(tx: &Tx<'_>, path: &ObjectPath) -> Result<Option<Object>, ApiError> {
    let text = sql!(
        path.resource(),
        "select id, last_modified, deleted, data from ",
        " where bucket_id = $1 and collection_id = $2 and id = $3 and not deleted"
    );
    let statement = tx.prepare_cached(text).await?;
    let key: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&path.bucket_id(), &path.collection_id(), &path.id.as_str()];
    tx.query_opt(&statement, &key).await?.map(|row| Object::from_row(&row)).transpose()
}

/// The live ones of some objects, in one query.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn get_all(
    tx: &Tx<'_>,
    paths: &[&ObjectPath],
) -> Result<Vec<(ObjectPath, Object)>, ApiError> {
    let wanted = Wanted { objects: paths.to_vec(), ..Wanted::default() };
    Ok(lookup::find(tx, &wanted).await?.objects)
}

/// Writes objects and tombstones of one kind over what was there. Fails with a constraint when a
/// sibling has an object's timestamp.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn put_all(
    tx: &Tx<'_>,
    resource: Resource,
    rows: Vec<(ObjectPath, Object)>,
) -> Result<Write, ApiError> {
    let text = sql!(
        resource,
        "insert into ",
        " (bucket_id, collection_id, id, last_modified, deleted, data)
         select * from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bool[],
                              $6::jsonb[])
         on conflict (bucket_id, collection_id, id) do update
            set last_modified = excluded.last_modified, deleted = excluded.deleted,
                data = excluded.data"
    );
    let (mut buckets, mut collections, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    let (mut times, mut deleted, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for (path, object) in rows {
        buckets.push(path.bucket_id().to_owned());
        collections.push(path.collection_id().to_owned());
        ids.push(object.id);
        times.push(object.last_modified.as_millis());
        deleted.push(object.deleted);
        data.push(Json(object.data));
    }
    tx.write(text, parameters![buckets, collections, ids, times, deleted, data]).await
}

/// All live records of a collection, newest first.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn records(tx: &Tx<'_>, list: &ListPath) -> Result<Vec<Object>, ApiError> {
    const SQL: &str = "
        select id, last_modified, deleted, data from record
        where bucket_id = $1 and collection_id = $2 and last_modified >= 0 and not deleted
        order by last_modified desc";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&list.bucket_id(), &list.collection_id()]).await?;
    rows.iter().map(Object::from_row).collect()
}

/// Whether a sibling, live or not, has that timestamp already.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn timestamp_is_taken(
    tx: &Tx<'_>,
    path: &ObjectPath,
    timestamp: Timestamp,
) -> Result<bool, ApiError> {
    let text = sql!(
        path.resource(),
        "select exists (select from ",
        " where (bucket_id = $1 or $1 = '') and collection_id = $2
            and last_modified >= 0 and last_modified = $3 and id <> $4)"
    );
    let statement = tx.prepare_cached(text).await?;
    let list = &path.list;
    let row = tx
        .query_one(
            &statement,
            &[&list.bucket_id(), &list.collection_id(), &timestamp.as_millis(), &path.id.as_str()],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Erases what is below a deleted bucket or collection: rows, tombstones and a bucket's timestamps,
/// but not permissions.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase_below(tx: &Tx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    // The timestamps first: that of history is locked before its entries, as by whoever deletes
    // entries.
    const BUCKET: [&str; 5] = [
        "delete from resource_timestamp where bucket_id = $1",
        "select erase_history($1)",
        "delete from record where bucket_id = $1",
        "delete from collection where bucket_id = $1",
        "delete from \"group\" where bucket_id = $1",
    ];
    // The list's timestamp stays, as a lock: who waits for it must find it, also when the
    // collection is made again, and then goes on from it.
    const COLLECTION: [&str; 2] = [
        "delete from record where bucket_id = $1 and collection_id = $2",
        "update resource_timestamp set live = 0 where bucket_id = $1 and collection_id = $2",
    ];
    match path.resource() {
        Resource::Bucket => {
            for text in BUCKET {
                let statement = tx.prepare_cached(text).await?;
                tx.execute(&statement, &[&path.bucket_id()]).await?;
            }
            maintenance::note_erasure(tx, path.bucket_id()).await?;
        }
        Resource::Collection => {
            for text in COLLECTION {
                let statement = tx.prepare_cached(text).await?;
                tx.execute(&statement, &[&path.bucket_id(), &path.id.as_str()]).await?;
            }
        }
        Resource::Group | Resource::Record | Resource::Account | Resource::History => {}
    }
    Ok(())
}

/// Removes a tombstone.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn purge(tx: &Tx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let text = sql!(
        path.resource(),
        "delete from ",
        " where bucket_id = $1 and collection_id = $2 and id = $3 and deleted"
    );
    let statement = tx.prepare_cached(text).await?;
    let key: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&path.bucket_id(), &path.collection_id(), &path.id.as_str()];
    tx.execute(&statement, &key).await?;
    Ok(())
}

/// What a push would do to a target's records.
#[derive(Debug, Default)]
pub struct Difference {
    /// Live in the target only.
    pub deleted: Vec<String>,
    /// Live in both, and different.
    pub replaced: Vec<String>,
    /// Live in the source only.
    pub created: Vec<String>,
}

impl Difference {
    /// How many records change.
    pub fn count(&self) -> usize {
        self.deleted.len() + self.replaced.len() + self.created.len()
    }
}

/// Compares two collections' live records, `last_modified` and `schema` apart
/// (`remote-settings.md` §1.11).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn difference(
    tx: &Tx<'_>,
    source: &ListPath,
    target: &ListPath,
) -> Result<Difference, ApiError> {
    const SQL: &str = "
        select coalesce(s.id, t.id) as id, s.id is not null as in_source,
               t.id is not null as in_target
        from (select id, data from record
              where bucket_id = $1 and collection_id = $2 and not deleted) s
        full join (select id, data from record
                   where bucket_id = $3 and collection_id = $4 and not deleted) t
          on s.id = t.id
        where s.id is null or t.id is null or s.data - 'schema' <> t.data - 'schema'
        order by 1";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx
        .query(
            &statement,
            &[
                &source.bucket_id(),
                &source.collection_id(),
                &target.bucket_id(),
                &target.collection_id(),
            ],
        )
        .await?;
    let mut difference = Difference::default();
    for row in &rows {
        let id: String = row.try_get("id")?;
        match (row.try_get("in_source")?, row.try_get("in_target")?) {
            (true, true) => difference.replaced.push(id),
            (true, false) => difference.created.push(id),
            (false, _) => difference.deleted.push(id),
        }
    }
    Ok(difference)
}

/// Copies records of `source` into `target` with new timestamps, counted up from `first`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn copy(
    tx: &Tx<'_>,
    source: &ListPath,
    target: &ListPath,
    ids: &[String],
    first: Timestamp,
) -> Result<(), ApiError> {
    const SQL: &str = "
        insert into record (bucket_id, collection_id, id, last_modified, deleted, data)
        select $3, $4, s.id, $6::bigint + wanted.number - 1, false, s.data
        from unnest($5::text[]) with ordinality as wanted (id, number)
        join record s on s.bucket_id = $1 and s.collection_id = $2 and s.id = wanted.id
        on conflict (bucket_id, collection_id, id) do update
           set last_modified = excluded.last_modified, deleted = false, data = excluded.data";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(
        &statement,
        &[
            &source.bucket_id(),
            &source.collection_id(),
            &target.bucket_id(),
            &target.collection_id(),
            &ids,
            &first.as_millis(),
        ],
    )
    .await?;
    Ok(())
}

/// Replaces objects of a list by tombstones with new timestamps, counted up from `first`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn delete_all(
    tx: &Tx<'_>,
    list: &ListPath,
    ids: &[String],
    first: Timestamp,
) -> Result<(), ApiError> {
    if list.resource() == Resource::History {
        return history::bury(tx, list.bucket_id(), ids, first).await;
    }
    let text = sql!(
        list.resource(),
        "update ",
        " as o set deleted = true, data = '{}', last_modified = $4::bigint + wanted.number - 1
         from unnest($3::text[]) with ordinality as wanted (id, number)
         where (o.bucket_id = $1 or $1 = '') and o.collection_id = $2 and o.id = wanted.id"
    );
    let statement = tx.prepare_cached(text).await?;
    let millis = first.as_millis();
    tx.execute(&statement, &[&list.bucket_id(), &list.collection_id(), &ids, &millis]).await?;
    Ok(())
}

/// The live collections of some buckets.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn collections_in(tx: &Tx<'_>, buckets: &[String]) -> Result<Vec<(Id, Id)>, ApiError> {
    const SQL: &str = "
        select bucket_id, id from collection
        where bucket_id = any ($1) and not deleted order by bucket_id, id";

    let statement = tx.prepare_cached(SQL).await?;
    let id = |text: &str| Id::new(text).map_err(|error| ApiError::Internal(error.into()));
    let rows = tx.query(&statement, &[&buckets]).await?;
    rows.iter().map(|row| Ok((id(row.try_get(0)?)?, id(row.try_get(1)?)?))).collect()
}

/// The ids of a bucket's live collections.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn collections_of(tx: &Tx<'_>, bucket: &str) -> Result<Vec<Id>, ApiError> {
    const SQL: &str = "select id from collection where bucket_id = $1 and not deleted order by id";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&bucket]).await?;
    rows.iter()
        .map(|row| Id::new(row.try_get("id")?).map_err(|error| ApiError::Internal(error.into())))
        .collect()
}
