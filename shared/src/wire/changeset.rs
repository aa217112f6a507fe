//! The parameters of a changeset.

use crate::{
    config::PageSize,
    error::{ApiError, Detail, Location},
    http::Query,
    model::Timestamp,
};

/// Latest `_since`: the year 2100.
const MAX_SINCE: i64 = 4_102_444_800_000;
/// Largest `_limit`: 2^63.
const MAX_LIMIT: u64 = 1 << 63;

/// The checked parameters of a changeset (`remote-settings.md` §3.3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangesetQuery {
    /// As sent: any text, though a timestamp is meant.
    pub expected: String,
    /// Only what changed after this instant.
    pub since: Option<Timestamp>,
    /// Only the first so many changes.
    pub limit: Option<usize>,
    /// On the monitor: only this bucket.
    pub bucket: Option<String>,
    /// On the monitor: only this collection.
    pub collection: Option<String>,
}

impl ChangesetQuery {
    /// Checks the parameters; others are ignored.
    ///
    /// # Errors
    ///
    /// 400 with every parameter that is wrong.
    pub fn parse(query: &Query) -> Result<Self, ApiError> {
        let (expected, since, limit) = (expected(query), since(query), limit(query));
        match (expected, since, limit) {
            (Ok(expected), Ok(since), Ok(limit)) => Ok(Self {
                expected,
                since,
                limit,
                bucket: query.get("bucket").map(str::to_owned),
                collection: query.get("collection").map(str::to_owned),
            }),
            (expected, since, limit) => {
                let problems = [expected.err(), since.err(), limit.err()];
                Err(ApiError::Invalid(problems.into_iter().flatten().collect()))
            }
        }
    }

    /// With a limit, where there is one, that is no larger than pages are. Where there is none, readers
    /// give all: what is cut does not verify (D18).
    #[must_use]
    pub fn within(self, pages: PageSize) -> Self {
        let bounded = |limit: usize| {
            let most = pages.of(u64::try_from(limit).ok());
            usize::try_from(most).unwrap_or(usize::MAX)
        };
        Self { limit: self.limit.map(bounded), ..self }
    }
}

fn expected(query: &Query) -> Result<String, Detail> {
    let name = "_expected";
    let values: Vec<&str> = query.all(name).collect();
    match *values {
        [] | [""] => Err(Detail::new(Location::QueryString, name, "Required")),
        [value] => Ok(value.to_owned()),
        _ => {
            let text = format!("{} is not a string: {{'{name}': ''}}", python_list(&values));
            Err(Detail::new(Location::QueryString, name, text))
        }
    }
}

fn since(query: &Query) -> Result<Option<Timestamp>, Detail> {
    const EXPECTED: &str = "The value should be integer, optionally between double quotes.";
    let refuse = |text: String| Err(Detail::new(Location::QueryString, "_since", text));
    let Some(text) = single(query, "_since")? else { return Ok(None) };
    match Timestamp::parse(&text) {
        Err(_) => refuse(EXPECTED.to_owned()),
        Ok(since) if since.as_millis() > MAX_SINCE => {
            refuse(format!("{since} is greater than maximum value {MAX_SINCE}"))
        }
        Ok(since) => Ok(Some(since)),
    }
}

/// `_limit=0` and absence both mean: all.
fn limit(query: &Query) -> Result<Option<usize>, Detail> {
    let refuse = |text: String| Err(Detail::new(Location::QueryString, "_limit", text));
    let Some(text) = single(query, "_limit")? else { return Ok(None) };
    match text.parse::<i128>() {
        Err(_) => refuse(format!("\"{text}\" is not a number")),
        Ok(limit) if limit < 0 => refuse(format!("{limit} is less than minimum value 0")),
        Ok(limit) if limit > i128::from(MAX_LIMIT) => {
            refuse(format!("{limit} is greater than maximum value {MAX_LIMIT}"))
        }
        Ok(limit) => Ok(Some(usize::try_from(limit).unwrap_or(usize::MAX)).filter(|l| *l > 0)),
    }
}

/// The value of a parameter that may be given once; an empty one is absent.
fn single(query: &Query, name: &'static str) -> Result<Option<String>, Detail> {
    let values: Vec<&str> = query.all(name).collect();
    match *values {
        [] | [""] => Ok(None),
        [value] => Ok(Some(value.to_owned())),
        _ => {
            let text = format!("\"{}\" is not a number", python_list(&values));
            Err(Detail::new(Location::QueryString, name, text))
        }
    }
}

/// A list as the reference, which is written in Python, shows it: `['1', '2']`.
pub(super) fn python_list(values: &[&str]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| format!("'{value}'")).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ChangesetQuery, String> {
        ChangesetQuery::parse(&Query::parse(text).unwrap())
            .map_err(|error| error.body()["message"].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn parameters_are_read_and_others_ignored() {
        let query = parse("_expected=%22abc%22&_since=%2242%22&_limit=3&_sort=x").unwrap();

        assert_eq!(query.expected, "\"abc\"");
        assert_eq!(query.since, Some(Timestamp::from_millis(42)));
        assert_eq!(query.limit, Some(3));
        assert_eq!(parse("_expected=0&_since=&_limit=0").unwrap().since, None);
        assert_eq!(parse("_expected=0&_since=&_limit=0").unwrap().limit, None);
    }

    #[test]
    fn a_limit_is_bounded_and_its_absence_is_not() {
        let pages = PageSize { paginate_by: Some(5), max_fetch_size: 3 };
        for (text, limit) in [
            ("_expected=0&_limit=100", Some(3)),
            ("_expected=0&_limit=9223372036854775808", Some(3)),
            ("_expected=0&_limit=2", Some(2)),
            ("_expected=0&_limit=0", None),
            ("_expected=0", None),
        ] {
            assert_eq!(parse(text).unwrap().within(pages).limit, limit, "{text}");
        }
    }

    #[test]
    fn each_refusal_has_its_text() {
        let since = "_since in querystring: \
                     The value should be integer, optionally between double quotes.";
        for (text, message) in [
            ("", "_expected in querystring: Required"),
            ("_expected=", "_expected in querystring: Required"),
            ("_expected=0&_expected=1", "['0', '1'] is not a string: {'_expected': ''}"),
            ("_expected=0&_since=%2242", since),
            ("_expected=0&_since=-1", since),
            (
                "_expected=0&_since=4102444800001",
                "_since in querystring: 4102444800001 is greater than maximum value 4102444800000",
            ),
            ("_expected=0&_limit=-1", "_limit in querystring: -1 is less than minimum value 0"),
            ("_expected=0&_limit=abc", "_limit in querystring: \"abc\" is not a number"),
            (
                "_expected=0&_limit=1&_limit=2",
                "_limit in querystring: \"['1', '2']\" is not a number",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), message, "{text}");
        }
        assert!(parse("_expected=0&_limit=9223372036854775808").is_ok());
    }
}
