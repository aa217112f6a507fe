//! What clients have: the last verified versions of each collection.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::RngExt as _;
use serde_json::Value;

use super::poll::MONITOR;
use crate::{client::Client, failure::Failure, workspace::DESTINATION};

/// So many versions of a collection are kept: clients come with any of them.
const KEPT: usize = 12;
/// In this time, the reader must show all collections.
const PATIENCE: Duration = Duration::from_secs(30);

/// A verified version.
#[derive(Debug)]
pub(super) struct Version {
    /// Its timestamp.
    pub(super) timestamp: i64,
    /// Its records by id.
    pub(super) records: BTreeMap<String, Value>,
    /// The whole body, where it was fetched as such: a dictionary.
    pub(super) body: Vec<u8>,
}

/// A collection, as clients know it.
#[derive(Debug)]
pub(super) struct Known {
    /// Its id, in the bucket of destinations.
    pub(super) id: String,
    /// The newest timestamp that was ever answered: no later question gets an older one.
    pub(super) newest: AtomicI64,
    versions: Mutex<VecDeque<Arc<Version>>>,
}

impl Known {
    /// One of the versions, of any age.
    pub(super) fn any(&self) -> Option<Arc<Version>> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        if versions.is_empty() {
            return None;
        }
        versions.get(rand::rng().random_range(0..versions.len())).cloned()
    }

    /// Whether this very body was verified.
    pub(super) fn has(&self, body: &[u8]) -> bool {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.iter().any(|version| version.body == body)
    }

    /// Keeps a verified version; the same, fetched whole, takes the place of one without a body.
    pub(super) fn keep(&self, version: Version) {
        self.newest.fetch_max(version.timestamp, Ordering::Relaxed);
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let same = versions.iter().position(|known| known.timestamp == version.timestamp);
        match same {
            Some(_) if version.body.is_empty() => {}
            Some(place) => versions[place] = Arc::new(version),
            None => versions.push_back(Arc::new(version)),
        }
        if versions.len() > KEPT {
            versions.pop_front();
        }
    }
}

/// All collections.
#[derive(Debug)]
pub(super) struct Copies {
    known: Vec<Known>,
    /// The newest timestamp of the monitor that was ever answered.
    pub(super) monitor: AtomicI64,
}

impl Copies {
    /// Nobody has anything yet.
    pub(super) fn new(names: Vec<String>) -> Self {
        let known = |id| Known { id, newest: AtomicI64::new(0), versions: Mutex::default() };
        Self { known: names.into_iter().map(known).collect(), monitor: AtomicI64::new(0) }
    }

    /// Waits until a reader lists all of them.
    ///
    /// # Errors
    ///
    /// [`Failure`] when it does not.
    pub(super) async fn await_first(&self, reader: &Client) -> Result<(), Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let monitor = reader.get_json(&format!("{MONITOR}?_expected=0")).await?;
            let entries = monitor["changes"].as_array().map_or(&[][..], Vec::as_slice);
            let is_listed = |known: &Known| {
                entries
                    .iter()
                    .any(|it| it["bucket"] == DESTINATION && it["collection"] == *known.id)
            };
            if self.known.iter().all(is_listed) {
                let timestamp = monitor["timestamp"].as_i64().unwrap_or_default();
                self.monitor.store(timestamp, Ordering::Relaxed);
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::failed("the reader does not list what was published"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Any collection.
    pub(super) fn any(&self) -> Option<&Known> {
        self.known.get(rand::rng().random_range(0..self.known.len().max(1)))
    }
}
