//! The list of published collections, rendered (`remote-settings.md` §3.4).

use shared::{
    model::Timestamp,
    wire::{Entries, Entry},
};

use super::{Before, Change, Draft, List, Wardrobe};

/// The list.
#[derive(Debug)]
pub struct Monitor {
    /// What it is made of.
    pub entries: Entries,
    /// Up to where clients know everything that have the list; `None` when nothing is published.
    pub timestamp: Option<Timestamp>,
    /// The highest timestamp that this reader ever told: clients have it.
    pub shown: Option<Timestamp>,
    /// The newest publication that was seen, shown or not: waiting for it is in vain.
    pub seen: Option<Timestamp>,
    /// Its changeset.
    pub list: List,
}

impl Monitor {
    /// Sorts and renders the entries, which are without the publications at `held_back`.
    pub fn new(
        entries: Vec<Entry>,
        held_back: Vec<Timestamp>,
        wardrobe: &Wardrobe,
        before: Before<'_>,
    ) -> Self {
        let shown = before.shown.max(before.monitor.and_then(|monitor| monitor.shown));
        let newest = entries.iter().map(|entry| entry.timestamp);
        let seen = newest.chain(held_back.iter().copied()).chain(shown).max();
        let entries = Entries::new(entries).after(shown).lacking(held_back.into_iter().min());
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
        let mut dress = wardrobe.of("monitor", "changes", timestamp.unwrap_or_default());
        if entries.is_lacking() {
            // What is missing may be there any moment, and changes the list under its timestamp.
            dress.policy = dress.policy.all_stale();
        }
        let list = draft.finish(dress, before.monitor.map(|old| &old.list), true);
        Self { entries, timestamp, shown: shown.max(timestamp), seen, list }
    }
}
