//! The list of published collections, rendered (`remote-settings.md` §3.4).

use shared::{
    model::Timestamp,
    wire::{Entries, Entry},
};

use super::{Change, Draft, List, Wardrobe};

/// The list.
#[derive(Debug)]
pub struct Monitor {
    /// What it is made of.
    pub entries: Entries,
    /// The highest timestamp; `None` when nothing is published.
    pub timestamp: Option<Timestamp>,
    /// Its changeset.
    pub list: List,
}

impl Monitor {
    /// Sorts and renders the entries that follow those of `old`.
    pub fn new(entries: Vec<Entry>, wardrobe: &Wardrobe, old: Option<&Self>) -> Self {
        let entries = Entries::new(entries);
        let changes: Vec<Change> = entries
            .iter()
            .map(|entry| Change {
                last_modified: entry.timestamp,
                deleted: false,
                json: entry.json.clone().into_bytes(),
            })
            .collect();
        let timestamp = entries.timestamp();
        let draft = Draft::new(Entries::metadata(), timestamp.unwrap_or_default(), &changes);
        let dress = wardrobe.of("monitor", "changes", timestamp.unwrap_or_default());
        let list = draft.finish(dress, old.map(|old| &old.list), true);
        Self { entries, timestamp, list }
    }
}
