//! The list of published collections (`remote-settings.md` §3.2 and §3.4).

use std::cmp::Reverse;

use bytes::Bytes;
use serde_json::json;
use shared::{model::Timestamp, wire::entry_id};

use super::{Change, Draft, List, head};

const METADATA: &[u8] = br#"{"bucket":"monitor"}"#;

/// One published collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    bucket: String,
    collection: String,
    timestamp: Timestamp,
    json: String,
}

/// The list, rendered.
#[derive(Debug)]
pub struct Monitor {
    /// The highest timestamp; `None` when nothing is published.
    pub timestamp: Option<Timestamp>,
    /// Its changeset.
    pub list: List,
    entries: Vec<Entry>,
}

impl Entry {
    /// The entry of one collection, whose records timestamp is `timestamp`.
    pub fn new(http_host: &str, bucket: &str, collection: &str, timestamp: Timestamp) -> Self {
        let json = json!({
            "id": entry_id(http_host, bucket, collection),
            "last_modified": timestamp,
            "bucket": bucket,
            "collection": collection,
            "host": http_host,
        });
        Self {
            bucket: bucket.to_owned(),
            collection: collection.to_owned(),
            timestamp,
            json: json.to_string(),
        }
    }
}

impl Monitor {
    /// Sorts and renders the entries.
    pub fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| {
            let key = |entry: &Entry| Reverse(entry.timestamp);
            key(a).cmp(&key(b)).then_with(|| a.json.cmp(&b.json))
        });
        let changes: Vec<Change> = entries
            .iter()
            .map(|entry| Change {
                last_modified: entry.timestamp,
                deleted: false,
                json: entry.json.clone().into_bytes(),
            })
            .collect();
        let timestamp = entries.first().map(|entry| entry.timestamp);
        let list = Draft::new(METADATA, timestamp.unwrap_or_default(), &changes).finish();
        Self { timestamp, list, entries }
    }

    /// The body for one bucket or collection; the timestamp ignores these filters.
    pub fn filtered(
        &self,
        bucket: Option<&str>,
        collection: Option<&str>,
        since: Option<Timestamp>,
        limit: Option<usize>,
    ) -> Bytes {
        let wanted: Vec<&str> = self
            .entries
            .iter()
            .filter(|entry| bucket.is_none_or(|bucket| bucket == entry.bucket))
            .filter(|entry| collection.is_none_or(|collection| collection == entry.collection))
            .filter(|entry| since.is_none_or(|since| entry.timestamp > since))
            .take(limit.unwrap_or(usize::MAX))
            .map(|entry| entry.json.as_str())
            .collect();
        body(self.timestamp.unwrap_or_default(), &wanted)
    }

    /// The body when nothing is published: the clock's time, as nothing changed until then.
    pub fn empty(now: Timestamp) -> Bytes {
        body(now, &[])
    }
}

fn body(timestamp: Timestamp, entries: &[&str]) -> Bytes {
    let mut out = head(METADATA, timestamp);
    out.extend_from_slice(entries.join(",").as_bytes());
    out.extend_from_slice(b"]}");
    out.into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn filters_leave_the_timestamp_alone() {
        let entry = |bucket: &str, collection: &str, at| {
            Entry::new("", bucket, collection, Timestamp::from_millis(at))
        };
        let monitor =
            Monitor::new(vec![entry("a", "b", 5), entry("a", "c", 7), entry("z", "b", 6)]);
        let ids = |bucket, collection, since| -> (Value, Vec<i64>) {
            let body = monitor.filtered(bucket, collection, since, None);
            let body: Value = serde_json::from_slice(&body).unwrap();
            let changes = body["changes"].as_array().unwrap();
            let stamps = changes.iter().map(|c| c["last_modified"].as_i64().unwrap()).collect();
            (body["timestamp"].clone(), stamps)
        };

        assert_eq!(ids(None, Some("b"), None), (7.into(), vec![6, 5]));
        assert_eq!(ids(Some("a"), Some("b"), None), (7.into(), vec![5]));
        assert_eq!(ids(Some("a"), None, Some(Timestamp::from_millis(5))), (7.into(), vec![7]));
    }
}
