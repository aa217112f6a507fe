//! The list of published collections, which clients poll (`remote-settings.md` §3.4).

use bytes::Bytes;
use http::{StatusCode, header::LAST_MODIFIED, request::Parts};
use shared::{
    error::ApiError,
    http::{Query, Reply},
    model::Timestamp,
    wire::{ChangesetQuery, Detour, detour, is_stale, lifetime},
};

use super::{
    changeset::{catch_up, count_stale},
    encoded, not_ready, redirect,
};
use crate::{
    app::App,
    snapshot::{Encoding, Monitor, Published, accepted},
};

/// Redirects from the parameters alone, which works with the database down; else the list.
pub(super) async fn get(app: &App, head: &Parts, now: Timestamp) -> Result<Reply, ApiError> {
    let sent = head.uri.query().unwrap_or_default();
    let query = ChangesetQuery::parse(&Query::parse(sent)?)?;
    let rules = &app.config.redirects;
    if let Some(detour) = detour(&query, now, rules.since_max_age_days)? {
        let reply = match detour {
            Detour::UnquoteExpected => {
                let expected = query.expected.replace('"', "");
                let rest = without(sent, "_expected");
                let joint = if rest.is_empty() { "" } else { "&" };
                redirect::to(
                    app,
                    head.uri.path(),
                    Some(&format!("{rest}{joint}_expected={expected}")),
                )
            }
            Detour::DropSince => redirect::to(app, head.uri.path(), Some(&without(sent, "_since"))),
            Detour::AlreadyAhead => Reply::empty(StatusCode::NO_CONTENT),
        };
        return Ok(redirect::kept(reply, rules.ttl, now));
    }
    list(app, &query, head, now).await
}

async fn list(
    app: &App,
    query: &ChangesetQuery,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let mut published = app.board.published().ok_or_else(not_ready)?;
    let lags = |published: &Published| {
        published.monitor.timestamp.is_none_or(|served| is_stale(&query.expected, served))
    };
    if is_stale(&query.expected, Timestamp::ZERO) && lags(&published) {
        catch_up(app, &query.expected, now, |published| !lags(published)).await;
        published = app.board.published().ok_or_else(not_ready)?;
    }
    let timestamp = published.monitor.timestamp.unwrap_or(now);
    count_stale(app, &query.expected, timestamp);

    let body = if published.monitor.timestamp.is_none() {
        (Monitor::empty(now), Encoding::Identity)
    } else if query.bucket.is_some() || query.collection.is_some() {
        (filtered(&published, query), Encoding::Identity)
    } else {
        let part = published.monitor.list.part(query.since, query.limit);
        app.deltas.body(&published, part, accepted(&head.headers)).await
    };
    let reply = encoded(body).header_text(LAST_MODIFIED, &timestamp.http_date());
    let policy = app.config.lifetimes.of("monitor", "changes");
    Ok(match lifetime(&query.expected, timestamp, policy) {
        None => reply,
        Some(ttl) => reply.lifetime(ttl, now),
    })
}

fn filtered(published: &Published, query: &ChangesetQuery) -> Bytes {
    let (bucket, collection) = (query.bucket.as_deref(), query.collection.as_deref());
    published.monitor.filtered(bucket, collection, query.since, query.limit)
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

    #[test]
    fn one_parameter_goes_and_the_others_stay_as_sent() {
        let query = "_since=%221%22&_expected=%225%22&bucket=a%20b";

        assert_eq!(without(query, "_expected"), "_since=%221%22&bucket=a%20b");
        assert_eq!(without(query, "_since"), "_expected=%225%22&bucket=a%20b");
        assert_eq!(without("%5Fsince=1&&x", "_since"), "x");
    }
}
