//! The polls of millions: answered with bytes that are there. A whole list costs neither an allocation
//! nor a lock; a delta costs a look-up in the cache of deltas.
//!
//! Only what is plain is answered here: a changeset that is public and held, asked for with numbers.
//! Everything else, and every doubt, is left to [`App::answer`], which gives the very same answers
//! (a property test asks both).

use std::sync::Arc;

use http::StatusCode;
use shared::{
    model::Timestamp,
    telemetry::{HttpMetrics, Series},
    wire::{about_since, is_stale},
};

use crate::{
    answer::{Accepted, Lifetime, Prepared},
    app::App,
    cache::AsList,
    handlers::lives,
    routes::Api,
};

/// An answer, and where it is counted.
#[derive(Debug)]
pub struct Hit {
    /// The bytes.
    pub form: Arc<Prepared>,
    /// How long caches may keep them.
    pub lifetime: Lifetime,
    /// Which endpoint it was.
    pub poll: Poll,
}

/// What is polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Poll {
    api: Api,
    is_monitor: bool,
}

/// Where hits are counted: looked up once, not for each request.
#[derive(Debug)]
pub struct Counters([[Series; 2]; 4]);

impl Counters {
    /// Counters among those of all requests.
    pub fn new(metrics: &HttpMetrics) -> Self {
        let routes = ["monitor-changeset", "changeset", "v2-monitor-changeset", "v2-changeset"];
        Self(routes.map(|route| {
            ["GET", "HEAD"].map(|method| metrics.series(method, route, StatusCode::OK))
        }))
    }

    /// Where such a hit is counted.
    pub fn of(&self, poll: Poll, is_head: bool) -> &Series {
        let row = usize::from(poll.api == Api::V2) * 2 + usize::from(!poll.is_monitor);
        &self.0[row][usize::from(is_head)]
    }
}

/// Answers GET and HEAD of `target`, a path and a query as they were sent.
pub fn answer(app: &App, target: &str, accepted: Accepted, now: Timestamp) -> Option<Hit> {
    let (path, query) = target.split_once('?')?;
    let (api, path) = match path.strip_prefix("/v1/buckets/") {
        Some(path) => (Api::V1, path),
        None => (Api::V2, path.strip_prefix("/v2/buckets/")?),
    };
    let path = path.strip_suffix("/changeset")?;
    let (bucket, id) = path.split_once("/collections/")?;
    // What must be decoded, or is another resource's path, is not for us.
    if [bucket, id].iter().any(|name| name.is_empty() || name.contains(['/', '%'])) {
        return None;
    }
    let asked = Asked { api, bucket, id, query: Numbers::parse(query, api)?, accepted };
    if (bucket, id) == ("monitor", "changes") {
        monitor(app, &asked, now)
    } else {
        changeset(app, &asked)
    }
}

/// What is asked for.
struct Asked<'a> {
    api: Api,
    bucket: &'a str,
    id: &'a str,
    query: Numbers<'a>,
    accepted: Accepted,
}

fn monitor(app: &App, asked: &Asked<'_>, now: Timestamp) -> Option<Hit> {
    let query = &asked.query;
    let max_age_days = app.config.changes.redirects.since_max_age_days;
    let leads_elsewhere = |since| about_since(Some(query.number), since, now, max_age_days);
    if query.since.and_then(leads_elsewhere).is_some() {
        return None;
    }
    let published = app.board.published()?;
    hit(app, &published, published.monitor.timestamp?, asked)
}

fn changeset(app: &App, asked: &Asked<'_>) -> Option<Hit> {
    let published = app.board.published()?;
    let slot = published.get(asked.bucket, asked.id).filter(|slot| slot.public)?;
    let found = slot.good.as_ref()?;
    let Numbers { number, since, .. } = asked.query;
    if since.is_some_and(|since| since < found.horizon) {
        return None;
    }
    let is_ahead = |since| Timestamp::ZERO < number && number < since;
    if asked.api == Api::V2 && since.is_some_and(is_ahead) {
        return None;
    }
    hit(app, found, found.timestamp, asked)
}

fn hit<L: AsList>(
    app: &App,
    owner: &Arc<L>,
    served: Timestamp,
    Asked { api, bucket, id, query, accepted }: &Asked<'_>,
) -> Option<Hit> {
    if is_stale(query.expected, served) {
        return None;
    }
    let list = owner.list();
    let form = app.deltas.ready(list, list.part(query.since, None), *accepted)?;
    let lifetime = lives(*api, (bucket, id), query.expected, served, list.dress());
    let is_monitor = (*bucket, *id) == ("monitor", "changes");
    Some(Hit { form, lifetime, poll: Poll { api: *api, is_monitor } })
}

/// A query string that holds numbers, each name once at most.
#[derive(Debug, PartialEq, Eq)]
struct Numbers<'a> {
    expected: &'a str,
    number: Timestamp,
    since: Option<Timestamp>,
}

impl<'a> Numbers<'a> {
    fn parse(query: &'a str, api: Api) -> Option<Self> {
        let (mut expected, mut since) = (None, None);
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=')?;
            let twice = match name {
                "_expected" => expected.replace(value).is_some(),
                "_since" if api == Api::V1 => since.replace(unquoted(value)).is_some(),
                "_since" => since.replace(value).is_some(),
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        let since = since.map(number);
        // A `_since` that is there must be a number.
        if since == Some(None) {
            return None;
        }
        let expected = expected?;
        Some(Self { expected, number: number(expected)?, since: since.flatten() })
    }
}

fn unquoted(value: &str) -> &str {
    let inner = value.strip_prefix("%22").and_then(|rest| rest.strip_suffix("%22"));
    inner
        .or_else(|| value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')))
        .unwrap_or(value)
}

/// Digits that fit any clock: up to the year 2100, as the full parser allows.
fn number(text: &str) -> Option<Timestamp> {
    let is_number = (1..=12).contains(&text.len()) || (text.len() == 13 && text < "4102444800001");
    (is_number && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| Timestamp::parse(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_are_for_us() {
        let parse = |query| {
            let numbers = Numbers::parse(query, Api::V1)?;
            Some((numbers.expected, numbers.since.map(Timestamp::as_millis)))
        };
        assert_eq!(parse("_expected=0"), Some(("0", None)));
        assert_eq!(parse("_since=%2242%22&_expected=17"), Some(("17", Some(42))));
        assert_eq!(parse("_expected=17&_since=\"42\""), Some(("17", Some(42))));
        for query in [
            "",
            "_since=1",
            "_expected",
            "_expected=",
            "_expected=abc",
            "_expected=\"1\"",
            "_expected=+1",
            "_expected=1&_expected=1",
            "_expected=1&_since=",
            "_expected=1&_since=%221",
            "_expected=1&_since=4102444800001",
            "_expected=1&_limit=5",
            "_expected=1&",
            "_expected=1&x=y",
        ] {
            assert_eq!(parse(query), None, "{query}");
        }
        assert_eq!(Numbers::parse("_expected=1&_since=%2242%22", Api::V2), None);
    }
}
