//! `If-Match` and `If-None-Match` (`kinto-http-api.md` §2.7): pure.

use crate::{
    error::{Detail, Location},
    model::Timestamp,
};
use http::{HeaderMap, HeaderName, header};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Any,
    Equals(Timestamp),
}

/// The conditions under which a request is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Preconditions {
    matches: Option<Condition>,
    none_matches: Option<Condition>,
}

/// What a read should answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

impl Preconditions {
    /// Reads the headers; each problem is a detail.
    ///
    /// # Errors
    ///
    /// What is wrong with them: a date, a weak or unquoted tag, a list.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Vec<Detail>> {
        let matches = parse(headers, &header::IF_MATCH, "If-Match");
        let none_matches = parse(headers, &header::IF_NONE_MATCH, "If-None-Match");
        match (matches, none_matches) {
            (Ok(matches), Ok(none_matches)) => Ok(Self { matches, none_matches }),
            (a, b) => Err([a.err(), b.err()].into_iter().flatten().collect()),
        }
    }

    /// Whether the object must not exist yet: it is then created, not written (§2.10.7).
    pub fn wants_new(&self) -> bool {
        self.none_matches == Some(Condition::Any)
    }

    /// For a read of an object, or of a list, whose version is `current`. Who knows it already is told
    /// so whatever else is wanted, as in the reference.
    pub fn for_read(&self, current: Timestamp) -> Verdict {
        match (self.matches, self.none_matches) {
            (_, Some(Condition::Any)) => Verdict::Failed,
            (_, Some(Condition::Equals(known))) if known == current => Verdict::NotModified,
            (Some(Condition::Equals(wanted)), _) if wanted != current => Verdict::Failed,
            _ => Verdict::Proceed,
        }
    }

    /// For a write; `current` is `None` when the object does not exist. Equality, not order.
    pub fn allow_write(&self, current: Option<Timestamp>) -> bool {
        let matches = match (self.matches, current) {
            (None, _) | (Some(Condition::Any), Some(_)) => true,
            (Some(Condition::Equals(wanted)), Some(current)) => wanted == current,
            (Some(_), None) => false,
        };
        matches && !(self.wants_new() && current.is_some())
    }
}

/// An empty header, and `"0"`, count as absent.
fn parse(
    headers: &HeaderMap,
    header: &HeaderName,
    name: &str,
) -> Result<Option<Condition>, Detail> {
    let refuse = || {
        let text = "The value should be integer between double quotes.";
        Detail::new(Location::Header, name, text)
    };
    let mut lines = headers.get_all(header).iter();
    let Some(value) = lines.next() else { return Ok(None) };
    // Several lines are a list (RFC 9110 §5.3), which is no version.
    if lines.next().is_some() {
        return Err(refuse());
    }
    match value.to_str().map_err(|_| refuse())?.trim() {
        "" => Ok(None),
        "*" => Ok(Some(Condition::Any)),
        quoted if quoted.starts_with('"') => {
            let timestamp = version(quoted).ok_or_else(refuse)?;
            Ok(Some(Condition::Equals(timestamp)).filter(|_| timestamp != Timestamp::ZERO))
        }
        _ => Err(refuse()),
    }
}

/// Digits in quotes. A number beyond all timestamps is the version of nothing, and no mistake.
fn version(quoted: &str) -> Option<Timestamp> {
    let digits = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Timestamp::parse(digits).unwrap_or(Timestamp::from_millis(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &'static str, value: &str) -> Result<Preconditions, Vec<Detail>> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Preconditions::parse(&headers)
    }

    const NOW: Timestamp = Timestamp::from_millis(7);

    #[test]
    fn only_quoted_digits_and_the_star_are_tags() {
        for bad in ["7", "W/\"7\"", "\"*\"", "\"7\", \"8\"", "\"abc\"", "\"-7\"", "*abc", "\"7"] {
            assert_eq!(parse("if-match", bad).unwrap_err().len(), 1, "{bad}");
        }
        let never = parse("if-match", "\"99999999999999999999999\"").unwrap();
        assert!(!never.allow_write(Some(NOW)), "a version that nothing can have");
        assert_eq!(parse("if-match", "\"0\""), Ok(Preconditions::default()));
        assert_eq!(parse("if-none-match", ""), Ok(Preconditions::default()));
    }

    #[test]
    fn of_both_headers_of_a_read_the_version_that_is_known_comes_first() {
        let verdict = |matches, none_matches| {
            let [matches, none_matches] = [("if-match", matches), ("if-none-match", none_matches)]
                .map(|(name, value)| parse(name, value).unwrap());
            let both = Preconditions { matches: matches.matches, ..none_matches };
            both.for_read(NOW)
        };
        assert_eq!(verdict("\"8\"", "\"7\""), Verdict::NotModified);
        assert_eq!(verdict("\"7\"", "\"7\""), Verdict::NotModified);
        assert_eq!(verdict("\"8\"", "\"8\""), Verdict::Failed);
        assert_eq!(verdict("\"7\"", "*"), Verdict::Failed);
        assert_eq!(verdict("\"7\"", "\"8\""), Verdict::Proceed);
    }

    #[test]
    fn writes_follow_the_table() {
        let same = parse("if-match", "\"7\"").unwrap();
        let newer = parse("if-match", "\"8\"").unwrap();
        let any = parse("if-match", "*").unwrap();
        let new = parse("if-none-match", "*").unwrap();
        let ignored = parse("if-none-match", "\"7\"").unwrap();

        for (condition, existing, missing) in [
            (same, true, false),
            (newer, false, false),
            (any, true, false),
            (new, false, true),
            (ignored, true, true),
        ] {
            assert_eq!(condition.allow_write(Some(NOW)), existing, "{condition:?}");
            assert_eq!(condition.allow_write(None), missing, "{condition:?}");
        }
    }

    #[test]
    fn reads_follow_the_table() {
        let verdict = |name, value| parse(name, value).unwrap().for_read(NOW);

        assert_eq!(verdict("if-none-match", "\"7\""), Verdict::NotModified);
        assert_eq!(verdict("if-none-match", "\"8\""), Verdict::Proceed);
        assert_eq!(verdict("if-none-match", "*"), Verdict::Failed);
        assert_eq!(verdict("if-match", "\"8\""), Verdict::Failed);
        assert_eq!(verdict("if-match", "*"), Verdict::Proceed);
    }
}
