//! The entries of published collections (`remote-settings.md` §3.2), and the changeset of them.

use std::cmp::Reverse;

use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use super::ChangesetQuery;
use crate::model::Timestamp;

const METADATA: &[u8] = br#"{"bucket":"monitor"}"#;

/// One published collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The bucket's id.
    pub bucket: String,
    /// The collection's id.
    pub collection: String,
    /// The records timestamp, deletions included.
    pub timestamp: Timestamp,
    /// The entry as clients see it.
    pub members: Map<String, Value>,
    /// The same as text.
    pub json: String,
}

/// All published collections, newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Entries {
    rows: Vec<Entry>,
    held_back: Option<Timestamp>,
    shown: Option<Timestamp>,
}

impl Entry {
    /// The entry of one collection, whose records timestamp is `timestamp`.
    pub fn new(http_host: &str, bucket: &str, collection: &str, timestamp: Timestamp) -> Self {
        let members = Map::from_iter([
            ("id".to_owned(), entry_id(http_host, bucket, collection).into()),
            ("last_modified".to_owned(), json!(timestamp)),
            ("bucket".to_owned(), bucket.into()),
            ("collection".to_owned(), collection.into()),
            ("host".to_owned(), http_host.into()),
        ]);
        Self {
            bucket: bucket.to_owned(),
            collection: collection.to_owned(),
            timestamp,
            json: Value::Object(members.clone()).to_string(),
            members,
        }
    }

    fn is_of(&self, query: &ChangesetQuery) -> bool {
        query.bucket.as_ref().is_none_or(|bucket| *bucket == self.bucket)
            && query.collection.as_ref().is_none_or(|collection| *collection == self.collection)
    }
}

impl Entries {
    /// Sorts the entries. Two of one timestamp always come in the same order.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| {
            let key = |entry: &Entry| Reverse(entry.timestamp);
            key(a).cmp(&key(b)).then_with(|| a.json.cmp(&b.json))
        });
        Self { rows: entries, ..Self::default() }
    }

    /// The same list, which lacks something that was published at `held_back`.
    #[must_use]
    pub fn lacking(self, held_back: Option<Timestamp>) -> Self {
        Self { held_back, ..self }
    }

    /// The same list, which follows one of the timestamp `shown`: what was the newest may be gone.
    #[must_use]
    pub fn after(self, shown: Option<Timestamp>) -> Self {
        Self { shown, ..self }
    }

    /// The earliest publication that the list lacks.
    pub const fn held_back(&self) -> Option<Timestamp> {
        self.held_back
    }

    /// Whether the list lacks something that was published.
    pub const fn is_lacking(&self) -> bool {
        self.held_back.is_some()
    }

    /// Up to where a client knows everything that has this list: the highest timestamp that it ever had,
    /// or that before what it lacks. A client that took a higher one for its `_since` would never hear of
    /// that. `None` when nothing is published.
    pub fn timestamp(&self) -> Option<Timestamp> {
        let newest = self.rows.first()?.timestamp;
        let newest = self.shown.map_or(newest, |shown| newest.max(shown));
        Some(self.most().map_or(newest, |most| newest.min(most)))
    }

    /// The same; the clock's where nothing is published, as nothing changed until then (§3.4).
    pub fn timestamp_at(&self, now: Timestamp) -> Timestamp {
        self.timestamp().unwrap_or_else(|| self.shown.map_or(now, |shown| now.max(shown)))
    }

    /// What no timestamp of this list may exceed.
    pub fn most(&self) -> Option<Timestamp> {
        self.held_back.map(|held_back| held_back.plus_millis(-1))
    }

    /// The entries, newest first.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.rows.iter()
    }

    /// The body that answers `query`; its timestamp ignores the filters.
    pub fn changeset(&self, query: &ChangesetQuery, now: Timestamp) -> Vec<u8> {
        let wanted: Vec<&str> = self
            .iter()
            .filter(|entry| entry.is_of(query))
            .filter(|entry| query.since.is_none_or(|since| entry.timestamp > since))
            .take(query.limit.unwrap_or(usize::MAX))
            .map(|entry| entry.json.as_str())
            .collect();
        changeset_body(METADATA, self.timestamp_at(now), &wanted)
    }

    /// Whether there is anything of the bucket or collection that `query` names.
    pub fn has(&self, query: &ChangesetQuery) -> bool {
        self.iter().any(|entry| entry.is_of(query))
    }

    /// The metadata of the whole list.
    pub const fn metadata() -> &'static [u8] {
        METADATA
    }
}

/// A changeset's body, of metadata and changes that are JSON already.
pub fn changeset_body(metadata: &[u8], timestamp: Timestamp, changes: &[&str]) -> Vec<u8> {
    let mut out = changeset_head(metadata, timestamp);
    out.extend_from_slice(changes.join(",").as_bytes());
    out.extend_from_slice(b"]}");
    out
}

/// The beginning of a changeset's body, up to the first change.
pub fn changeset_head(metadata: &[u8], timestamp: Timestamp) -> Vec<u8> {
    let mut out = b"{\"metadata\":".to_vec();
    out.extend_from_slice(metadata);
    out.extend_from_slice(format!(",\"timestamp\":{timestamp},\"changes\":[").as_bytes());
    out
}

/// A collection's attributes as its changeset shows them (§3.3).
pub fn changeset_metadata(
    bucket: &str,
    collection: &str,
    last_modified: Timestamp,
    mut attributes: Map<String, Value>,
) -> Vec<u8> {
    attributes.insert("id".to_owned(), collection.into());
    attributes.insert("bucket".to_owned(), bucket.into());
    attributes.insert("last_modified".to_owned(), last_modified.as_millis().into());
    Value::Object(attributes).to_string().into_bytes()
}

/// The id of a collection's entry: the MD5 of host and path in the form of a UUID (§3.2).
pub fn entry_id(http_host: &str, bucket: &str, collection: &str) -> String {
    let text = format!("{http_host}/buckets/{bucket}/collections/{collection}");
    uuid::Uuid::from_bytes(Md5::digest(text).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_ids_are_the_reference_s() {
        for (host, bucket, collection, id) in [
            ("", "a", "b", "9527d115-6191-fa49-a530-8fbfc4997755"),
            ("https://localhost:443", "a", "b", "fa48a96d-1600-f561-8645-3395acb08a5a"),
            ("rs.example.net", "main", "c", "31d0ba0e-1869-f1d6-adf7-2bd8d652d159"),
        ] {
            assert_eq!(entry_id(host, bucket, collection), id);
        }
    }

    #[test]
    fn filters_leave_the_timestamp_alone() {
        let entry = |bucket: &str, collection: &str, at| {
            Entry::new("", bucket, collection, Timestamp::from_millis(at))
        };
        let entries =
            Entries::new(vec![entry("a", "b", 5), entry("a", "c", 7), entry("z", "b", 6)]);
        let ask = |bucket: Option<&str>, collection: Option<&str>, since: Option<i64>| {
            let query = ChangesetQuery {
                bucket: bucket.map(str::to_owned),
                collection: collection.map(str::to_owned),
                since: since.map(Timestamp::from_millis),
                ..ChangesetQuery::default()
            };
            let body: Value =
                serde_json::from_slice(&entries.changeset(&query, Timestamp::ZERO)).unwrap();
            let changes = body["changes"].as_array().unwrap();
            let stamps: Vec<_> = changes.iter().map(|c| c["last_modified"].as_i64()).collect();
            (body["timestamp"].as_i64(), stamps.into_iter().flatten().collect())
        };

        assert_eq!(ask(None, Some("b"), None), (Some(7), vec![6, 5]));
        assert_eq!(ask(Some("a"), Some("b"), None), (Some(7), vec![5]));
        assert_eq!(ask(Some("a"), None, Some(5)), (Some(7), vec![7]));
    }

    #[test]
    fn what_a_list_lacks_is_after_its_timestamp() {
        let at = Timestamp::from_millis;
        let entry = |collection: &str, stamp| Entry::new("", "a", collection, at(stamp));
        let entries = Entries::new(vec![entry("b", 5), entry("c", 9)]);
        for (held_back, timestamp) in
            [(None, 9), (Some(12), 9), (Some(9), 8), (Some(7), 6), (Some(3), 2)]
        {
            let list = entries.clone().lacking(held_back.map(at));
            assert_eq!(list.timestamp(), Some(at(timestamp)), "{held_back:?}");
        }
        for (shown, held_back, timestamp) in [(11, None, 11), (7, None, 9), (11, Some(10), 9)] {
            let list = entries.clone().after(Some(at(shown))).lacking(held_back.map(at));
            assert_eq!(list.timestamp(), Some(at(timestamp)), "{shown} {held_back:?}");
        }
        let nothing = Entries::default().after(Some(at(7)));
        assert_eq!([5, 8].map(|now| nothing.timestamp_at(at(now)).as_millis()), [7, 8]);
        let list = entries.lacking(Some(at(7)));
        let body =
            list.changeset(&ChangesetQuery { since: Some(at(6)), ..Default::default() }, at(1));
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["timestamp"], &body["changes"][0]["collection"]),
            (&json!(6), &json!("c"))
        );
    }
}
