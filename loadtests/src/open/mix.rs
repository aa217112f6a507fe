//! Which clients come, and what they ask for (`remote-settings.md` §9.1).

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

use super::{
    catalogue::{Catalogue, MONITOR},
    plan::{Kind, Plan},
};

/// Of 100 clients of the fleet, so many have just been started: `_expected=0`, and no `_since`,
/// because a client instance is new.
const STARTED: f64 = 50.0;
/// So many ask after a day, and know the newest timestamp already.
const CURRENT: f64 = 20.0;
/// So many were told by push, and fetch what changed last.
const TOLD: f64 = 20.0;
/// So many have no data of a collection, and fetch all of it.
const EMPTY: f64 = 10.0;

/// So many ages of clients are drawn for each collection: caches and static files must hold each.
const AGES: u32 = 64;
/// Of as many draws, so many clients have everything already.
const UP_TO_DATE: u32 = 10;

/// Steady polling.
pub(crate) fn fleet(catalogue: &Catalogue, prefix: &str) -> Plan {
    let mut mix = Mix { catalogue, plan: Plan::new(prefix) };
    let start = mix.monitor(0, 0);
    mix.plan.visit(STARTED, [start]);
    let current = mix.monitor(0, catalogue.timestamp);
    mix.plan.visit(CURRENT, [current]);
    let told = mix.monitor(catalogue.timestamp, catalogue.previous);
    let count = as_float(catalogue.collections.len());
    for (number, collection) in catalogue.collections.iter().enumerate() {
        let delta = mix.changeset(number, collection.before(1));
        mix.plan.visit(TOLD / count, [told, delta]);
        let whole = mix.changeset(number, 0);
        mix.plan.visit(EMPTY / count, [whole]);
    }
    mix.plan
}

/// What everybody asks for after `collection` was published: it had the timestamp `before`, and has
/// `now`, which is the monitor's as well.
pub(crate) fn herd(
    catalogue: &Catalogue,
    prefix: &str,
    collection: usize,
    [before, now]: [i64; 2],
) -> Plan {
    let mut mix = Mix { catalogue, plan: Plan::new(prefix) };
    let told = mix.monitor(now, catalogue.timestamp.min(before));
    let path = mix.catalogue.collections[collection].path();
    let path = format!("{path}?_expected={now}&_since=%22{before}%22");
    let delta = mix.plan.call(path, Kind::Delta, Some(collection), [now, before]);
    mix.plan.visit(1.0, [told, delta]);
    mix.plan
}

/// New clients, each of which fetches every collection.
pub(crate) fn first_start(catalogue: &Catalogue, prefix: &str) -> Plan {
    let mut mix = Mix { catalogue, plan: Plan::new(prefix) };
    let mut calls = vec![mix.monitor(0, 0)];
    calls.extend((0..catalogue.collections.len()).map(|number| mix.changeset(number, 0)));
    mix.plan.visit(1.0, calls);
    mix.plan.is_fresh = true;
    mix.plan
}

/// Clients that were away for different times: how many changes they lack is log-uniform, so that
/// most lack few, and some all.
pub(crate) fn deltas(catalogue: &Catalogue, prefix: &str, seed: u64) -> Plan {
    let mut mix = Mix { catalogue, plan: Plan::new(prefix) };
    let mut rng = StdRng::seed_from_u64(seed);
    for (number, collection) in catalogue.collections.iter().enumerate() {
        let changes = as_float(collection.times.len());
        for draw in 0..AGES {
            let lacking = (changes + 1.0).powf(rng.random::<f64>());
            let lacking = if draw < UP_TO_DATE { 0 } else { as_count(lacking) };
            let call = mix.changeset(number, collection.before(lacking));
            mix.plan.visit(1.0, [call]);
        }
    }
    mix.plan
}

struct Mix<'a> {
    catalogue: &'a Catalogue,
    plan: Plan,
}

impl Mix<'_> {
    fn monitor(&mut self, expected: i64, since: i64) -> Option<usize> {
        let path = with_since(format!("{MONITOR}?_expected={expected}"), since);
        self.plan.call(path, Kind::Monitor, None, [expected, since])
    }

    /// A collection's changeset, as the monitor makes clients ask for it.
    fn changeset(&mut self, number: usize, since: i64) -> Option<usize> {
        let collection = &self.catalogue.collections[number];
        let expected = collection.timestamp;
        let path = with_since(format!("{}?_expected={expected}", collection.path()), since);
        let kind = if since == 0 { Kind::Changeset } else { Kind::Delta };
        self.plan.call(path, kind, Some(number), [expected, since])
    }
}

/// Firefox stores timestamps with their quotes, and sends them so.
fn with_since(path: String, since: i64) -> String {
    if since == 0 { path } else { format!("{path}&_since=%22{since}%22") }
}

#[expect(clippy::cast_precision_loss, reason = "there are fewer than 2^53 of anything")]
fn as_float(count: usize) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of changes, never negative; the floor is meant"
)]
fn as_count(number: f64) -> usize {
    number as usize
}

#[cfg(test)]
mod tests {
    use super::{super::catalogue::Published, *};

    fn catalogue() -> Catalogue {
        let collections = [("a", 30), ("b", 20)].map(|(id, timestamp)| Published {
            bucket: "main".to_owned(),
            id: id.to_owned(),
            timestamp,
            records: Vec::new(),
            times: (1..=timestamp).rev().collect(),
        });
        Catalogue { timestamp: 30, previous: 20, collections: collections.into() }
    }

    #[test]
    fn the_fleet_asks_for_the_list_and_for_what_is_new() {
        let plan = fleet(&catalogue(), "/v1");
        let paths: Vec<&str> = plan.calls().iter().map(|call| call.path.as_str()).collect();
        let a = "/buckets/main/collections/a/changeset";
        for path in [
            format!("{MONITOR}?_expected=0"),
            format!("{MONITOR}?_expected=0&_since=%2230%22"),
            format!("{MONITOR}?_expected=30&_since=%2220%22"),
            format!("{a}?_expected=30"),
            format!("{a}?_expected=30&_since=%2229%22"),
        ] {
            assert!(paths.contains(&path.as_str()), "{path}: {paths:?}");
        }
        assert_eq!(paths.len(), 7);
    }

    #[test]
    fn ages_are_mixed_and_repeat_with_the_seed() {
        let paths = |seed| {
            let plan = deltas(&catalogue(), "/v1", seed);
            plan.calls().iter().map(|call| call.path.clone()).collect::<Vec<_>>()
        };
        assert_eq!(paths(1), paths(1));
        assert_ne!(paths(1), paths(2));
        let plan = deltas(&catalogue(), "/v1", 1);
        let ages: std::collections::BTreeSet<i64> =
            plan.calls().iter().map(|call| call.since).collect();
        assert!(ages.contains(&30) && ages.iter().any(|age| *age < 20), "{ages:?}");
    }

    #[test]
    fn a_first_start_is_one_visit_of_everything() {
        let plan = first_start(&catalogue(), "/v1");
        assert!(plan.is_fresh);
        assert_eq!(plan.calls_of(0).len(), 3);
        assert!(plan.calls().iter().all(|call| call.since == 0));
    }

    #[test]
    fn a_herd_asks_for_the_same_new_urls() {
        let plan = herd(&catalogue(), "/v1", 0, [30, 40]);
        let paths: Vec<&str> = plan.calls_of(0).map(|call| call.path.as_str()).collect();
        assert_eq!(paths[0], format!("{MONITOR}?_expected=40&_since=%2230%22"));
        assert!(paths[1].ends_with("/a/changeset?_expected=40&_since=%2230%22"));
    }
}
