//! Settings of jobs (`remote-settings.md` §7).

use std::time::Duration;

use shared::config::Layers;

use crate::jobs::Mapping;

/// What jobs do where their command line says nothing else, and when the writer runs them itself.
#[derive(Debug, Clone)]
pub struct Jobs {
    /// Signatures that are younger stay, in days.
    pub max_signature_age_days: u32,
    /// How often the writer refreshes signatures itself; `None`: never.
    pub refresh_signatures_every: Option<Duration>,
    /// Tombstones that are older go, in days.
    pub tombstone_max_age_days: u32,
    /// How often the writer purges tombstones itself; `None`: never.
    pub purge_tombstones_every: Option<Duration>,
    /// Buckets whose history is purged.
    pub history_buckets: Vec<String>,
    /// Users whose entries are purged.
    pub history_user_ids: Vec<String>,
    /// Entries that are older go, in days.
    pub history_max_age_days: u32,
    /// What is copied where.
    pub backport_mappings: Vec<Mapping>,
    /// Whether records that somebody else changed meanwhile are not overwritten.
    pub backport_safe_headers: bool,
}

impl Jobs {
    /// Reads the settings.
    pub fn read(layers: &mut Layers) -> Self {
        let mut backport_mappings = Vec::new();
        for line in layers.lines("jobs.backport_records_mappings") {
            match Mapping::parse(&line) {
                Ok(mapping) => backport_mappings.push(mapping),
                Err(problem) => {
                    layers.problem(format!("jobs.backport_records_mappings: {problem}"));
                }
            }
        }
        Self {
            max_signature_age_days: days(layers, "jobs.max_signature_age_days", 0),
            refresh_signatures_every: hours(layers, "jobs.refresh_signatures_every_hours"),
            tombstone_max_age_days: days(layers, "changes.tombstone_max_age_days", 1),
            purge_tombstones_every: hours(layers, "jobs.purge_tombstones_every_hours"),
            history_buckets: words(&layers.text("jobs.purge_history_buckets")),
            history_user_ids: words(&layers.text("jobs.purge_history_user_ids")),
            history_max_age_days: days(layers, "jobs.purge_history_max_age_days", 1),
            backport_mappings,
            backport_safe_headers: layers.flag("jobs.backport_records_safe_headers"),
        }
    }
}

/// Words separated by commas or blanks.
pub fn words(text: &str) -> Vec<String> {
    let words = text.split([',', ' ', '\n', '\t']);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// A century at most.
fn days(layers: &mut Layers, key: &str, min: u64) -> u32 {
    u32::try_from(layers.number(key, min, 36_500)).unwrap_or(u32::MAX)
}

fn hours(layers: &mut Layers, key: &str) -> Option<Duration> {
    let hours = layers.number(key, 0, 8_760);
    (hours > 0).then(|| Duration::from_secs(hours * 3_600))
}
