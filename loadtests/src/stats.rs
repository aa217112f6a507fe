//! Latencies, and what was written.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// Latencies in microseconds.
#[derive(Debug)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet; up to a minute each, to three digits.
    ///
    /// # Errors
    ///
    /// Never with these bounds.
    pub(crate) fn new() -> Result<Self, Failure> {
        let histogram = Histogram::new_with_bounds(1, 60_000_000, 3);
        histogram.map(Self).map_err(|error| Failure::failed(error.to_string()))
    }

    /// One request, from `start` until now.
    pub(crate) fn record(&mut self, start: Instant) {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.saturating_record(micros);
    }

    /// Takes over those of another client.
    pub(crate) fn add(&mut self, other: &Self) {
        // Cannot fail: both have the same bounds.
        let _ = self.0.add(&other.0);
    }

    /// The latency that a part of the requests (0.95: 95 %) did not exceed, in milliseconds.
    #[expect(clippy::cast_precision_loss, reason = "at most a minute, in microseconds")]
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1_000.0
    }

    /// `p50 1.2 ms, p99 3.4 ms`
    pub(crate) fn shown(&self) -> String {
        let ms = |quantile| Duration::from_micros(self.0.value_at_quantile(quantile));
        format!("p50 {:.1?}, p99 {:.1?}", ms(0.5), ms(0.99))
    }
}
