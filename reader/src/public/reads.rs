//! `database_reads.*`: how much is read from the database when somebody asks.

use std::time::Duration;

use shared::config::Layers;

/// Limits of what is read from the database when somebody asks.
#[derive(Debug, Clone)]
pub struct Reads {
    /// Memory for it, and the size of the largest list.
    pub max_bytes: usize,
    /// How long it is remembered.
    pub keep: Duration,
    /// How much is read at once, each on a connection.
    pub at_once: usize,
    /// How long somebody waits for it.
    pub patience: Duration,
}

impl Reads {
    /// Reads the settings.
    pub fn read(layers: &mut Layers) -> Self {
        let size = |layers: &mut Layers, key: &str, max: u64| {
            usize::try_from(layers.number(key, 1, max)).unwrap_or(1)
        };
        let time = |layers: &mut Layers, key: &str, max: u64| {
            Duration::from_millis(layers.number(key, 1, max))
        };
        Self {
            max_bytes: size(layers, "database_reads.max_bytes", 1 << 30),
            keep: time(layers, "database_reads.keep_ms", 60_000),
            at_once: size(layers, "database_reads.at_once", 100),
            patience: time(layers, "database_reads.patience_ms", 60_000),
        }
    }
}
