//! What `/v2` understands otherwise than `/v1` (`remote-settings.md` §6.3).

use super::{ChangesetQuery, about_since, changeset::python_list, monitor::Detour};
use crate::{
    error::{ApiError, Detail, Location},
    http::Query,
    model::Timestamp,
};

/// Lifetimes in seconds where settings say nothing: of what moves with each publication or is
/// looked at by people, and of the rest.
const SHORT: u32 = 60;
const LONG: u32 = 3_600;

impl ChangesetQuery {
    /// Checks the parameters by the rules of `/v2`: `_limit` means nothing there.
    ///
    /// # Errors
    ///
    /// 422 when `_expected` or `_since` is no number, 400 when the client expects less than it has.
    pub fn parse_v2(query: &Query) -> Result<Self, ApiError> {
        let (expected, since) = (number(query, "_expected"), number(query, "_since"));
        let (expected, since) = match (expected, since) {
            (Ok(Some(expected)), Ok(since)) => (expected, since),
            (expected, since) => {
                let missing = Detail::new(Location::QueryString, "_expected", "Required");
                let expected =
                    expected.map_or_else(Some, |found| found.is_none().then_some(missing));
                let problems = [expected, since.err()].into_iter().flatten().collect();
                return Err(ApiError::Unprocessable(problems));
            }
        };
        if let Some(since) = since.filter(|since| Timestamp::ZERO < expected && expected < *since) {
            let text = format!("{expected} is lower than _since, which is {since}");
            return Err(ApiError::invalid(Location::QueryString, "_expected", text));
        }
        Ok(Self {
            expected: query.get("_expected").unwrap_or_default().to_owned(),
            since,
            limit: None,
            bucket: query.get("bucket").map(str::to_owned),
            collection: query.get("collection").map(str::to_owned),
        })
    }
}

/// A whole number, given once at most.
fn number(query: &Query, name: &'static str) -> Result<Option<Timestamp>, Detail> {
    let refuse = |shown: &str| {
        Err(Detail::new(Location::QueryString, name, format!("\"{shown}\" is not a number")))
    };
    let values: Vec<&str> = query.all(name).collect();
    match *values {
        [] => Ok(None),
        // Without quotes: clients of this API have never sent any.
        [text] if text.bytes().all(|byte| byte.is_ascii_digit()) => match Timestamp::parse(text) {
            Ok(number) => Ok(Some(number)),
            Err(_) => refuse(text),
        },
        [text] => refuse(text),
        _ => refuse(&python_list(&values)),
    }
}

/// Whether the monitor sends a `_since` away, quoted or not, before it looks at anything else: so
/// does the edge of the reference (§3.8).
pub fn is_too_old(query: &Query, now: Timestamp, max_age_days: Option<u32>) -> bool {
    let since = query.get("_since").and_then(|text| Timestamp::parse(text).ok());
    let detour = since.and_then(|since| about_since(None, since, now, max_age_days));
    detour == Some(Detour::DropSince)
}

/// The lifetime of a changeset where settings give none.
pub fn default_lifetime(bucket: &str, collection: &str, expected: &str) -> u32 {
    let is_any = expected == "0" || expected.starts_with("9999");
    let is_monitor = (bucket, collection) == ("monitor", "changes");
    let is_preview = bucket.contains("-preview") || collection.contains("-preview");
    if (is_monitor && is_any) || is_preview { SHORT } else { LONG }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> (u16, Option<(String, Option<i64>)>) {
        match ChangesetQuery::parse_v2(&Query::parse(query).unwrap()) {
            Ok(query) => (200, Some((query.expected, query.since.map(Timestamp::as_millis)))),
            Err(error) => (error.contract().0.as_u16(), None),
        }
    }

    #[test]
    fn numbers_are_numbers() {
        let good = |query| parse(query).1.unwrap();
        assert_eq!(good("_expected=0"), ("0".to_owned(), None));
        assert_eq!(good("_expected=7&_since=7&_limit=x"), ("7".to_owned(), Some(7)));
        assert_eq!(good("_since=7&_expected=0"), ("0".to_owned(), Some(7)));
        for (query, status) in [
            ("", 422),
            ("_since=1", 422),
            ("_expected=", 422),
            ("_expected=abc", 422),
            ("_expected=-1", 422),
            ("_expected=%221%22", 422),
            ("_expected=1&_expected=1", 422),
            ("_expected=99999999999999999999999", 422),
            ("_expected=1&_since=", 422),
            ("_expected=1&_since=%221%22", 422),
            ("_expected=1&_since=2", 400),
        ] {
            assert_eq!(parse(query).0, status, "{query}");
        }
    }

    #[test]
    fn both_problems_are_told_in_kinto_s_envelope() {
        let query = Query::parse("_expected=a&_since=b").unwrap();
        let body = ChangesetQuery::parse_v2(&query).unwrap_err().body();

        assert_eq!((&body["code"], &body["errno"]), (&422.into(), &107.into()));
        assert_eq!(body["message"], "_expected in querystring: \"a\" is not a number");
        assert_eq!(body["details"][1]["name"], "_since");
    }

    #[test]
    fn what_people_look_at_is_short_lived() {
        for (bucket, collection, expected, seconds) in [
            ("monitor", "changes", "0", 60),
            ("monitor", "changes", "9999123", 60),
            ("monitor", "changes", "1795448131494", 3_600),
            ("main", "cfr", "0", 3_600),
            ("main-preview", "cfr", "1795448131494", 60),
            ("main", "nimbus-preview", "1795448131494", 60),
        ] {
            assert_eq!(default_lifetime(bucket, collection, expected), seconds, "{bucket}");
        }
    }
}
