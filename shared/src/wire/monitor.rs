//! The list of published collections, and where its clients are sent instead.

use md5::{Digest as _, Md5};

use super::ChangesetQuery;
use crate::{
    error::{ApiError, Detail, Location},
    model::Timestamp,
};

/// An answer of the monitor that needs no data, and so works with the database down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detour {
    /// 307: the same URL, `_expected` without quotes and last.
    UnquoteExpected,
    /// 307: the same URL without `_since`, which is too old.
    DropSince,
    /// 204: the client is ahead of the push message that it received.
    AlreadyAhead,
}

/// Steps 1 to 4 of `remote-settings.md` §3.4: what is answered from the parameters alone.
///
/// `max_age_days` is `changes.since_max_age_days`; `None` disables that redirect.
///
/// # Errors
///
/// 400 when `_expected` is not an integer after unquoting (D17).
pub fn detour(
    query: &ChangesetQuery,
    now: Timestamp,
    max_age_days: Option<u32>,
) -> Result<Option<Detour>, ApiError> {
    // Many Firefox releases send one trailing quote only: `_expected=123%22`.
    let unquoted = query.expected.replace('"', "");
    let Ok(expected) = Timestamp::parse(&unquoted) else {
        let text = "The value should be integer, optionally between double quotes.";
        let detail = Detail::new(Location::QueryString, "_expected", text);
        return Err(ApiError::Invalid(vec![detail]));
    };
    if query.expected.contains('"') {
        return Ok(Some(Detour::UnquoteExpected));
    }
    let Some(since) = query.since else { return Ok(None) };
    if Timestamp::ZERO < expected && expected < since {
        return Ok(Some(Detour::AlreadyAhead));
    }
    let too_old = max_age_days
        .is_some_and(|days| since < now.plus_millis(-i64::from(days) * 24 * 60 * 60 * 1_000));
    Ok(too_old.then_some(Detour::DropSince))
}

/// The id of a collection's entry: the MD5 of host and path in the form of a UUID (§3.2).
pub fn entry_id(http_host: &str, bucket: &str, collection: &str) -> String {
    let text = format!("{http_host}/buckets/{bucket}/collections/{collection}");
    uuid::Uuid::from_bytes(Md5::digest(text).into()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_ids_are_the_reference_s() {
        for (host, bucket, collection, id) in [
            ("", "a", "b", "9527d115-6191-fa49-a530-8fbfc4997755"),
            ("https://localhost:443", "a", "b", "fa48a96d-1600-f561-8645-3395acb08a5a"),
            ("rs.example.net", "main", "c", "31d0ba0e-1869-f1d6-adf7-2bd8d652d159"),
        ] {
            assert_eq!(entry_id(host, bucket, collection), id);
        }
    }

    #[test]
    fn detours_come_in_the_specified_order() {
        let now = Timestamp::from_millis(1_795_448_131_494);
        let go = |expected: &str, since: Option<i64>| {
            let query = ChangesetQuery {
                expected: expected.to_owned(),
                since: since.map(Timestamp::from_millis),
                ..ChangesetQuery::default()
            };
            detour(&query, now, Some(21)).map_err(|error| error.contract().0.as_u16())
        };

        assert_eq!(go("abc", None), Err(400), "D17");
        assert_eq!(go("\"123\"", None), Ok(Some(Detour::UnquoteExpected)));
        assert_eq!(go("123\"", Some(0)), Ok(Some(Detour::UnquoteExpected)));
        assert_eq!(go("5", Some(6)), Ok(Some(Detour::AlreadyAhead)));
        assert_eq!(go("0", Some(0)), Ok(Some(Detour::DropSince)));
        assert_eq!(go("0", Some(now.as_millis() - 1_000)), Ok(None));
        assert_eq!(go("7", None), Ok(None));
    }
}
