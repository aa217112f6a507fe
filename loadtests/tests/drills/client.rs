//! A client that polls all the time, verifies what it gets, and forgets nothing.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
    testing::TestClient,
};
use tokio::{task::JoinHandle, time::sleep};

const PATHS: [&str; 2] = [
    "/buckets/main/collections/drill/changeset?_expected=0",
    "/buckets/monitor/collections/changes/changeset?_expected=0",
];

/// A client at work.
pub(crate) struct Watch {
    is_over: Arc<AtomicBool>,
    task: JoinHandle<Seen>,
}

/// What it saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) polls: usize,
    pub(crate) versions: usize,
    pub(crate) problems: Vec<String>,
    latencies: Vec<Duration>,
    last: [(i64, Bytes); 2],
}

impl Watch {
    /// Polls until it is told to stop.
    pub(crate) fn start(reader: TestClient, key: PublicKey) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let task = tokio::spawn(async move {
            let mut seen = Seen::default();
            while !over.load(Ordering::Relaxed) {
                for (place, path) in PATHS.iter().enumerate() {
                    if let Err(problem) = seen.poll(&reader, &key, place, path).await {
                        seen.problems.push(format!("{path}: {problem}"));
                    }
                }
                sleep(Duration::from_millis(5)).await;
            }
            seen
        });
        Self { is_over, task }
    }

    /// Stops, and fails unless every answer was good and none was late.
    pub(crate) async fn end(self) -> Seen {
        self.is_over.store(true, Ordering::Relaxed);
        let mut seen = self.task.await.unwrap();
        seen.latencies.sort();
        let shown = &seen.problems[..seen.problems.len().min(5)];
        assert!(shown.is_empty(), "{} of {} polls: {shown:?}", seen.problems.len(), seen.polls);
        assert!(seen.polls > 10, "{seen}");
        let longest = seen.latencies.last().copied().unwrap_or_default();
        assert!(longest < crate::longest_stall(), "the longest poll took {longest:?}: {seen}");
        println!("client: {seen}");
        seen
    }
}

impl Seen {
    async fn poll(
        &mut self,
        reader: &TestClient,
        key: &PublicKey,
        place: usize,
        path: &str,
    ) -> Result<(), String> {
        self.polls += 1;
        let start = Instant::now();
        let got = reader.get(path).await;
        self.latencies.push(start.elapsed());
        if got.status != 200 {
            return Err(format!("status {}", got.status));
        }
        let (last, body) = &self.last[place];
        if *body == got.bytes {
            return Ok(());
        }
        let timestamp = got.json["timestamp"].as_i64().ok_or("no timestamp")?;
        if timestamp < *last {
            return Err(format!("went back from {last} to {timestamp}"));
        }
        if place == 0 {
            verify(&got.json, timestamp, key)?;
        }
        self.versions += 1;
        self.last[place] = (timestamp, got.bytes);
        Ok(())
    }

    fn at(&self, part: usize) -> Duration {
        let place = (self.latencies.len() * part / 1_000).min(self.latencies.len().max(1) - 1);
        self.latencies.get(place).copied().unwrap_or_default()
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (median, late, longest) = (self.at(500), self.at(990), self.at(1_000));
        write!(
            f,
            "{} polls, {} new states, all good; p50 {median:.1?}, p99 {late:.1?}, longest \
             {longest:.1?}",
            self.polls, self.versions
        )
    }
}

/// Whether some signature is by the key.
pub(crate) fn verify(changeset: &Value, timestamp: i64, key: &PublicKey) -> Result<(), String> {
    let records = changeset["changes"].as_array().ok_or("no changes")?;
    let signatures: Vec<ContentSignature> =
        serde_json::from_value(changeset["metadata"]["signatures"].clone())
            .map_err(|error| error.to_string())?;
    let document = canonical::document(records, Timestamp::from_millis(timestamp));
    let is_good = signatures.iter().any(|signature| signature.verify(key, &document).is_ok());
    is_good.then_some(()).ok_or_else(|| format!("{timestamp}: no signature is good"))
}
