//! What is told of a change, or of a step of the review (`remote-settings.md` §1.17, §8).

use std::net::IpAddr;

use serde_json::{Map, Value, json};
use shared::model::{Id, ListPath, ObjectPath, Timestamp};

use crate::{
    context::Change,
    signoff::events::{ReviewEvent, ReviewKind},
    store::objects::Object,
};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A record or a collection was created, updated or deleted.
    Changed,
    /// A review went on.
    Review(ReviewKind),
}

impl Kind {
    /// The names that a hook may call it by; the first is shown.
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Changed => {
                vec!["kinto.core.events.ResourceChanged", "kinto.core.events.AfterResourceChanged"]
            }
            Self::Review(kind) => vec![kind.name()],
        }
    }
}

/// Something that happened to one record or collection.
#[derive(Debug, Clone)]
pub struct Event {
    /// What.
    pub kind: Kind,
    /// The bucket.
    pub bucket: Id,
    /// The collection that changed, or that holds the record.
    pub collection: Id,
    /// The record.
    pub record: Option<Id>,
    /// `create`, `update` or `delete`.
    pub action: &'static str,
    /// `timestamp`, `uri`, `user_id`, `comment`, …
    pub payload: Map<String, Value>,
    /// As it was.
    pub old: Option<Value>,
    /// As it is.
    pub new: Option<Value>,
}

/// What is told of the request that an event comes from.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The URL of the hello view.
    pub root_url: String,
    /// The client, as far as proxies tell.
    pub client: Option<IpAddr>,
    /// The client's program.
    pub user_agent: String,
}

/// What templates may know of the settings.
#[derive(Debug, Clone, Copy)]
pub struct Project<'a> {
    /// `project_name`.
    pub name: &'a str,
    /// `project_version`.
    pub version: &'a str,
}

impl Event {
    /// The event of a change of a record or a collection; nobody is told of other changes.
    pub fn of_change(change: &Change) -> Option<Self> {
        let (bucket, collection, record) = addressed(&change.path)?;
        let value = |object: &Option<Object>| object.as_ref().map(Object::to_value);
        let (old, new) = (value(&change.old), value(&change.new));
        let action = match (&old, &new) {
            (None, Some(_)) => "create",
            (Some(_), Some(_)) => "update",
            (_, None) => "delete",
        };
        let kind = Kind::Changed;
        let payload = Map::new();
        let event = Self { kind, bucket, collection, record, action, payload, old, new };
        Some(event.with_payload(&change.path, change.timestamp, change.user_id.as_deref()))
    }

    /// The event of a review.
    pub fn of_review(review: &ReviewEvent) -> Option<Self> {
        let (bucket, collection, record) = addressed(&review.triple.source)?;
        let (old, new) = (Some(review.old.clone()), Some(review.new.clone()));
        let (kind, payload) = (Kind::Review(review.kind), review.payload());
        Some(Self { kind, bucket, collection, record, action: "update", payload, old, new })
    }

    /// Whether it tells that a request was withdrawn.
    pub fn is_cancellation(&self) -> bool {
        self.kind == Kind::Review(ReviewKind::Canceled)
    }

    /// Adds what all events tell.
    fn with_payload(mut self, path: &ObjectPath, at: Timestamp, user: Option<&str>) -> Self {
        let common = [
            ("timestamp", at.as_millis().into()),
            ("action", self.action.into()),
            ("uri", path.to_string().into()),
            ("user_id", json!(user)),
            ("resource_name", self.resource_name().into()),
            ("bucket_id", self.bucket.as_str().into()),
            ("collection_id", self.collection.as_str().into()),
        ];
        self.payload.extend(common.map(|(name, value)| (name.to_owned(), value)));
        if let Some(record) = &self.record {
            self.payload.insert("record_id".to_owned(), record.as_str().into());
        }
        self
    }

    const fn resource_name(&self) -> &'static str {
        if self.record.is_some() { "record" } else { "collection" }
    }

    /// The object's id.
    pub fn id(&self) -> &str {
        self.record.as_ref().unwrap_or(&self.collection).as_str()
    }

    /// The values that a filter compares. An event of a collection has the record's placeholder
    /// instead of its id, as in the reference: a hook of one record does not want it.
    pub fn values(&self, field: &str) -> Vec<&str> {
        match field {
            "event" => self.kind.names(),
            "action" => vec![self.action],
            "resource_name" => vec![self.resource_name()],
            "id" => vec![self.id()],
            "collection_id" => vec![&self.collection],
            "record_id" => vec![self.record.as_ref().map_or("{record_id}", Id::as_str)],
            _ => Vec::new(),
        }
    }

    /// What placeholders stand for.
    pub fn context(&self, asked: &Asked, project: Project<'_>) -> Map<String, Value> {
        let mut context = self.payload.clone();
        let client = asked.client.map_or_else(String::new, |address| address.to_string());
        let more = [
            ("event", self.kind.names()[0].into()),
            ("id", self.id().into()),
            ("impacted_objects", json!([self.impacted()])),
            ("root_url", asked.root_url.as_str().into()),
            ("client_address", client.into()),
            ("user_agent", asked.user_agent.as_str().into()),
            (
                "settings",
                json!({
                    "project_name": project.name,
                    "project_version": project.version,
                    "url": asked.root_url,
                }),
            ),
        ];
        context.extend(more.map(|(name, value)| (name.to_owned(), value)));
        context
    }

    /// `{"old": {…}, "new": {…}}`, each where it is.
    fn impacted(&self) -> Value {
        let both = [("old", &self.old), ("new", &self.new)];
        let there = both.into_iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
        Value::Object(there.map(|(name, value)| (name.to_owned(), value.clone())).collect())
    }

    /// The body of a webhook: the event as JSON. What is very large is left out: the URI says
    /// where it is.
    pub fn body(&self, at: Timestamp, text: Option<String>) -> Value {
        const LARGE: usize = 64 << 10;
        let mut data = self.payload.clone();
        let impacted = json!([self.impacted()]);
        if impacted.to_string().len() <= LARGE {
            data.insert("impacted_objects".to_owned(), impacted);
        }
        if let Some(text) = text {
            data.insert("text".to_owned(), text.into());
        }
        json!({"type": self.kind.names()[0], "timestamp": at.iso8601(), "data": data})
    }
}

fn addressed(path: &ObjectPath) -> Option<(Id, Id, Option<Id>)> {
    match &path.list {
        ListPath::Records(bucket, collection) => {
            Some((bucket.clone(), collection.clone(), Some(path.id.clone())))
        }
        ListPath::Collections(bucket) => Some((bucket.clone(), path.id.clone(), None)),
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::aces::Acl;

    fn change(uri: &str, old: bool, new: bool) -> Change {
        let path = ObjectPath::parse(uri).unwrap();
        let object = |n: i64| Object {
            id: path.id.to_string(),
            last_modified: Timestamp::from_millis(n),
            deleted: false,
            data: Map::from_iter([("n".to_owned(), n.into())]),
        };
        Change {
            user_id: Some("account:bob".to_owned()),
            old: old.then(|| object(1)),
            new: new.then(|| object(2)),
            timestamp: Timestamp::from_millis(2),
            acl: Acl::new(),
            posted: Map::new(),
            path: path.clone(),
        }
    }

    #[test]
    fn a_record_s_event_tells_where_and_by_whom() {
        let event = Event::of_change(&change("/buckets/b/collections/c/records/r", true, true));

        let event = event.unwrap();
        assert_eq!(
            Value::Object(event.payload.clone()),
            json!({
                "timestamp": 2, "action": "update", "user_id": "account:bob",
                "uri": "/buckets/b/collections/c/records/r", "resource_name": "record",
                "bucket_id": "b", "collection_id": "c", "record_id": "r",
            })
        );
        let asked = Asked { root_url: "http://h/v1/".to_owned(), ..Asked::default() };
        let context = event.context(&asked, Project { name: "p", version: "1" });
        assert_eq!(
            (&context["id"], &context["event"]),
            (&json!("r"), &event.kind.names()[0].into())
        );
        assert_eq!(context["settings"]["url"], "http://h/v1/");
        assert_eq!(context["impacted_objects"][0]["new"]["n"], 2);
    }

    #[test]
    fn a_collection_s_event_is_not_one_of_a_record() {
        let event = Event::of_change(&change("/buckets/b/collections/c", false, true)).unwrap();

        assert_eq!(event.values("record_id"), ["{record_id}"]);
        assert_eq!((event.id(), event.action), ("c", "create"));
        assert!(!event.payload.contains_key("record_id"));
        assert!(Event::of_change(&change("/buckets/b/groups/g", true, true)).is_none());
        assert!(Event::of_change(&change("/buckets/b", true, false)).is_none());
    }

    #[test]
    fn a_webhook_s_body_leaves_out_what_is_large() {
        let mut change = change("/buckets/b/collections/c/records/r", true, false);
        let small = Event::of_change(&change).unwrap().body(Timestamp::ZERO, None);
        assert_eq!(
            small["data"]["impacted_objects"],
            json!([{"old": {"id": "r", "last_modified": 1, "n": 1}}])
        );
        assert_eq!(small["type"], "kinto.core.events.ResourceChanged");

        change.old.as_mut().unwrap().data.insert("x".to_owned(), "x".repeat(65 << 10).into());
        let large = Event::of_change(&change).unwrap().body(Timestamp::ZERO, Some("hi".to_owned()));
        assert!(large["data"].get("impacted_objects").is_none());
        assert_eq!(large["data"]["text"], "hi");
    }
}
