//! What push services tell browsers: that something was published (`remote-settings.md` §4.1).

use http::StatusCode;
use serde_json::{Map, json};

use super::{Entries, Entry};
use crate::{http::Reply, model::Timestamp};

/// The one broadcast's id.
pub const MONITOR_BROADCAST: &str = "remote-settings/monitor_changes";

/// A value younger than this may not have reached every reader yet: browsers that hear of it would
/// ask in vain.
const SETTLE_MS: i64 = 5_000;

/// The newest publication that browsers are told of: previews are for people.
pub fn candidate(entries: &Entries) -> Option<Timestamp> {
    let is_told = |bucket: &str, collection: &str| {
        !bucket.contains("-preview") && !collection.contains("-preview")
    };
    // Not what is above the list's own timestamp, either: browsers would ask for it in vain.
    let most = entries.timestamp();
    let told =
        |entry: &&Entry| Some(entry.timestamp) <= most && is_told(&entry.bucket, &entry.collection);
    entries.iter().find(told).map(|entry| entry.timestamp)
}

/// Whether the value stays as it is, whatever was published since: so it is not asked for.
pub fn is_young(last: Option<Timestamp>, now: Timestamp, interval_ms: i64) -> bool {
    last.is_some_and(|last| now.as_millis() - last.as_millis() <= interval_ms)
}

/// The value to tell, where `last` was told and `current` is the newest: each value makes millions
/// of browsers ask, so a burst of publications is told once, when it is over or when `interval_ms`
/// has passed.
pub fn debounce(
    last: Option<Timestamp>,
    current: Option<Timestamp>,
    now: Timestamp,
    interval_ms: i64,
) -> Option<Timestamp> {
    let age = |of: Timestamp| now.as_millis() - of.as_millis();
    let Some(current) = current.filter(|current| age(*current) >= SETTLE_MS) else { return last };
    let Some(told) = last else { return Some(current) };
    if is_young(last, now, interval_ms) || current <= told {
        return last;
    }
    let is_late = current.as_millis() - told.as_millis() > interval_ms;
    let is_over = age(current) > interval_ms;
    if is_late || is_over { Some(current) } else { last }
}

/// The answer to a push service. Without a value there is no broadcast: browsers would keep a
/// made-up one as their version (D19).
pub fn broadcasts(value: Option<Timestamp>) -> Reply {
    let told = value.map(|value| (MONITOR_BROADCAST.to_owned(), value.etag().into()));
    let told: Map<_, _> = told.into_iter().collect();
    Reply::json(StatusCode::OK, &json!({"broadcasts": told, "code": 200}))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const D: i64 = 300_000;
    const NOW: i64 = 1_795_448_131_494;

    /// Ages in seconds of the last value and the newest; and which of them is told.
    #[test]
    fn a_burst_is_told_once() {
        for (last, current, told) in [
            (None, None, None),
            (None, Some(10), Some(10)),
            (None, Some(4), None),
            (Some(200), None, Some(200)),
            (Some(200), Some(100), Some(200)),
            (Some(300), Some(6), Some(300)),
            (Some(301), Some(6), Some(301)),
            (Some(306), Some(5), Some(5)),
            (Some(306), Some(4), Some(306)),
            (Some(310), Some(10), Some(310)),
            (Some(311), Some(10), Some(10)),
            (Some(400), Some(301), Some(301)),
            (Some(400), Some(300), Some(400)),
            (Some(400), Some(400), Some(400)),
            (Some(400), Some(500), Some(400)),
        ] {
            let at = |age: Option<i64>| age.map(|age| Timestamp::from_millis(NOW - age * 1_000));
            let now = Timestamp::from_millis(NOW);
            assert_eq!(debounce(at(last), at(current), now, D), at(told), "{last:?} {current:?}");
        }
    }

    #[test]
    fn d19_nothing_to_tell_is_an_empty_object() {
        assert_eq!(broadcasts(None).body, r#"{"broadcasts":{},"code":200}"#);
        assert_eq!(
            broadcasts(Some(Timestamp::from_millis(NOW))).body,
            r#"{"broadcasts":{"remote-settings/monitor_changes":"\"1795448131494\""},"code":200}"#
        );
    }

    #[test]
    fn previews_are_not_told() {
        let entry = |bucket: &str, collection: &str, at| {
            Entry::new("", bucket, collection, Timestamp::from_millis(at))
        };
        let previews = vec![entry("main-preview", "a", 9), entry("main", "nimbus-preview", 8)];
        assert_eq!(candidate(&Entries::new(previews.clone())), None);
        let all = [previews, vec![entry("main", "a", 7), entry("main", "b", 6)]].concat();
        let all = Entries::new(all);
        assert_eq!(candidate(&all), Some(Timestamp::from_millis(7)));
        let lacking = all.lacking(Some(Timestamp::from_millis(7)));
        assert_eq!(
            candidate(&lacking),
            Some(Timestamp::from_millis(6)),
            "7 is no timestamp of its"
        );
    }

    proptest! {
        /// A leader that looks every ten seconds while collections are published at random.
        #[test]
        fn values_go_forward_are_settled_and_arrive(
            pauses in proptest::collection::vec(1_i64..400_000, 1..30),
        ) {
            let mut publications: Vec<i64> = pauses
                .iter()
                .scan(NOW, |at, pause| { *at += pause; Some(*at) })
                .collect();
            let end = publications.last().unwrap() + 2 * D + 20_000;
            publications.reverse();
            let mut told: Option<Timestamp> = None;
            for now in (NOW..end).step_by(10_000) {
                let newest = publications.iter().find(|at| **at <= now);
                let newest = newest.copied().map(Timestamp::from_millis);
                let instant = Timestamp::from_millis(now);
                let next = debounce(told, newest, instant, D);
                if next != told {
                    prop_assert_eq!(next, newest);
                    prop_assert!(next > told);
                    prop_assert!(now - next.unwrap().as_millis() >= SETTLE_MS);
                    prop_assert!(!is_young(told, instant, D));
                }
                told = next;
            }
            prop_assert_eq!(told, Some(Timestamp::from_millis(publications[0])));
        }
    }
}
