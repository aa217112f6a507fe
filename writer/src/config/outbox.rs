//! How what waits in the outbox is delivered: `outbox.*`.

use std::time::Duration;

use shared::config::Layers;

/// When something is tried, how long, and how often.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// How often the table is looked at; what this writer put there is tried at once.
    pub poll: Duration,
    /// Longest time for one attempt.
    pub timeout: Duration,
    /// Time until the second attempt; three times as long until each further one.
    pub shortest_wait: Duration,
    /// Longest time between two attempts.
    pub longest_wait: Duration,
    /// Most attempts, before it is given up.
    pub max_attempts: u32,
    /// How long what was given up is kept.
    pub keep_dead: Duration,
}

impl OutboxSettings {
    /// Reads the section.
    pub fn read(layers: &mut Layers) -> Self {
        const DAY: u64 = 86_400;
        let millis = |layers: &mut Layers, key: &str| {
            Duration::from_millis(layers.number(key, 1, 3_600_000))
        };
        let seconds = |layers: &mut Layers, key: &str, max: u64| {
            Duration::from_secs(layers.number(key, 1, max))
        };
        let attempts = layers.number("outbox.max_attempts", 1, 1_000);
        Self {
            poll: millis(layers, "outbox.poll_ms"),
            timeout: seconds(layers, "outbox.timeout_seconds", 300),
            shortest_wait: millis(layers, "outbox.retry_min_ms"),
            longest_wait: seconds(layers, "outbox.retry_max_seconds", 7 * DAY),
            max_attempts: u32::try_from(attempts).unwrap_or(1),
            keep_dead: seconds(layers, "outbox.keep_dead_days", 3_650) * 86_400,
        }
    }

    /// How long an attempt may be somebody's: long enough to be settled when it took all its time.
    pub fn lease(&self) -> Duration {
        self.timeout * 2
    }

    /// How long to wait after so many attempts.
    pub fn wait(&self, attempts: u32) -> Duration {
        let factor = 3_u32.saturating_pow(attempts.saturating_sub(1));
        self.shortest_wait.saturating_mul(factor).min(self.longest_wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_day() {
        let settings = OutboxSettings::read(&mut Layers::new(crate::config::DEFAULTS));

        let waits: Vec<u64> =
            [1, 2, 3, 9, 10, 11, 500].map(|n| settings.wait(n).as_secs()).to_vec();

        assert_eq!(waits, [5, 15, 45, 32_805, 86_400, 86_400, 86_400]);
        assert!(settings.lease() > settings.timeout);
    }
}
