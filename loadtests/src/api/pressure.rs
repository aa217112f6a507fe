//! Clients that ask again as soon as they are answered.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration as StdDuration, Instant},
};

use hyper::Method;
use serde_json::Value;
use tokio::task::JoinSet;

use super::{
    arguments::{Duration, Target},
    report::{Report, rate},
};
use crate::{
    client::{Answer, Client},
    failure::Failure,
    stats::Latencies,
};

/// One request.
#[derive(Debug)]
pub(crate) struct Ask {
    /// Its method.
    pub(crate) method: Method,
    /// Its path, below the URL of the server.
    pub(crate) path: String,
    /// Its body.
    pub(crate) body: Option<Value>,
}

/// What came of all requests.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Of those that succeeded.
    latencies: Latencies,
    succeeded: u64,
    failed: u64,
    first_failure: Option<Failure>,
    elapsed: StdDuration,
}

impl Outcome {
    fn new() -> Result<Self, Failure> {
        let latencies = Latencies::new()?;
        let elapsed = StdDuration::ZERO;
        Ok(Self { latencies, succeeded: 0, failed: 0, first_failure: None, elapsed })
    }

    fn add(&mut self, other: Self) {
        self.latencies.add(&other.latencies);
        self.succeeded += other.succeeded;
        self.failed += other.failed;
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// The figures; the first failure is told as well.
    pub(crate) fn report(&self, what: &str, duration: Duration) -> Report {
        if let Some(failure) = &self.first_failure {
            eprintln!("{} of {} failed: {failure}", self.failed, self.failed + self.succeeded);
        }
        Report::new(what)
            .with("connections", duration.connections)
            .with("per_second", rate(self.succeeded, self.elapsed))
            .with_latencies(&self.latencies)
            .with("succeeded", self.succeeded)
            .with("failed", self.failed)
    }
}

/// Lets every connection send what `ask` makes, until the time is over. `ask` gets the number of the
/// request, counted over all connections.
///
/// A request that fails is counted, not more: how many a server refuses under load is one of its
/// figures.
///
/// # Errors
///
/// [`Failure`] of the first request when none succeeded.
pub(crate) async fn press(
    target: &Target,
    duration: Duration,
    ask: impl Fn(u64) -> Ask + Send + Sync + 'static,
) -> Result<Outcome, Failure> {
    let start = Instant::now();
    let deadline = start + StdDuration::from_secs(duration.seconds);
    let (ask, numbers) = (Arc::new(ask), Arc::new(AtomicU64::new(0)));
    let mut connections = JoinSet::new();
    for _ in 0..duration.connections {
        let (client, ask, numbers) = (target.client()?, Arc::clone(&ask), Arc::clone(&numbers));
        connections.spawn(async move {
            let next = || ask(numbers.fetch_add(1, Ordering::Relaxed));
            repeat(&client, deadline, next).await
        });
    }
    let mut all = Outcome::new()?;
    while let Some(one) = connections.join_next().await {
        all.add(one.map_err(|error| Failure::failed(error.to_string()))??);
    }
    all.elapsed = start.elapsed();
    match all.first_failure.take() {
        Some(failure) if all.succeeded == 0 => Err(failure),
        failure => Ok(Outcome { first_failure: failure, ..all }),
    }
}

async fn repeat(
    client: &Client,
    deadline: Instant,
    next: impl Fn() -> Ask,
) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::new()?;
    while Instant::now() < deadline {
        let Ask { method, path, body } = next();
        let start = Instant::now();
        let answer = client.send(method, &path, &[], body.as_ref()).await;
        match answer.and_then(Answer::success) {
            Ok(_) => {
                outcome.latencies.record(start);
                outcome.succeeded += 1;
            }
            Err(failure) => {
                outcome.failed += 1;
                outcome.first_failure.get_or_insert(failure);
            }
        }
    }
    Ok(outcome)
}
