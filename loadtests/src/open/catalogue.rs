//! What a server publishes, as far as clients and checks must know it.

use serde_json::Value;

use crate::{client::Client, failure::Failure};

/// The list of published collections.
pub(crate) const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";
/// Clients do not read previews.
const PREVIEW: &str = "-preview";

/// The published state when a run begins.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    /// The monitor's timestamp.
    pub(crate) timestamp: i64,
    /// The timestamp before that, if there is one.
    pub(crate) previous: i64,
    /// The collections, newest first.
    pub(crate) collections: Vec<Published>,
}

/// A collection.
#[derive(Debug)]
pub(crate) struct Published {
    /// Its bucket's id.
    pub(crate) bucket: String,
    /// Its id.
    pub(crate) id: String,
    /// Its records timestamp.
    pub(crate) timestamp: i64,
    /// Its records.
    pub(crate) records: Vec<Value>,
    /// When its records changed, newest first, each once.
    pub(crate) times: Vec<i64>,
}

impl Published {
    /// The path of its changeset.
    pub(crate) fn path(&self) -> String {
        format!("/buckets/{}/collections/{}/changeset", self.bucket, self.id)
    }

    /// The timestamp that a client has who lacks the last `changes`; 0 when it has none at all.
    pub(crate) fn before(&self, changes: usize) -> i64 {
        if changes == 0 { self.timestamp } else { self.times.get(changes).copied().unwrap_or(0) }
    }

    fn new(bucket: &str, id: &str, mut changeset: Value) -> Result<Self, Failure> {
        let lacks = || Failure::Failed(format!("the changeset of {bucket}/{id} lacks its members"));
        let timestamp = changeset["timestamp"].as_i64().ok_or_else(lacks)?;
        let Value::Array(records) = changeset["changes"].take() else { return Err(lacks()) };
        let mut times: Vec<i64> =
            records.iter().filter_map(|record| record["last_modified"].as_i64()).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        times.dedup();
        let (bucket, id) = (bucket.to_owned(), id.to_owned());
        Ok(Self { bucket, id, timestamp, records, times })
    }
}

impl Catalogue {
    /// Asks a server for all of it.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it does not answer, or publishes nothing.
    pub(crate) async fn read(client: &Client) -> Result<Self, Failure> {
        let monitor = client.get_json(&format!("{MONITOR}?_expected=0")).await?;
        let timestamp = monitor["timestamp"].as_i64();
        let entries = monitor["changes"].as_array();
        let (Some(timestamp), Some(entries)) = (timestamp, entries) else {
            return Err(Failure::failed("the monitor's changeset lacks timestamp or changes"));
        };
        let mut collections = Vec::new();
        let mut previous = 0;
        for entry in entries {
            let (bucket, id) = (&entry["bucket"], &entry["collection"]);
            let (Some(bucket), Some(id)) = (bucket.as_str(), id.as_str()) else { continue };
            let modified = entry["last_modified"].as_i64().unwrap_or_default();
            if modified < timestamp {
                previous = previous.max(modified);
            }
            if bucket.ends_with(PREVIEW) {
                continue;
            }
            let path = format!("/buckets/{bucket}/collections/{id}/changeset?_expected={modified}");
            collections.push(Published::new(bucket, id, client.get_json(&path).await?)?);
        }
        if collections.is_empty() {
            let text = format!("{} publishes no collection", client.base());
            return Err(Failure::Failed(text));
        }
        collections.sort_by_key(|collection| std::cmp::Reverse(collection.timestamp));
        Ok(Self { timestamp, previous, collections })
    }

    /// The number of a collection.
    pub(crate) fn find(&self, bucket: &str, id: &str) -> Option<usize> {
        self.collections.iter().position(|it| it.bucket == bucket && it.id == id)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_client_that_lacks_some_changes_has_an_older_timestamp() {
        let changes: Vec<Value> =
            [7, 9, 5, 9].iter().map(|time| json!({"last_modified": time})).collect();
        let changeset = json!({"timestamp": 10, "changes": changes});
        let published = Published::new("main", "c", changeset).unwrap();
        let before = [0, 1, 2, 3, 100].map(|changes| published.before(changes));
        assert_eq!(before, [10, 7, 5, 0, 0]);
    }
}
