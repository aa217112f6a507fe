//! Where clients of the monitor are sent instead, from what they ask alone.

use std::borrow::Cow;

use http::StatusCode;

use super::ChangesetQuery;
use crate::{
    config::Redirects,
    error::{ApiError, Detail, Location},
    http::{Query, Reply},
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

/// A URL as it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The path, undecoded.
    pub path: &'a str,
    /// The query string, undecoded.
    pub query: &'a str,
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
    let Some(expected) = expected(&query.expected) else {
        let text = "The value should be integer, optionally between double quotes.";
        let detail = Detail::new(Location::QueryString, "_expected", text);
        return Err(ApiError::Invalid(vec![detail]));
    };
    if query.expected.contains('"') {
        return Ok(Some(Detour::UnquoteExpected));
    }
    Ok(query.since.and_then(|since| about_since(Some(expected), since, now, max_age_days)))
}

/// The same for the legacy list (§3.5): steps 3 and 4, also with quoted values. What is no number
/// leads nowhere.
pub fn records_detour(query: &Query, now: Timestamp, max_age_days: Option<u32>) -> Option<Detour> {
    let since = query.get("_since").and_then(unquoted)?;
    let expected = query.get("_expected").and_then(unquoted);
    about_since(expected, since, now, max_age_days)
}

/// Steps 3 and 4 of `remote-settings.md` §3.4: where a `_since` leads that is ahead of what the
/// client expects, or too old.
pub fn about_since(
    expected: Option<Timestamp>,
    since: Timestamp,
    now: Timestamp,
    max_age_days: Option<u32>,
) -> Option<Detour> {
    if expected.is_some_and(|expected| Timestamp::ZERO < expected && expected < since) {
        return Some(Detour::AlreadyAhead);
    }
    let too_old = max_age_days
        .is_some_and(|days| since < now.plus_millis(-i64::from(days) * 24 * 60 * 60 * 1_000));
    too_old.then_some(Detour::DropSince)
}

/// Any integer, however large and however quoted: `_expected` is compared, not kept.
pub(super) fn expected(text: &str) -> Option<Timestamp> {
    let latest = Timestamp::from_millis(i64::MAX);
    // Almost nobody sends quotes, and polls allocate nothing.
    let is_quoted = text.contains('"');
    let digits = if is_quoted { Cow::from(text.replace('"', "")) } else { Cow::from(text) };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Timestamp::parse(&digits).unwrap_or(latest))
}

fn unquoted(text: &str) -> Option<Timestamp> {
    Timestamp::parse(&text.replace('"', "")).ok()
}

impl Detour {
    /// The answer to whoever asked so.
    pub fn reply(self, redirects: &Redirects, asked: Asked<'_>, now: Timestamp) -> Reply {
        let reply = match self {
            Self::UnquoteExpected => {
                let rest = without(asked.query, "_expected");
                let joint = if rest.is_empty() { "" } else { "&" };
                let sent = Query::parse(asked.query).ok();
                let expected = sent.as_ref().and_then(|sent| sent.get("_expected"));
                let expected = expected.unwrap_or_default().replace('"', "");
                redirects.to(asked.path, &format!("{rest}{joint}_expected={expected}"))
            }
            Self::DropSince => redirects.to(asked.path, &without(asked.query, "_since")),
            Self::AlreadyAhead => Reply::empty(StatusCode::NO_CONTENT),
        };
        match redirects.ttl {
            Some(ttl) => reply.lifetime(ttl, now),
            None => reply,
        }
    }
}

/// The query string as sent, without one parameter.
fn without(query: &str, name: &str) -> String {
    let is_kept = |pair: &&str| {
        let sent = pair.split('=').next().unwrap_or_default();
        // A name may be sent encoded: `%5Fsince`.
        let decoded = Query::parse(sent);
        !decoded.is_ok_and(|decoded| decoded.iter().any(|(known, _)| known == name))
    };
    query.split('&').filter(|pair| !pair.is_empty()).filter(is_kept).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_448_131_494);

    #[test]
    fn detours_come_in_the_specified_order() {
        let go = |expected: &str, since: Option<i64>| {
            let query = ChangesetQuery {
                expected: expected.to_owned(),
                since: since.map(Timestamp::from_millis),
                ..ChangesetQuery::default()
            };
            detour(&query, NOW, Some(21)).map_err(|error| error.contract().0.as_u16())
        };

        assert_eq!(go("abc", None), Err(400), "D17");
        assert_eq!(go("\"123\"", None), Ok(Some(Detour::UnquoteExpected)));
        assert_eq!(go("123\"", Some(0)), Ok(Some(Detour::UnquoteExpected)));
        assert_eq!(go("5", Some(6)), Ok(Some(Detour::AlreadyAhead)));
        assert_eq!(go("0", Some(0)), Ok(Some(Detour::DropSince)));
        assert_eq!(go("0", Some(NOW.as_millis() - 1_000)), Ok(None));
        assert_eq!(go("7", None), Ok(None));
        let nines = "9".repeat(22);
        assert_eq!(go(&nines, None), Ok(None), "an integer of any size");
        assert_eq!(go(&nines, Some(NOW.as_millis() - 1_000)), Ok(None));
        assert_eq!(go(&format!("\"{nines}\""), None), Ok(Some(Detour::UnquoteExpected)));
        assert_eq!(go("", None), Err(400));
    }

    #[test]
    fn the_legacy_list_takes_quotes_as_they_are() {
        let go = |query: &str| records_detour(&Query::parse(query).unwrap(), NOW, Some(21));

        assert_eq!(go("_expected=%225%22&_since=%226%22"), Some(Detour::AlreadyAhead));
        assert_eq!(go("_expected=%220%22&_since=%226%22"), Some(Detour::DropSince));
        assert_eq!(go("_since=6"), Some(Detour::DropSince));
        assert_eq!(go(&format!("_expected=abc&_since={NOW}")), None);
        assert_eq!(go("_since=abc&_expected=%221%22"), None);
    }

    #[test]
    fn one_parameter_goes_and_the_others_stay_as_sent() {
        let query = "_since=%221%22&_expected=%225%22&bucket=a%20b";

        assert_eq!(without(query, "_expected"), "_since=%221%22&bucket=a%20b");
        assert_eq!(without(query, "_since"), "_expected=%225%22&bucket=a%20b");
        assert_eq!(without("%5Fsince=1&&x", "_since"), "x");
    }
}
