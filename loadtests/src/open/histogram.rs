//! Latencies as the report needs them.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::failure::Failure;

/// Longest latency that is told from longer ones, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;
/// The curve has so many points for each nine: 90 %, 99 %, 99.9 %, 99.99 %.
const POINTS: u32 = 12;
/// So many nines.
const NINES: u32 = 4;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// None yet; exact to `digits` digits.
    ///
    /// # Errors
    ///
    /// Never with up to five digits.
    pub(crate) fn new(digits: u8) -> Result<Self, Failure> {
        let mut histogram = Histogram::new_with_bounds(1, 2_000, digits)
            .map_err(|error| Failure::failed(error.to_string()))?;
        histogram.auto(true);
        Ok(Self(histogram))
    }

    /// One more.
    pub(crate) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(LONGEST).clamp(1, LONGEST);
        // Cannot fail: it grows.
        let _ = self.0.record(micros);
    }

    /// How many.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What a part of them (0.99: 99 %) did not exceed, in milliseconds; 0 without any.
    pub(crate) fn millis(&self, quantile: f64) -> f64 {
        if self.0.is_empty() { 0.0 } else { as_millis(self.0.value_at_quantile(quantile)) }
    }

    /// The longest, in milliseconds.
    pub(crate) fn max_millis(&self) -> f64 {
        as_millis(self.0.max())
    }

    /// Quantiles and milliseconds, up to 99.99 %, or as far as there are enough to tell.
    pub(crate) fn curve(&self) -> Vec<(f64, f64)> {
        let count = as_float(self.count());
        (0..=POINTS * NINES)
            .map(|point| 1.0 - 10_f64.powf(-f64::from(point) / f64::from(POINTS)))
            .filter(|quantile| (1.0 - quantile) * count >= 1.0)
            .map(|quantile| (quantile, self.millis(quantile)))
            .collect()
    }
}

/// Microseconds as milliseconds.
fn as_millis(micros: u64) -> f64 {
    as_float(micros) / 1_000.0
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 of anything")]
pub(crate) fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_what_a_part_did_not_exceed() {
        let mut latency = Latency::new(3).unwrap();
        assert!(latency.millis(0.99).abs() < f64::EPSILON);
        (1..=1_000).for_each(|millis| latency.record(Duration::from_millis(millis)));
        for (quantile, expected) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let millis = latency.millis(quantile);
            assert!((millis - expected).abs() <= expected / 1_000.0, "{millis}, not {expected}");
        }
        assert_eq!(latency.count(), 1_000);
    }

    #[test]
    fn a_curve_ends_where_nothing_was_seen() {
        let mut latency = Latency::new(3).unwrap();
        assert_eq!(latency.curve(), []);
        (0..1_000).for_each(|_| latency.record(Duration::from_millis(1)));
        let curve = latency.curve();
        assert!(curve.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1));
        let last = curve.last().unwrap().0;
        assert!((0.998..=0.9991).contains(&last), "{last}");
    }

    #[test]
    fn a_latency_without_end_is_counted() {
        let mut latency = Latency::new(2).unwrap();
        latency.record(Duration::MAX);
        latency.record(Duration::ZERO);
        assert_eq!(latency.count(), 2);
        assert!(latency.max_millis() >= 600_000.0);
    }
}
