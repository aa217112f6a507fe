//! What is served: verified and rendered before anybody asks, swapped by one atomic store.

mod board;
mod chains;
mod check;
mod collection;
mod dress;
mod lineage;
mod list;
mod monitor;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

pub use board::Board;
pub use chains::{Chains, ServedChain};
pub use check::{check, entries, own_key, trusted_keys};
pub use collection::{Built, Collection, Context, Source, build, shown};
pub use dress::{EXPOSED, Wardrobe, add_keys, common_headers};
pub use lineage::Lineage;
pub use list::{Change, Draft, List, Part, Shown};
pub use monitor::Monitor;
use shared::{certificates::Ends, model::Timestamp, wire::Entry};

/// Why a state of the database is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no signature, and there should be.
    Unsigned,
    /// No signature verifies.
    Signature,
    /// Its timestamp is lower than the one already served.
    Older,
    /// It holds something that is no JSON object of ours: a number beyond any float, say.
    Unreadable,
    /// It is gone, and nobody deleted it.
    Vanished,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::Unsigned, Self::Signature, Self::Older, Self::Unreadable, Self::Vanished];

    /// As the metrics and the heartbeat name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsigned => "unsigned",
            Self::Signature => "signature",
            Self::Older => "older",
            Self::Unreadable => "unreadable",
            Self::Vanished => "vanished",
        }
    }
}

/// A state of the database that is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Its records timestamp.
    pub timestamp: Timestamp,
}

/// One published collection.
#[derive(Debug, Clone)]
pub struct Slot {
    /// What is served: the last state that was good, if there was one.
    pub good: Option<Arc<Collection>>,
    /// The database's present state, if that is not served.
    pub refused: Option<Refusal>,
    /// Whether everybody may read it.
    pub public: bool,
}

impl Slot {
    /// The timestamp of a publication that is not shown: clients have to hear of it one day.
    pub fn held_back(&self) -> Option<Timestamp> {
        let refused = self.refused?.timestamp;
        let is_newer = self.good.as_ref().is_none_or(|good| refused > good.timestamp);
        is_newer.then_some(refused)
    }
}

/// What came before a state.
#[derive(Debug, Clone, Copy, Default)]
pub struct Before<'a> {
    /// The list of published collections.
    pub monitor: Option<&'a Monitor>,
    /// The highest timestamp that was told, where that list does not tell.
    pub shown: Option<Timestamp>,
    /// The earliest publication that was held back, where the state itself does not tell.
    pub held_back: Option<Timestamp>,
}

/// Everything that is served at one moment.
#[derive(Debug)]
pub struct Published {
    /// The watermark that it belongs to.
    pub watermark: Timestamp,
    /// The list of published collections.
    pub monitor: Monitor,
    /// The certificate chains of signatures.
    pub chains: Arc<Chains>,
    collections: HashMap<String, HashMap<String, Slot>>,
    public_buckets: HashSet<String>,
}

impl Published {
    /// Puts a state together. `slots` are (bucket, collection, slot).
    pub fn new(
        watermark: Timestamp,
        wardrobe: &Wardrobe,
        slots: Vec<(String, String, Slot)>,
        public_buckets: Vec<String>,
        chains: Arc<Chains>,
        before: Before<'_>,
    ) -> Self {
        let held_back = slots.iter().filter_map(|(_, _, slot)| slot.held_back());
        let held_back = held_back.chain(before.held_back).collect();
        let served = slots.iter().filter_map(|(bucket, collection, slot)| {
            slot.good
                .as_ref()
                .map(|good| Entry::new(wardrobe.http_host(), bucket, collection, good.timestamp))
        });
        let monitor = Monitor::new(served.collect(), held_back, wardrobe, before);
        let mut collections: HashMap<String, HashMap<String, Slot>> = HashMap::new();
        for (bucket, collection, slot) in slots {
            collections.entry(bucket).or_default().insert(collection, slot);
        }
        let public_buckets = public_buckets.into_iter().collect();
        Self { watermark, monitor, chains, collections, public_buckets }
    }

    /// Whether collections are published, and no state of any is good: there is nothing to serve, which
    /// is not the same as that nothing is published.
    pub fn is_empty_handed(&self) -> bool {
        self.monitor.timestamp.is_none() && !self.collections.is_empty()
    }

    /// A collection.
    pub fn get(&self, bucket: &str, collection: &str) -> Option<&Slot> {
        self.collections.get(bucket)?.get(collection)
    }

    /// Whether everybody may know which collections the bucket has.
    pub fn is_public_bucket(&self, bucket: &str) -> bool {
        self.public_buckets.contains(bucket)
    }

    /// The buckets of which everybody may know which collections they have.
    pub fn public_buckets(&self) -> impl Iterator<Item = &String> {
        self.public_buckets.iter()
    }

    /// Every collection: bucket, id, slot.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &Slot)> {
        self.collections.iter().flat_map(|(bucket, collections)| {
            collections.iter().map(|(id, slot)| (bucket.as_str(), id.as_str(), slot))
        })
    }

    /// The collections whose present state is refused.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str, Reason)> {
        self.iter().filter_map(|(bucket, id, slot)| Some((bucket, id, slot.refused?.reason)))
    }

    /// When the certificates behind the served signatures end, as far as their chains are here.
    pub fn certificates(&self) -> Ends {
        let mut ends = Ends::default();
        let served = self.iter().filter_map(|(_, _, slot)| slot.good.as_ref());
        let urls: HashSet<&String> = served.flat_map(|good| &good.x5us).collect();
        urls.into_iter().filter_map(|x5u| self.chains.of(x5u)).for_each(|chain| ends.add(chain));
        ends
    }

    /// The lists, some forms of which are not made yet, the smallest first.
    pub fn incomplete(&self) -> Vec<&List> {
        let mut lists: Vec<&List> = self.lists().filter(|list| !list.is_complete()).collect();
        lists.sort_by_key(|list| list.full().plain().len());
        lists
    }

    /// Memory that the rendered bodies take.
    pub fn bytes(&self) -> usize {
        self.lists().map(List::bytes).sum()
    }

    /// Memory that dictionaries take, and what was made with them.
    pub fn dictionary_bytes(&self) -> usize {
        self.lists().map(List::dictionary_bytes).sum()
    }

    fn lists(&self) -> impl Iterator<Item = &List> {
        let collections = self.iter().filter_map(|(_, _, slot)| slot.good.as_ref());
        collections.map(|good| &good.list).chain([&self.monitor.list])
    }
}
