//! By how much a transaction changes what buckets and collections hold: pure arithmetic.

use std::collections::{BTreeMap, BTreeSet};

use shared::model::{Id, ListPath};

use super::size::size;
use crate::{
    config::Quotas,
    context::Change,
    signoff::effects::PLUGIN_USER,
    store::{objects::Object, quotas::Usage},
};

/// The changes of one bucket or collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delta {
    /// By how much it grew.
    pub more: Usage,
    /// Whether limits are looked at: not where things were only deleted, nor for what sign-off
    /// publishes, which was checked when it was written.
    pub is_checked: bool,
}

impl Delta {
    fn add(&mut self, more: Usage, is_checked: bool) {
        self.more += more;
        self.is_checked |= is_checked;
    }
}

/// The changes of one transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// By bucket.
    pub buckets: BTreeMap<Id, Delta>,
    /// By bucket and collection.
    pub collections: BTreeMap<(Id, Id), Delta>,
    /// Buckets that were deleted, and whatever they held before this transaction with them. They
    /// may have been made again.
    pub erased_buckets: BTreeSet<Id>,
    /// Collections that were deleted: what they held before this transaction is not in `buckets`.
    pub erased_collections: BTreeSet<(Id, Id)>,
}

impl Ledger {
    /// Sums up changes in their order.
    pub fn new(settings: &Quotas, changes: &[Change]) -> Self {
        let mut ledger = Self::default();
        for change in changes.iter().filter(|change| settings.counts(&change.path)) {
            ledger.add(change);
        }
        ledger
    }

    fn add(&mut self, change: &Change) {
        let (id, number) = (&change.path.id, objects(change));
        let bytes = weight(change.new.as_ref()) - weight(change.old.as_ref());
        let usage = Usage { bytes, ..Usage::default() };
        let checked = is_checked(change);
        match &change.path.list {
            ListPath::Buckets if change.new.is_none() => self.erase_bucket(id),
            ListPath::Buckets => self.bucket(id).add(usage, checked),
            ListPath::Groups(bucket) => self.bucket(bucket).add(usage, checked),
            ListPath::Collections(bucket) => {
                self.bucket(bucket).add(Usage { collections: number, ..usage }, checked);
                self.collection(bucket, id).add(usage, checked);
                if change.new.is_none() {
                    self.erase_collection(bucket, id);
                }
            }
            ListPath::Records(bucket, collection) => {
                let usage = Usage { records: number, ..usage };
                self.bucket(bucket).add(usage, checked);
                self.collection(bucket, collection).add(usage, checked);
            }
            ListPath::Accounts | ListPath::History(_) => {}
        }
    }

    fn bucket(&mut self, bucket: &Id) -> &mut Delta {
        self.buckets.entry(bucket.clone()).or_default()
    }

    fn collection(&mut self, bucket: &Id, collection: &Id) -> &mut Delta {
        self.collections.entry((bucket.clone(), collection.clone())).or_default()
    }

    fn erase_bucket(&mut self, bucket: &Id) {
        self.buckets.remove(bucket);
        self.collections.retain(|(of, _), _| of != bucket);
        self.erased_collections.retain(|(of, _)| of != bucket);
        self.erased_buckets.insert(bucket.clone());
    }

    /// Takes back what this transaction has added below; the rest is known in the database only.
    fn erase_collection(&mut self, bucket: &Id, collection: &Id) {
        let key = (bucket.clone(), collection.clone());
        if let Some(below) = self.collections.remove(&key) {
            self.bucket(bucket).more -= below.more;
        }
        self.erased_collections.insert(key);
    }
}

/// Whether the change is one that limits are about.
pub fn is_checked(change: &Change) -> bool {
    change.new.is_some() && change.user_id.as_deref() != Some(PLUGIN_USER)
}

fn weight(object: Option<&Object>) -> i64 {
    object.map_or(0, size)
}

const fn objects(change: &Change) -> i64 {
    match (&change.old, &change.new) {
        (None, Some(_)) => 1,
        (Some(_), None) => -1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};
    use shared::{
        config::Layers,
        model::{ObjectPath, Timestamp},
    };

    use super::*;
    use crate::{config::Plugins, store::aces::Acl};

    fn settings(excluded: &str) -> Quotas {
        let mut layers = Layers::new("");
        layers.set("quotas.exclude_resources", excluded);
        layers.set("includes", "kinto.plugins.quotas");
        let plugins = Plugins::read(&mut layers);
        Quotas::read(&mut layers, &plugins)
    }

    /// `old` and `new` are how many bytes longer than an empty object they are.
    fn change(uri: &str, old: Option<usize>, new: Option<usize>) -> Change {
        let path = ObjectPath::parse(uri).unwrap();
        let object = |length: usize| Object {
            id: path.id.to_string(),
            last_modified: Timestamp::ZERO,
            deleted: false,
            data: Map::from_iter([("x".to_owned(), json!("x".repeat(length)))]),
        };
        Change {
            user_id: Some("alice".to_owned()),
            old: old.map(object),
            new: new.map(object),
            timestamp: Timestamp::ZERO,
            acl: Acl::new(),
            posted: Map::new(),
            path,
        }
    }

    const B: &str = "/buckets/b";
    const G: &str = "/buckets/b/groups/g";
    const C: &str = "/buckets/b/collections/c";
    const R: &str = "/buckets/b/collections/c/records/r";

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn usage(collections: i64, records: i64, bytes: i64) -> Usage {
        Usage { collections, records, bytes }
    }

    fn weight_of(length: usize) -> i64 {
        weight(change(B, None, Some(length)).new.as_ref())
    }

    #[test]
    fn a_bucket_holds_all_a_collection_itself_and_its_records() {
        let changes = [
            change(B, None, Some(0)),
            change(G, None, Some(0)),
            change(C, None, Some(0)),
            change(R, None, Some(10)),
            change(R, Some(10), Some(4)),
        ];

        let ledger = Ledger::new(&settings(""), &changes);

        let one = weight_of(0);
        assert_eq!(ledger.buckets[&id("b")].more, usage(1, 1, 4 * one + 4));
        assert_eq!(ledger.collections[&(id("b"), id("c"))].more, usage(0, 1, 2 * one + 4));
    }

    #[test]
    fn a_deleted_collection_leaves_nothing_of_this_transaction_behind() {
        let changes =
            [change(R, None, Some(10)), change(C, Some(1), Some(3)), change(C, Some(3), None)];

        let ledger = Ledger::new(&settings(""), &changes);

        // Its bytes, as they were before, are subtracted with its row.
        assert_eq!(ledger.buckets[&id("b")].more, usage(-1, 0, 0));
        assert!(ledger.collections.is_empty());
        assert_eq!(ledger.erased_collections.len(), 1);
    }

    #[test]
    fn a_collection_made_again_counts_from_nothing() {
        let changes =
            [change(C, Some(9), None), change(C, None, Some(0)), change(R, None, Some(0))];

        let ledger = Ledger::new(&settings(""), &changes);

        let one = weight_of(0);
        assert_eq!(ledger.buckets[&id("b")].more, usage(0, 1, 2 * one));
        assert_eq!(ledger.collections[&(id("b"), id("c"))].more, usage(0, 1, 2 * one));
        assert_eq!(ledger.erased_collections.len(), 1);
    }

    #[test]
    fn a_deleted_bucket_takes_all_along() {
        let changes = [
            change(R, None, Some(0)),
            change(C, Some(0), None),
            change(B, Some(0), None),
            change(B, None, Some(5)),
        ];

        let ledger = Ledger::new(&settings(""), &changes);

        assert_eq!(ledger.buckets[&id("b")].more, usage(0, 0, weight_of(5)));
        assert!(ledger.collections.is_empty() && ledger.erased_collections.is_empty());
        assert_eq!(ledger.erased_buckets.len(), 1);
    }

    #[test]
    fn what_is_excluded_is_not_counted() {
        let changes = [change(C, None, Some(0)), change(G, None, Some(0))];

        let ledger = Ledger::new(&settings("/buckets/b/collections/c"), &changes);

        assert!(ledger.collections.is_empty());
        assert_eq!(ledger.buckets[&id("b")].more, usage(0, 0, weight_of(0)));
    }

    #[test]
    fn deletions_and_publications_are_not_checked() {
        let deletion = change(R, Some(9), None);
        let mut published = change(R, None, Some(9));
        published.user_id = Some(PLUGIN_USER.to_owned());

        for changes in [[deletion.clone(), published], [deletion.clone(), deletion.clone()]] {
            let ledger = Ledger::new(&settings(""), &changes);
            assert!(!ledger.buckets[&id("b")].is_checked);
            assert!(!ledger.collections[&(id("b"), id("c"))].is_checked);
        }
        let ledger = Ledger::new(&settings(""), &[deletion, change(R, None, Some(1))]);
        assert!(ledger.buckets[&id("b")].is_checked);
    }
}
