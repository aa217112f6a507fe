//! What the outbox delivers, and what waits in it.

use prometheus::{Gauge, IntCounterVec, Opts, Registry};
use shared::telemetry::{self, PREFIX};

use crate::store::outbox::Counts;

/// Attempts by kind and result, and what waits.
#[derive(Debug)]
pub struct OutboxMetrics {
    attempts: IntCounterVec,
    waiting: Gauge,
    dead: Gauge,
    oldest: Gauge,
}

impl OutboxMetrics {
    /// Registers `countersign_outbox_…`.
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            format!("{PREFIX}_outbox_attempts_total"),
            "Attempts to deliver: delivered, failed (to be repeated), split, dead (given up).",
        );
        let attempts = IntCounterVec::new(opts, &["kind", "result"])?;
        registry.register(Box::new(attempts.clone()))?;
        let gauge = |name: &str, help: &str| telemetry::gauge(registry, name, help);
        Ok(Self {
            attempts,
            waiting: gauge("outbox_waiting", "Entries to be delivered, by any writer.")?,
            dead: gauge("outbox_dead", "Entries that were given up and wait for an operator.")?,
            oldest: gauge("outbox_oldest_seconds", "Age of the oldest entry to be delivered.")?,
        })
    }

    /// Counts an attempt.
    pub fn attempted(&self, kind: &str, result: &'static str) {
        self.attempts.with_label_values(&[kind, result]).inc();
    }

    /// Shows what waits.
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 entries and seconds")]
    pub fn counted(&self, counts: Counts) {
        self.waiting.set(counts.waiting as f64);
        self.dead.set(counts.dead as f64);
        self.oldest.set(counts.oldest as f64);
    }
}
