//! How long a cache may keep a changeset.

use super::monitor;
use crate::{config::ttl, model::Timestamp};

/// Seconds that a cache may keep an answer to `_expected`, `None` for no header
/// (`remote-settings.md` §3.7).
///
/// `served` is the timestamp that the answer carries. An answer older than a client expects (the
/// reader lags) must not stay under the new URL: it gets the minimum, at most 5 s if none is set
/// (§3.8 rule 5, D16).
pub fn lifetime(expected: &str, served: Timestamp, policy: ttl::Policy) -> Option<u32> {
    if is_stale(expected, served) {
        return Some(policy.of_stale());
    }
    if expected == "0" || expected.starts_with("9999") { policy.minimum } else { policy.maximum }
}

/// Whether the client knows of a later timestamp than the one served.
pub fn is_stale(expected: &str, served: Timestamp) -> bool {
    let Some(wanted) = monitor::expected(expected) else { return false };
    wanted.as_millis() >= 1_000_000_000_000
        && !expected.trim_matches('"').starts_with("9999")
        && wanted > served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d16_a_stale_answer_gets_the_minimum() {
        let policy =
            ttl::Policy { plain: Some(1), minimum: Some(60), maximum: Some(3_600), stale: Some(7) };
        let served = Timestamp::from_millis(1_700_000_000_000);
        let seconds = |expected: &str| lifetime(expected, served, policy);

        assert_eq!(seconds("0"), Some(60));
        assert_eq!(seconds("9999123"), Some(60));
        assert_eq!(seconds("00"), Some(3_600));
        assert_eq!(seconds("\"0\""), Some(3_600));
        assert_eq!(seconds("abc"), Some(3_600));
        assert_eq!(seconds("1700000000000"), Some(3_600));
        assert_eq!(seconds("1700000000001"), Some(7));
        assert_eq!(seconds("\"1700000000001\""), Some(7));
        assert_eq!(seconds("1700000000001\""), Some(7), "as many releases of Firefox send it");
        assert_eq!(seconds(&"1".repeat(22)), Some(7), "an integer of any size");
        assert_eq!(seconds(&"9".repeat(22)), Some(60), "what asks for no timestamp");
        let held = policy.all_stale();
        let lives =
            ["0", "9999123", "abc", "1700000000001"].map(|text| lifetime(text, served, held));
        assert_eq!((lives, held.plain), ([Some(7); 4], Some(1)));
        let unset = ttl::Policy::default();
        assert_eq!(lifetime("0", served, unset.all_stale()), Some(5));
        assert_eq!(unset.all_stale().plain, None);
        assert_eq!(lifetime("1700000000001", served, unset), Some(5));
        assert_eq!(lifetime("1700000000000", served, unset), None);
    }
}
