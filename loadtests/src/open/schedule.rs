//! When clients arrive: an open process, which does not wait for the server.
//!
//! Pure: the same seed gives the same instants.

use std::time::Duration;

use clap::ValueEnum;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// How the time between two arrivals is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Process {
    /// Independent of each other, as clients are that know nothing of each other: exponential gaps.
    Poisson,
    /// At equal distances.
    Constant,
}

/// Arrivals at a mean rate, for a time: an iterator of offsets from the beginning.
#[derive(Debug)]
pub(crate) struct Schedule {
    process: Process,
    rate: f64,
    length: Duration,
    rng: StdRng,
    count: u64,
    at: f64,
}

impl Schedule {
    /// `rate` arrivals a second on average (more than zero), before `length` is over.
    pub(crate) fn new(process: Process, rate: f64, length: Duration, seed: u64) -> Self {
        Self { process, rate, length, rng: StdRng::seed_from_u64(seed), count: 0, at: 0.0 }
    }
}

impl Iterator for Schedule {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.at = match self.process {
            // Multiplied, not summed up: the error of a sum grows.
            Process::Constant => as_float(self.count) / self.rate,
            // 1 - u, because u may be 0, and never is 1.
            Process::Poisson => self.at - (1.0 - self.rng.random::<f64>()).ln() / self.rate,
        };
        self.count += 1;
        let offset = Duration::try_from_secs_f64(self.at).ok()?;
        (offset < self.length).then_some(offset)
    }
}

#[expect(clippy::cast_precision_loss, reason = "runs are shorter than 2^53 arrivals")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_mean_rate_is_kept_and_time_never_goes_back(seed: u64, rate in 50.0..5_000.0_f64) {
            let length = Duration::from_secs(20);
            let expected = rate * length.as_secs_f64();
            for process in [Process::Poisson, Process::Constant] {
                let all: Vec<_> = Schedule::new(process, rate, length, seed).collect();
                prop_assert!(all.is_sorted());
                prop_assert!(all.iter().all(|offset| *offset < length));
                // Six standard deviations of a Poisson count.
                let error = (as_float(all.len() as u64) - expected).abs();
                prop_assert!(error <= 6.0 * expected.sqrt(), "{} for {expected}", all.len());
            }
        }

        #[test]
        fn a_seed_repeats_a_run(seed: u64) {
            let run = |seed| {
                let length = Duration::from_secs(1);
                Schedule::new(Process::Poisson, 100.0, length, seed).collect::<Vec<_>>()
            };
            prop_assert_eq!(run(seed), run(seed));
            prop_assert_ne!(run(seed), run(seed.wrapping_add(1)));
        }
    }

    #[test]
    fn gaps_are_equal_or_exponential() {
        let gaps = |process| {
            let all: Vec<_> = Schedule::new(process, 1_000.0, Duration::from_mins(1), 7).collect();
            let gaps: Vec<f64> =
                all.windows(2).map(|two| two[1].as_secs_f64() - two[0].as_secs_f64()).collect();
            let count = as_float(gaps.len() as u64);
            let mean = gaps.iter().sum::<f64>() / count;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count;
            // What is 1 for exponential gaps, and 0 for equal ones.
            variance.sqrt() / mean
        };
        assert!(gaps(Process::Constant) < 1e-3);
        assert!((gaps(Process::Poisson) - 1.0).abs() < 0.05);
    }
}
