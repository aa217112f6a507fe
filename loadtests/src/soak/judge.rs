//! Whether a process grew: the last quarter of the time beside the second one. The first is that in
//! which caches fill.

use std::fmt;

use super::sample::Sample;

/// Most that the memory may grow: this part of it,
const MOST_PART: f64 = 0.10;
/// and no more MiB than these.
const MOST_MIB: f64 = 10.0;
/// So many MiB are no growth in a small process: allocators give back what they like.
const NOISE_MIB: f64 = 4.0;

/// Medians of the quarters that count.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    name: String,
    second: Figures,
    last: Figures,
}

/// Medians.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    memory_mib: f64,
    descriptors: f64,
    threads: f64,
}

/// Compares the quarters of a process.
pub(super) fn judge(name: &str, samples: &[Sample]) -> Verdict {
    let samples: Vec<&Sample> = samples.iter().filter(|sample| sample.name == name).collect();
    let quarter = samples.len().div_ceil(4).max(1);
    let of = |from: usize| {
        let part = &samples[from.min(samples.len())..(from + quarter).min(samples.len())];
        Figures {
            memory_mib: median(part.iter().map(|sample| sample.memory_mib())),
            descriptors: median(part.iter().map(|sample| f64::from(sample.descriptors))),
            threads: median(part.iter().map(|sample| f64::from(sample.threads))),
        }
    };
    let last = of(samples.len().saturating_sub(quarter));
    Verdict { name: name.to_owned(), second: of(quarter), last }
}

/// The median; no number of nothing, which is never good.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Verdict {
    /// Whether it grew by no more than it may.
    pub(super) fn is_good(&self) -> bool {
        let more = self.last.memory_mib - self.second.memory_mib;
        more <= (self.second.memory_mib * MOST_PART).clamp(NOISE_MIB, MOST_MIB)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, second, last } = self;
        write!(
            f,
            "{name}: {:.1} MiB in the second quarter, {:.1} MiB in the last; {} and {} descriptors, \
             {} and {} threads: {}",
            second.memory_mib,
            last.memory_mib,
            second.descriptors,
            last.descriptors,
            second.threads,
            last.threads,
            if self.is_good() { "it does not grow" } else { "IT GROWS" },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(memory: impl Fn(u32) -> f64) -> Verdict {
        let sample =
            |n| Sample { name: "reader".to_owned(), own_mib: memory(n), ..Sample::default() };
        let other =
            |n| Sample { name: "writer".to_owned(), own_mib: f64::from(n), ..Sample::default() };
        let samples: Vec<Sample> = (0..40).flat_map(|n| [sample(n), other(n)]).collect();
        judge("reader", &samples)
    }

    #[test]
    fn growth_counts_after_the_caches_are_full() {
        assert!(verdict(|n| 50.0 + f64::from(n.min(10))).is_good(), "in the first quarter");
        assert!(verdict(|n| 60.0 + if n % 10 == 0 { 100.0 } else { 0.0 }).is_good(), "peaks");
        assert!(!verdict(|n| 60.0 + f64::from(n) * 0.5).is_good(), "more than a tenth");
        assert!(!verdict(|n| 900.0 + f64::from(n)).is_good(), "more than 10 MiB");
        assert!(verdict(|n| 900.0 - f64::from(n)).is_good());
        assert!(verdict(|n| 20.0 + f64::from(n / 20) * 3.0).is_good(), "little of little");
        assert!(!judge("reader", &[]).is_good(), "nothing was seen");
    }
}
