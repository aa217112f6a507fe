//! The result of a run, as it is printed, stored and drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    histogram::{Latency, as_float},
    record::Tally,
};

/// One server under one load.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The scenario's name.
    pub(crate) scenario: String,
    /// The server, and what is special about this run of it.
    pub(crate) server: String,
    /// Clients a second that were to come.
    pub(crate) rate: f64,
    /// For so many seconds.
    pub(crate) seconds: f64,
    /// What draws everything.
    pub(crate) seed: u64,
    /// Connections that clients share.
    pub(crate) connections: u32,
    /// Clients that came.
    pub(crate) arrivals: u64,
    /// Requests that were answered, errors not counted.
    pub(crate) answered: u64,
    /// The same, a second.
    pub(crate) throughput: f64,
    /// Requests that failed: errors and refusals.
    pub(crate) failed: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
    /// Latencies by what was asked; the first row is of all.
    pub(crate) rows: Vec<Row>,
    /// Quantiles and milliseconds.
    pub(crate) curve: Vec<(f64, f64)>,
    /// Second by second.
    pub(crate) timeline: Vec<Tick>,
    /// Statuses, and what happened instead of one.
    pub(crate) answers: BTreeMap<String, u64>,
    /// How well the schedule was kept.
    pub(crate) pace: Pace,
    /// What was verified.
    pub(crate) checks: Checks,
    /// What else was seen.
    pub(crate) notes: Vec<String>,
}

/// Latencies of one kind, in milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Of what.
    pub(crate) name: String,
    /// How many.
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p90: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// One second.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Tick {
    /// Requests that were to begin in it.
    pub(crate) offered: u64,
    /// Answers in it.
    pub(crate) answered: u64,
    /// Failures in it.
    pub(crate) failed: u64,
    /// Latency of those that were to begin in it; none without any.
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

/// Whether the generator did its part.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Clients that found no free connection: the server's delay, and counted as latency.
    pub(crate) queued: u64,
    /// Clients that were never served.
    pub(crate) abandoned: u64,
    /// How late the others were served for the generator's own reasons, in milliseconds; counted as
    /// latency, too.
    pub(crate) lag_p99: f64,
    pub(crate) lag_max: f64,
    /// CPU time of the generator, in percent of one CPU: on average, and in its busiest second.
    pub(crate) cpu_percent: f64,
    pub(crate) cpu_peak: f64,
}

/// What was verified.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Checks {
    /// Bodies that were good.
    pub(crate) verified: u64,
    /// Bodies that were not looked at, because too many waited.
    pub(crate) skipped: u64,
    /// Good ones that were older than `_expected`.
    pub(crate) stale: u64,
    /// What no client would believe.
    pub(crate) violations: Vec<String>,
    /// Further ones.
    pub(crate) more: u64,
}

impl Checks {
    /// How many violations there were.
    pub(crate) fn broken(&self) -> u64 {
        self.violations.len() as u64 + self.more
    }
}

impl Pace {
    /// Above this, latencies say more of the generator than of the server, in milliseconds.
    const LAG: f64 = 5.0;
    /// Above this, its one thread is what limits.
    const BUSY: f64 = 90.0;

    /// Whether the generator could keep the schedule.
    pub(crate) fn is_kept(&self) -> bool {
        self.lag_p99 <= Self::LAG && self.cpu_peak <= Self::BUSY
    }
}

impl Row {
    /// A row of latencies.
    pub(crate) fn new(name: &str, latency: &Latency) -> Self {
        Self {
            name: name.to_owned(),
            count: latency.count(),
            p50: latency.millis(0.5),
            p90: latency.millis(0.9),
            p99: latency.millis(0.99),
            p999: latency.millis(0.999),
            max: latency.max_millis(),
        }
    }
}

impl Outcome {
    /// Takes over what was counted in so many seconds.
    pub(crate) fn fill(&mut self, tally: &Tally, seconds: f64) {
        let good = tally.statuses.iter().filter(|(status, _)| **status < 400);
        self.answered = good.map(|(_, count)| count).sum();
        let refused = tally.statuses.values().sum::<u64>() - self.answered;
        self.failed = refused + tally.troubles.values().sum::<u64>();
        self.throughput = as_float(self.answered) / seconds;
        self.arrivals = tally.arrivals;
        self.bytes = tally.bytes;
        self.rows = vec![Row::new("all", &tally.all)];
        let kinds = tally.kinds.iter().map(|(kind, latency)| (kind.name(), latency));
        for (name, latency) in kinds.chain([("whole visit", &tally.visits)]) {
            if latency.count() > 0 {
                self.rows.push(Row::new(name, latency));
            }
        }
        self.curve = tally.all.curve();
        self.timeline = tally.seconds.iter().map(tick).collect();
        let statuses = tally.statuses.iter().map(|(status, count)| (status.to_string(), *count));
        let troubles = tally.troubles.iter().map(|(why, count)| (why.name().to_owned(), *count));
        self.answers = statuses.chain(troubles).collect();
        self.pace.queued = tally.queued;
        self.pace.abandoned = tally.abandoned;
        self.pace.lag_p99 = tally.lag.millis(0.99);
        self.pace.lag_max = tally.lag.max_millis();
        self.pace.cpu_peak = tally.cpu_peak;
    }
}

fn tick(second: &super::record::Second) -> Tick {
    let quantile = |q| (second.latency.count() > 0).then(|| second.latency.millis(q));
    Tick {
        offered: second.offered,
        answered: second.answered,
        failed: second.failed,
        p50: quantile(0.5),
        p99: quantile(0.99),
    }
}
