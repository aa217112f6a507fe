//! The list of what belongs to a snapshot: a line with format and checksum, then JSON.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use shared::{model::Timestamp, store::published::Version};

use super::{Problem, files};
use crate::snapshot::Published;

/// The file's name.
pub(super) const NAME: &str = "snapshot";
/// The first words of the file. Another number is another format, which is not read.
const FORMAT: &str = "countersign-snapshot 1";

/// A snapshot, without the content of its collections. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    watermark: i64,
    /// When the database last confirmed it, as far as that was written.
    confirmed: i64,
    broadcast: Option<i64>,
    /// The highest timestamp that the list of collections ever had.
    #[serde(default)]
    shown: Option<i64>,
    /// The earliest publication that is not among the collections, as it was refused.
    #[serde(default)]
    held_back: Option<i64>,
    /// Paths below `/v1/cert-chains/`, and PEM.
    pub chains: Vec<(String, String)>,
    /// Buckets that everybody may read.
    pub public_buckets: Vec<String>,
    /// Everything that is served.
    pub collections: Vec<StoredCollection>,
}

/// Where a collection stands, and which file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCollection {
    bucket: String,
    collection: String,
    timestamp: i64,
    metadata_timestamp: i64,
    tombstone_horizon: i64,
    public: bool,
    /// The file's name.
    pub(super) file: String,
}

impl StoredCollection {
    pub(super) fn new(version: &Version, file: String) -> Self {
        Self {
            bucket: version.bucket.clone(),
            collection: version.collection.clone(),
            timestamp: version.timestamp.as_millis(),
            metadata_timestamp: version.metadata_timestamp.as_millis(),
            tombstone_horizon: version.tombstone_horizon.as_millis(),
            public: version.public,
            file,
        }
    }

    pub(super) fn key(&self) -> (String, String) {
        (self.bucket.clone(), self.collection.clone())
    }

    /// Where it stands.
    pub fn version(&self) -> Version {
        Version {
            bucket: self.bucket.clone(),
            collection: self.collection.clone(),
            timestamp: Timestamp::from_millis(self.timestamp),
            metadata_timestamp: Timestamp::from_millis(self.metadata_timestamp),
            tombstone_horizon: Timestamp::from_millis(self.tombstone_horizon),
            public: self.public,
        }
    }

    /// Whether it has the content of this version.
    pub(super) fn is_of(&self, version: &Version) -> bool {
        Version { public: self.public, ..version.clone() } == self.version()
    }
}

impl Stored {
    /// `None` while a collection that is served is not on disk.
    pub(super) fn new(
        published: &Published,
        broadcast: Option<Timestamp>,
        now: Timestamp,
        known: &HashMap<(String, String), StoredCollection>,
    ) -> Option<Self> {
        let mut collections = Vec::new();
        for (bucket, id, slot) in published.iter() {
            let Some(good) = &slot.good else { continue };
            let stored = known.get(&(bucket.to_owned(), id.to_owned()))?;
            let stands = (good.timestamp, good.metadata_timestamp, good.horizon);
            let version = stored.version();
            if stands != (version.timestamp, version.metadata_timestamp, version.tombstone_horizon)
            {
                return None;
            }
            collections.push(StoredCollection { public: slot.public, ..stored.clone() });
        }
        collections.sort_by_key(StoredCollection::key);
        let mut chains: Vec<(String, String)> = published.chains.rows().collect();
        chains.sort();
        let mut public_buckets: Vec<String> = published.public_buckets().cloned().collect();
        public_buckets.sort();
        Some(Self {
            watermark: published.watermark.as_millis(),
            confirmed: now.as_millis(),
            broadcast: broadcast.map(Timestamp::as_millis),
            shown: published.monitor.shown.map(Timestamp::as_millis),
            held_back: published.monitor.entries.held_back().map(Timestamp::as_millis),
            chains,
            public_buckets,
            collections,
        })
    }

    /// The watermark that it belongs to.
    pub fn watermark(&self) -> Timestamp {
        Timestamp::from_millis(self.watermark)
    }

    /// When the database had confirmed it.
    pub fn confirmed(&self) -> Timestamp {
        Timestamp::from_millis(self.confirmed)
    }

    /// What push services were told.
    pub fn broadcast(&self) -> Option<Timestamp> {
        self.broadcast.map(Timestamp::from_millis)
    }

    /// The highest timestamp that its list of collections ever had.
    pub fn shown(&self) -> Option<Timestamp> {
        self.shown.map(Timestamp::from_millis)
    }

    /// The earliest publication that it lacks.
    pub fn held_back(&self) -> Option<Timestamp> {
        self.held_back.map(Timestamp::from_millis)
    }

    /// Whether there is nothing to write: a later confirmation alone is not worth it.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        Self { confirmed: other.confirmed, ..self.clone() } == *other
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &String> {
        self.collections.iter().map(|collection| &collection.file)
    }

    pub(super) fn names(&self, file: &str) -> bool {
        self.files().any(|name| name == file)
    }

    pub(super) fn render(&self) -> Vec<u8> {
        // Cannot fail: strings and numbers, into memory.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut out = format!("{FORMAT} {}\n", files::checksum(&json)).into_bytes();
        out.extend_from_slice(&json);
        out
    }

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
        let (head, json) = (&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
        let Some(sum) = head.strip_prefix(FORMAT.as_bytes()) else {
            return Err(Problem::Damaged("the list is in a format of another release, or none"));
        };
        if sum.trim_ascii() != files::checksum(json).as_bytes() {
            return Err(Problem::Damaged("the list's checksum is wrong"));
        }
        serde_json::from_slice(json).map_err(|_| Problem::Damaged("the list cannot be read"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored() -> Stored {
        Stored {
            watermark: 5,
            confirmed: 6,
            broadcast: Some(4),
            shown: Some(5),
            held_back: None,
            chains: vec![("p".to_owned(), "pem".to_owned())],
            public_buckets: vec!["main".to_owned()],
            collections: Vec::new(),
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let bytes = stored().render();
        assert_eq!(Stored::parse(&bytes).unwrap(), stored());

        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(Stored::parse(&damaged).is_err(), "byte {place}");
        }
        for length in 0..bytes.len() {
            assert!(Stored::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_list_of_a_former_release_is_read() {
        let json = br#"{"watermark":5,"confirmed":6,"broadcast":4,"chains":[],"public_buckets":[],
                        "collections":[]}"#;
        let bytes = [format!("{FORMAT} {}\n", files::checksum(json)).as_bytes(), json].concat();
        let read = Stored::parse(&bytes).unwrap();
        assert_eq!((read.watermark, read.shown(), read.held_back()), (5, None, None));
    }

    #[test]
    fn a_later_confirmation_alone_is_not_written() {
        assert!(stored().is_same_as(&Stored { confirmed: 9, ..stored() }));
        assert!(!stored().is_same_as(&Stored { broadcast: None, ..stored() }));
    }
}
