//! Objects and lists that everybody may read, as Kinto shows them (`kinto-http-api.md` §2 to §4).
//!
//! What is published is answered from memory, and never otherwise: no record of it leaves without a
//! signature that verified. The rest is read from the database when somebody asks, and remembered
//! for a moment. Nobody signs in here: who asks is everybody.
//!
//! | module | what it holds |
//! |---|---|
//! | [`place`] | which object or list a URL names |
//! | [`database`] | what is read when somebody asks, and how much of it at once |
//! | [`mod@list`] | the answer to a list's URL |
//! | `pages` | which rows a page holds |
//! | [`mod@object`] | the answer to an object's URL |

pub mod database;
pub mod list;
pub mod object;
mod pages;
pub mod place;
mod reads;

use std::sync::Arc;

use http::request::Parts;
use shared::{
    config::cache_expires,
    error::{ApiError, Detail, Location},
    http::Reply,
    model::{Id, ListPath, ObjectPath, Resource, Timestamp},
};

pub use self::{database::Database, place::Place, reads::Reads};
use self::{
    list::{Listed, Listing},
    object::Single,
};
use crate::{app::App, handlers, routes::Api, snapshot::Collection};

/// Answers GET and HEAD.
///
/// # Errors
///
/// 401 for what everybody may not read, or for what nobody can tell from it; 404 below what
/// everybody may read; 400, 412; 503 where the database is needed, and away or busy.
pub async fn answer(
    app: &App,
    place: &Place<'_>,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    match place {
        Place::Buckets => list(app, ListPath::Buckets, head, now).await,
        Place::Bucket(bucket) => object(app, ObjectPath::bucket(known(bucket)?), head, now).await,
        Place::Collections(bucket) => {
            list(app, ListPath::Collections(known(bucket)?), head, now).await
        }
        Place::Collection(bucket, id) => collection(app, bucket, id, head, now).await,
        Place::Records(bucket, id) => records(app, bucket, id, head, now).await,
        Place::Record(bucket, id, record) => self::record(app, bucket, id, record, head, now).await,
    }
}

/// What cannot exist, nobody may read.
fn known(id: &str) -> Result<Id, ApiError> {
    Id::new(id).map_err(|_| ApiError::MissingAuth)
}

fn is_held(app: &App, bucket: &str, id: &str) -> bool {
    app.config.changes.monitored.contains(bucket, id)
}

async fn collection(
    app: &App,
    bucket: &str,
    id: &str,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let bucket = known(bucket)?;
    if is_held(app, &bucket, id) {
        return held_collection(app, bucket, id, head, now);
    }
    let Ok(id) = Id::new(id) else {
        let parent = app.public.object(app, &ObjectPath::bucket(bucket)).await?;
        return Err(if parent.is_readable { invalid_id() } else { ApiError::MissingAuth });
    };
    object(app, ObjectPath::collection(bucket, id), head, now).await
}

fn held_collection(
    app: &App,
    bucket: Id,
    id: &str,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let found = match handlers::find(app, Api::V1, &bucket, id) {
        Ok(found) => Some(found),
        Err(ApiError::NoSuchParent { .. }) if Id::new(id).is_err() => return Err(invalid_id()),
        Err(ApiError::NoSuchParent { .. }) => None,
        Err(error) => return Err(error),
    };
    let object = found.as_ref().map(|found| (found.metadata_timestamp, &found.object));
    let list = ListPath::Collections(bucket);
    Single { list: &list, id, object, attribute: None }.reply(app, head, now)
}

async fn records(
    app: &App,
    bucket: &str,
    id: &str,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let bucket = known(bucket)?;
    let Ok(collection) = Id::new(id) else { return Err(no_collection(app, bucket, id).await?) };
    let list = ListPath::Records(bucket, collection);
    if !is_held(app, list.bucket_id(), list.collection_id()) {
        return self::list(app, list, head, now).await;
    }
    let found = handlers::find(app, Api::V1, list.bucket_id(), list.collection_id())?;
    let (timestamp, attribute) = (found.timestamp, cache_expires(&found.object));
    Listing { list, timestamp, attribute, rows: found }.reply(app, head, now).await
}

async fn record(
    app: &App,
    bucket: &str,
    id: &str,
    record: &str,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let bucket = known(bucket)?;
    let Ok(collection) = Id::new(id) else { return Err(no_collection(app, bucket, id).await?) };
    let list = ListPath::Records(bucket.clone(), collection.clone());
    if is_held(app, &bucket, id) {
        let found = handlers::find(app, Api::V1, &bucket, id)?;
        return held_record(app, &list, record, &found, head, now).await;
    }
    let Ok(record) = Id::new(record) else {
        let parent = app.public.object(app, &ObjectPath::collection(bucket, collection)).await?;
        return Err(match (parent.is_readable, &parent.found) {
            (false, _) => ApiError::MissingAuth,
            (true, Some(_)) => invalid_id(),
            (true, None) => unknown_collection(id),
        });
    };
    object(app, list.object(record), head, now).await
}

async fn held_record(
    app: &App,
    list: &ListPath,
    id: &str,
    found: &Arc<Collection>,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let id = Id::new(id).map_err(|_| invalid_id())?;
    let record = list::find(app, found.clone(), id.clone()).await?;
    let object = record.as_ref().map(|(timestamp, record)| (*timestamp, record));
    let attribute = cache_expires(&found.object);
    Single { list, id: &id, object, attribute }.reply(app, head, now)
}

/// What is told about records of a collection that cannot exist: whoever may read the bucket knows
/// what is in it.
async fn no_collection(app: &App, bucket: Id, id: &str) -> Result<ApiError, ApiError> {
    let parent = app.public.object(app, &ObjectPath::bucket(bucket)).await?;
    if !parent.is_readable {
        return Ok(ApiError::MissingAuth);
    }
    Ok(unknown_collection(id))
}

fn unknown_collection(id: &str) -> ApiError {
    ApiError::NoSuchParent { resource: Resource::Collection, id: id.to_owned() }
}

fn invalid_id() -> ApiError {
    ApiError::Invalid(vec![Detail::whole(Location::Path, "Invalid object id")])
}

/// An object that is read from the database.
async fn object(
    app: &App,
    path: ObjectPath,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let seen = app.public.object(app, &path).await?;
    if !seen.is_readable {
        return Err(ApiError::MissingAuth);
    }
    if !seen.has_parent {
        let id = path.collection_id().to_owned();
        return Err(ApiError::NoSuchParent { resource: Resource::Collection, id });
    }
    let object = seen.found.as_ref().map(|(timestamp, object)| (*timestamp, object));
    let attribute = seen.attribute;
    Single { list: &path.list, id: &path.id, object, attribute }.reply(app, head, now)
}

/// A list that is read from the database.
async fn list(app: &App, list: ListPath, head: &Parts, now: Timestamp) -> Result<Reply, ApiError> {
    let Listed { timestamp, attribute, rows } = app.public.list(app, &list).await?;
    Listing { list, timestamp, attribute, rows }.reply(app, head, now).await
}
