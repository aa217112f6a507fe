//! What caches are told to forget when something is published (docs/cdn.md, ADR 10): entries of the
//! outbox in the transaction of the change.

use std::{collections::BTreeSet, time::Duration};

use serde_json::json;
use shared::{
    error::ApiError,
    model::ListPath,
    store::{Tx, Write},
    wire::SurrogateKey,
};

use crate::{
    config::Purge,
    context::Ctx,
    outbox::Kind,
    store::outbox::{self, Entry},
};

/// Most keys of one transaction; for more, all is forgotten.
const MAX_KEYS: usize = 1_000;

/// The keys of what a transaction has changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Purged(BTreeSet<SurrogateKey>);

impl Purged {
    /// Everything.
    pub fn everything() -> Self {
        Self(BTreeSet::from([SurrogateKey::everything()]))
    }

    /// What depends on the records of one list.
    pub fn records(list: &ListPath) -> Self {
        let mut purged = Self::default();
        purged.note(list, "");
        purged
    }

    /// Notes that an object of a list that readers serve has changed; no id stands for several
    /// objects.
    pub fn note(&mut self, list: &ListPath, id: &str) {
        match list {
            // Its permissions decide who may read what is in it.
            ListPath::Buckets => drop(self.0.insert(SurrogateKey::bucket(id))),
            ListPath::Collections(bucket) => {
                self.0.insert(SurrogateKey::collections(bucket));
                if !id.is_empty() {
                    self.0.insert(SurrogateKey::collection(bucket, id));
                }
            }
            ListPath::Records(bucket, collection) => {
                self.0.insert(SurrogateKey::collection(bucket, collection));
            }
            ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => return,
        }
        self.0.insert(SurrogateKey::monitor());
    }

    /// A message for each cache, and its repetition.
    pub fn entries(&self, settings: &Purge) -> Vec<Entry> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let keys: Vec<&str> = self.0.iter().map(SurrogateKey::as_str).collect();
        let everything = SurrogateKey::everything();
        let keys = if keys.len() > MAX_KEYS { vec![everything.as_str()] } else { keys };
        let repeated = settings.repeat_after.map(|time| settings.delay + time);
        let delays: Vec<Duration> = [settings.delay].into_iter().chain(repeated).collect();
        let entry = |target: &String, delay: Duration| Entry {
            delay,
            ..Kind::Purge.entry(target.clone(), json!({"keys": keys}))
        };
        let targets = settings.caches.keys();
        targets.flat_map(|target| delays.iter().map(|delay| entry(target, *delay))).collect()
    }
}

/// Puts into the outbox what the transaction makes caches forget; whether there is anything.
pub fn append(ctx: &mut Ctx<'_>) -> bool {
    let settings = &ctx.app.config.purge;
    if !settings.is_on() {
        return false;
    }
    let mut purged = std::mem::take(&mut ctx.purged);
    for change in &ctx.changes {
        if ctx.is_published(&change.path.list, &change.path.id) {
            purged.note(&change.path.list, &change.path.id);
        }
    }
    let entries = purged.entries(settings);
    let any = !entries.is_empty();
    ctx.post(entries);
    any
}

/// The statements that do the same for what is not an operation on an object or a list.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn writes(
    tx: &Tx<'_>,
    settings: &Purge,
    purged: &Purged,
) -> Result<Vec<Write>, ApiError> {
    outbox::append(tx, purged.entries(settings)).await
}

#[cfg(test)]
mod tests {
    use shared::model::Id;

    use super::*;

    fn keys(purged: &Purged) -> Vec<&str> {
        purged.0.iter().map(SurrogateKey::as_str).collect()
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn a_change_purges_what_shows_it_and_no_more() {
        let purged = |list: ListPath, id: &str| {
            let mut purged = Purged::default();
            purged.note(&list, id);
            purged
        };

        let records = purged(ListPath::Records(id("main"), id("cfr")), "r1");
        assert_eq!(keys(&records), ["main/cfr", "monitor/changes"]);
        let metadata = purged(ListPath::Collections(id("main")), "cfr");
        assert_eq!(keys(&metadata), ["collections:main", "main/cfr", "monitor/changes"]);
        let bucket = purged(ListPath::Buckets, "main");
        assert_eq!(keys(&bucket), ["bucket:main", "monitor/changes"]);
        assert_eq!(purged(ListPath::Groups(id("main")), "g"), Purged::default());
    }

    #[test]
    fn very_many_keys_are_everything() {
        let mut purged = Purged::default();
        for number in 0..=MAX_KEYS {
            purged.note(&ListPath::Records(id("main"), id(&format!("c{number}"))), "");
        }
        let cache = crate::config::Cache::Varnish { url: crate::config::Secret(String::new()) };
        let caches = [("purge.x".to_owned(), cache)].into();
        let (delay, repeat) = (Duration::from_millis(500), Duration::from_secs(10));
        let settings = Purge { delay, repeat_after: Some(repeat), caches };

        let entries = purged.entries(&settings);

        assert_eq!(entries.len(), 2);
        assert!(entries.iter().all(|entry| entry.payload == json!({"keys": ["countersign"]})));
        assert_eq!((entries[0].delay, entries[1].delay), (delay, delay + repeat));
    }
}
