//! What a client believes: some of the bodies are verified, beside the run.

use std::{
    collections::HashMap,
    io::Read as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Instant,
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::Value;
use shared::signature::PublicKey;

use super::{catalogue::Catalogue, outcome::Checks, plan::Call, trust};

/// So many bodies may wait for their verification; further ones are not looked at.
const WAITING: usize = 256;
/// So many violations are kept.
const KEPT: usize = 20;

/// One answer.
#[derive(Debug)]
pub(crate) struct Sample {
    /// What was asked.
    pub(crate) call: Call,
    /// When the request was sent,
    pub(crate) sent: Instant,
    /// and the answer had come.
    pub(crate) came: Instant,
    /// The body.
    pub(crate) body: Bytes,
    /// It is compressed.
    pub(crate) is_gzip: bool,
}

/// Picks answers, and verifies them on a thread of its own.
#[derive(Debug)]
pub(crate) struct Checker {
    samples: SyncSender<Sample>,
    thread: JoinHandle<Checks>,
    /// One of so many is verified; none with 0.
    every: u64,
    count: AtomicU64,
    dropped: Arc<AtomicU64>,
}

impl Checker {
    /// Verifies `percent` of the answers by a key, or by the one beside each signature.
    pub(crate) fn start(catalogue: Arc<Catalogue>, key: Option<PublicKey>, percent: u32) -> Self {
        let (samples, received) = sync_channel(WAITING);
        let thread = thread::spawn(move || verify_all(&catalogue, key.as_ref(), &received));
        let every = 100_u64.checked_div(u64::from(percent)).unwrap_or(0);
        Self { samples, thread, every, count: AtomicU64::new(0), dropped: Arc::default() }
    }

    /// Whether the next answer is to be kept.
    pub(crate) fn wants_next(&self) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        self.every > 0 && number.is_multiple_of(self.every)
    }

    /// Takes an answer, unless too many wait.
    pub(crate) fn take(&self, sample: Sample) {
        if self.samples.try_send(sample).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits for what is still to be verified.
    pub(crate) fn finish(self) -> Checks {
        drop(self.samples);
        let mut checks = self.thread.join().unwrap_or_else(|_| Checks {
            violations: vec!["the check itself failed".to_owned()],
            ..Checks::default()
        });
        checks.skipped = self.dropped.load(Ordering::Relaxed);
        checks
    }
}

fn verify_all(
    catalogue: &Catalogue,
    key: Option<&PublicKey>,
    samples: &Receiver<Sample>,
) -> Checks {
    let mut seen: HashMap<String, Seen> = HashMap::new();
    let mut checks = Checks::default();
    for sample in samples {
        let seen = seen.entry(sample.call.path.clone()).or_default();
        match seen.look(catalogue, key, &sample) {
            Ok(timestamp) => {
                checks.verified += 1;
                checks.stale += u64::from(timestamp < sample.call.expected);
            }
            Err(violation) if checks.violations.len() < KEPT => {
                checks.violations.push(format!("{}: {violation}", sample.call.path));
            }
            Err(_) => checks.more += 1,
        }
    }
    checks
}

/// What a URL has answered so far.
#[derive(Debug, Default)]
struct Seen {
    /// A body that was good, and its timestamp.
    good: Option<(Bytes, i64)>,
    /// Timestamps, and when each was first known to have arrived: both increase.
    arrived: Vec<(Instant, i64)>,
}

impl Seen {
    fn look(
        &mut self,
        catalogue: &Catalogue,
        key: Option<&PublicKey>,
        sample: &Sample,
    ) -> Result<i64, String> {
        let known = self.good.as_ref().filter(|(body, _)| *body == sample.body);
        let timestamp = if let Some((_, timestamp)) = known {
            *timestamp
        } else {
            let timestamp = verify(catalogue, key, sample)?;
            self.good = Some((sample.body.clone(), timestamp));
            timestamp
        };
        self.order(sample.sent, sample.came, timestamp)?;
        Ok(timestamp)
    }

    /// Nobody who asks after an answer has come may get an older one. Answers that were under way
    /// at the same time have no order.
    fn order(&mut self, sent: Instant, came: Instant, timestamp: i64) -> Result<(), String> {
        let before = self.arrived.iter().filter(|(came, _)| *came <= sent);
        let latest = before.map(|(_, timestamp)| *timestamp).max();
        if let Some(latest) = latest.filter(|latest| *latest > timestamp) {
            return Err(format!("the timestamp went back from {latest} to {timestamp}"));
        }
        if !self.arrived.iter().any(|(at, known)| *known >= timestamp && *at <= came) {
            self.arrived.retain(|(at, known)| *known > timestamp || *at < came);
            self.arrived.push((came, timestamp));
        }
        Ok(())
    }
}

fn verify(catalogue: &Catalogue, key: Option<&PublicKey>, sample: &Sample) -> Result<i64, String> {
    let mut plain = Vec::new();
    let body = if sample.is_gzip {
        GzDecoder::new(sample.body.as_ref())
            .read_to_end(&mut plain)
            .map_err(|error| format!("no gzip: {error}"))?;
        plain.as_slice()
    } else {
        sample.body.as_ref()
    };
    let changeset: Value =
        serde_json::from_slice(body).map_err(|error| format!("no JSON: {error}"))?;
    let timestamp = changeset["timestamp"].as_i64().ok_or("no timestamp")?;
    if let Some(collection) = sample.call.collection {
        let base = catalogue.collections.get(collection).ok_or("an unknown collection")?;
        trust::verify(base, sample.call.since, timestamp, &changeset, key)?;
    }
    Ok(timestamp)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn time_goes_back_only_for_who_asked_later() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut seen = Seen::default();
        assert!(seen.order(at(0), at(10), 5).is_ok());
        assert!(seen.order(at(1), at(20), 7).is_ok());
        assert!(seen.order(at(15), at(30), 5).is_ok(), "both were under way");
        assert!(seen.order(at(21), at(31), 7).is_ok());
        assert!(seen.order(at(21), at(31), 6).is_err());
        assert!(seen.order(at(40), at(41), 5).is_err());
    }

    #[test]
    fn a_percentage_is_a_distance() {
        let checker = Checker::start(Arc::default(), None, 2);
        let wanted = (0..1_000).filter(|_| checker.wants_next()).count();
        assert_eq!(wanted, 20);
        let checker = Checker::start(Arc::default(), None, 0);
        assert!(!(0..1_000).any(|_| checker.wants_next()));
    }
}
