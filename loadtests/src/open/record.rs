//! What happened in a run, as it happens.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{connection::Trouble, histogram::Latency, plan::Kind};
use crate::failure::Failure;

/// Longest timeline, in seconds: runs are bounded.
const LONGEST: usize = 3_600;

/// Shared by everybody in a run.
#[derive(Debug)]
pub(crate) struct Recorder {
    begins: Instant,
    tally: Mutex<Tally>,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Answers below 400, and what was given up, from the intended start.
    pub(crate) all: Latency,
    /// The same by kind.
    pub(crate) kinds: BTreeMap<Kind, Latency>,
    /// Whole visits of more than one call.
    pub(crate) visits: Latency,
    /// Second by second.
    pub(crate) seconds: Vec<Second>,
    /// How often each status came.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// How often there was no answer, and why.
    pub(crate) troubles: BTreeMap<Trouble, u64>,
    /// Clients.
    pub(crate) arrivals: u64,
    /// Clients that nobody served before the run was over.
    pub(crate) abandoned: u64,
    /// Clients that found no free connection.
    pub(crate) queued: u64,
    /// How late the generator itself was, with those that found one.
    pub(crate) lag: Latency,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    /// Connections that were opened.
    pub(crate) connections: u64,
    /// The generator's CPU time in its busiest second, in percent of one CPU.
    pub(crate) cpu_peak: f64,
    digits: u8,
}

/// One second of the timeline.
#[derive(Debug)]
pub(crate) struct Second {
    /// Calls that were intended to begin in it.
    pub(crate) offered: u64,
    /// Answers that came in it, errors not counted.
    pub(crate) answered: u64,
    /// Failures in it.
    pub(crate) failed: u64,
    /// Of those that were intended to begin in it.
    pub(crate) latency: Latency,
}

impl Recorder {
    /// A recorder of a run that begins then.
    ///
    /// # Errors
    ///
    /// None to expect.
    pub(crate) fn new(begins: Instant) -> Result<Self, Failure> {
        let mut kinds = BTreeMap::new();
        for kind in Kind::ALL {
            kinds.insert(kind, Latency::new(3)?);
        }
        let tally = Tally {
            all: Latency::new(3)?,
            kinds,
            visits: Latency::new(3)?,
            seconds: Vec::new(),
            statuses: BTreeMap::new(),
            troubles: BTreeMap::new(),
            arrivals: 0,
            abandoned: 0,
            queued: 0,
            lag: Latency::new(3)?,
            bytes: 0,
            connections: 0,
            cpu_peak: 0.0,
            digits: 2,
        };
        Ok(Self { begins, tally: Mutex::new(tally) })
    }

    /// The result.
    pub(crate) fn finish(self) -> Tally {
        self.tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client comes, who has so many calls to make.
    pub(crate) fn arrived(&self, intended: Instant, calls: usize) {
        self.change(|tally| {
            tally.arrivals += 1;
            if let Some(second) = tally.second(self.begins, intended) {
                second.offered += calls as u64;
            }
        });
    }

    /// A client is served, so long after it came.
    pub(crate) fn started(&self, is_queued: bool, late: Duration) {
        self.change(|tally| {
            if is_queued {
                tally.queued += 1;
            } else {
                tally.lag.record(late);
            }
        });
    }

    /// The generator was so busy in a second, in percent of one CPU.
    pub(crate) fn busy(&self, percent: f64) {
        self.change(|tally| tally.cpu_peak = tally.cpu_peak.max(percent));
    }

    /// A connection was opened.
    pub(crate) fn connected(&self) {
        self.change(|tally| tally.connections += 1);
    }

    /// An answer came. One that refuses has no latency: refusing is fast.
    pub(crate) fn answered(
        &self,
        kind: Kind,
        [intended, now]: [Instant; 2],
        status: u16,
        bytes: u64,
    ) {
        self.change(|tally| {
            *tally.statuses.entry(status).or_default() += 1;
            tally.bytes += bytes;
            let is_good = status < 400;
            if let Some(second) = tally.second(self.begins, now) {
                second.answered += u64::from(is_good);
                second.failed += u64::from(!is_good);
            }
            if is_good {
                tally.latency(self.begins, kind, [intended, now]);
            }
        });
    }

    /// No answer came. Whoever waited in vain did wait.
    pub(crate) fn failed(&self, kind: Kind, [intended, now]: [Instant; 2], trouble: Trouble) {
        self.change(|tally| {
            *tally.troubles.entry(trouble).or_default() += 1;
            if let Some(second) = tally.second(self.begins, now) {
                second.failed += 1;
            }
            if trouble == Trouble::Timeout {
                tally.latency(self.begins, kind, [intended, now]);
            }
        });
    }

    /// The run ended before this client was served: it waited at least until now.
    pub(crate) fn abandoned(&self, kind: Kind, intended: Instant) {
        let now = Instant::now();
        self.change(|tally| {
            tally.abandoned += 1;
            tally.latency(self.begins, kind, [intended, now]);
        });
    }

    /// All calls of a visit were answered.
    pub(crate) fn visited(&self, elapsed: Duration) {
        self.change(|tally| tally.visits.record(elapsed));
    }

    fn change(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Tally {
    fn latency(&mut self, begins: Instant, kind: Kind, [intended, now]: [Instant; 2]) {
        let latency = now.saturating_duration_since(intended);
        self.all.record(latency);
        if let Some(of_kind) = self.kinds.get_mut(&kind) {
            of_kind.record(latency);
        }
        if let Some(second) = self.second(begins, intended) {
            second.latency.record(latency);
        }
    }

    /// The second of an instant; none beyond the longest timeline.
    fn second(&mut self, begins: Instant, at: Instant) -> Option<&mut Second> {
        let number = at.saturating_duration_since(begins).as_secs();
        let number = usize::try_from(number).ok().filter(|number| *number < LONGEST)?;
        while self.seconds.len() <= number {
            let latency = Latency::new(self.digits).ok()?;
            self.seconds.push(Second { offered: 0, answered: 0, failed: 0, latency });
        }
        self.seconds.get_mut(number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order: nothing is lost between the seconds, and each is where it belongs.
        #[test]
        fn the_timeline_adds_up(
            events in prop::collection::vec((0_u64..20_000, 0_u64..5_000), 1..200)
        ) {
            let begins = Instant::now();
            let recorder = Recorder::new(begins).unwrap();
            for (start, latency) in &events {
                let intended = begins + Duration::from_millis(*start);
                let now = intended + Duration::from_millis(*latency);
                recorder.arrived(intended, 1);
                recorder.answered(Kind::Delta, [intended, now], 200, 7);
            }
            let tally = recorder.finish();
            let count = events.len() as u64;
            let sum = |of: fn(&Second) -> u64| tally.seconds.iter().map(of).sum::<u64>();
            prop_assert_eq!(sum(|second| second.offered), count);
            prop_assert_eq!(sum(|second| second.answered), count);
            prop_assert_eq!(sum(|second| second.latency.count()), count);
            prop_assert_eq!(tally.all.count(), count);
            prop_assert_eq!(tally.kinds[&Kind::Delta].count(), count);
            prop_assert_eq!(tally.bytes, 7 * count);
            for (number, second) in tally.seconds.iter().enumerate() {
                let number = number as u64;
                let of = |at: u64| at / 1_000 == number;
                let offered = events.iter().filter(|(start, _)| of(*start)).count();
                let answered = events.iter().filter(|(start, late)| of(start + late)).count();
                prop_assert_eq!(second.offered, offered as u64);
                prop_assert_eq!(second.answered, answered as u64);
            }
        }
    }

    #[test]
    fn who_waits_in_vain_has_waited_and_who_is_refused_has_not() {
        let begins = Instant::now();
        let recorder = Recorder::new(begins).unwrap();
        let late = begins + Duration::from_secs(2);
        recorder.failed(Kind::Monitor, [begins, late], Trouble::Timeout);
        recorder.failed(Kind::Monitor, [begins, begins], Trouble::Connect);
        recorder.answered(Kind::Monitor, [begins, begins], 503, 1);
        let tally = recorder.finish();
        assert_eq!(tally.all.count(), 1);
        assert!(tally.all.millis(0.5) > 1_990.0);
        assert_eq!(tally.seconds.iter().map(|second| second.failed).sum::<u64>(), 3);
        assert_eq!(tally.statuses[&503], 1);
    }
}
