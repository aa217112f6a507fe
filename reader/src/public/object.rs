//! The answer to an object's URL (`kinto-http-api.md` §2.9.1).

use http::{StatusCode, request::Parts};
use serde_json::{Map, Value, json};
use shared::{
    config::kept,
    error::ApiError,
    http::{Query, Reply},
    listing::Selection,
    model::{ListPath, Timestamp},
    preconditions::{Preconditions, Verdict},
    wire::SurrogateKey,
};

use crate::{app::App, snapshot::add_keys};

/// An object that everybody may read, if it exists.
#[derive(Debug)]
pub struct Single<'a> {
    /// The list that would hold it.
    pub list: &'a ListPath,
    /// Its id.
    pub id: &'a str,
    /// Its timestamp, and the object with its `id` and `last_modified`.
    pub object: Option<(Timestamp, &'a Map<String, Value>)>,
    /// `cache_expires` of a record's collection.
    pub attribute: Option<u32>,
}

impl Single<'_> {
    /// Answers GET and HEAD.
    ///
    /// # Errors
    ///
    /// 400, 404 and 412.
    pub fn reply(&self, app: &App, head: &Parts, now: Timestamp) -> Result<Reply, ApiError> {
        let sent = Query::parse(head.uri.query().unwrap_or_default())?;
        let conditions = Preconditions::parse(&head.headers).map_err(ApiError::Invalid)?;
        let Some((timestamp, object)) = self.object else {
            let resource = self.list.resource();
            return Err(ApiError::NoSuchObject { resource, id: self.id.to_owned() });
        };
        let reply = match conditions.for_read(timestamp) {
            Verdict::NotModified => Reply::empty(StatusCode::NOT_MODIFIED),
            Verdict::Failed => {
                let existing = Some(Value::Object(object.clone()));
                return Err(ApiError::ModifiedMeanwhile { existing, current: Some(timestamp) });
            }
            Verdict::Proceed => {
                let lifetime = app.config.lifetimes.of_list(self.list, self.attribute);
                kept(shown(object, Selection::of_object(&sent)), lifetime, now)
            }
        };
        let mut reply = reply.version(timestamp);
        add_keys(&mut reply.headers, &self.keys());
        Ok(reply)
    }

    fn keys(&self) -> Vec<SurrogateKey> {
        match self.list {
            ListPath::Collections(bucket) => SurrogateKey::of_collection(bucket, self.id),
            ListPath::Records(bucket, collection) => {
                SurrogateKey::of_collection(bucket, collection)
            }
            ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => {
                SurrogateKey::of_bucket(self.id)
            }
        }
    }
}

/// With permissions, of which everybody sees none; they go first (§0.1.2). With `_fields` they are
/// not among what is shown (§3.7.2).
fn shown(object: &Map<String, Value>, selection: Option<Selection>) -> Reply {
    #[derive(serde::Serialize)]
    struct Body<'a> {
        permissions: Value,
        data: &'a Map<String, Value>,
    }
    match selection {
        Some(selection) => Reply::json(StatusCode::OK, &json!({"data": selection.of(object)})),
        None => Reply::json(StatusCode::OK, &Body { permissions: json!({}), data: object }),
    }
}
