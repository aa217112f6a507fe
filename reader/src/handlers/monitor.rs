//! The list of published collections, which clients poll (`remote-settings.md` §3.4 and §3.5).

use std::sync::Arc;

use http::request::Parts;
use shared::{
    error::ApiError,
    http::{Query, Reply},
    model::Timestamp,
    wire::{
        self, ChangesetQuery, Detour, SurrogateKey, detour, is_stale, is_too_old, records_detour,
    },
};

use super::{
    all_published, asked,
    changeset::{catch_up, count_stale, lives},
};
use crate::{
    answer::{Accepted, Answer, Encoding, Prepared},
    app::App,
    routes::Api,
    snapshot::{Published, add_keys},
};

/// Redirects from the parameters alone, which works with the database down; else the list.
pub(super) async fn get(
    app: &App,
    api: Api,
    head: &Parts,
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let asked = asked(head);
    let sent = Query::parse(asked.query)?;
    let redirects = &app.config.changes.redirects;
    let (query, detour) = match api {
        Api::V1 => {
            let query = ChangesetQuery::parse(&sent)?.within(app.config.changes.pages);
            let detour = detour(&query, now, redirects.since_max_age_days)?;
            (query, detour)
        }
        Api::V2 if is_too_old(&sent, now, redirects.since_max_age_days) => {
            (ChangesetQuery::default(), Some(Detour::DropSince))
        }
        Api::V2 => (ChangesetQuery::parse_v2(&sent)?, None),
    };
    match detour {
        Some(detour) => Ok(detour.reply(redirects, asked, now).into()),
        None => list(app, api, &query, head, now).await,
    }
}

/// The same as an ordinary list, for Firefox before 88.
pub(super) fn records(app: &App, head: &Parts, now: Timestamp) -> Result<Reply, ApiError> {
    let (asked, settings) = (asked(head), &app.config.changes);
    let (sent, max_age) = (Query::parse(asked.query)?, settings.redirects.since_max_age_days);
    if let Some(detour) = records_detour(&sent, now, max_age) {
        return Ok(detour.reply(&settings.redirects, asked, now));
    }
    let published = all_published(app)?;
    let timestamp = published.monitor.entries.timestamp_at(now);
    count_stale(app, sent.get("_expected").unwrap_or_default(), timestamp);
    let entries = &published.monitor.entries;
    let mut reply = wire::records(entries, settings, asked, (&head.method, &head.headers), now)?;
    add_keys(&mut reply.headers, &SurrogateKey::of_monitor());
    Ok(reply)
}

async fn list(
    app: &App,
    api: Api,
    query: &ChangesetQuery,
    head: &Parts,
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let mut published = all_published(app)?;
    let lags = |published: &Published| {
        published.monitor.seen.is_none_or(|seen| is_stale(&query.expected, seen))
    };
    if is_stale(&query.expected, Timestamp::ZERO) && lags(&published) {
        catch_up(app, &query.expected, now, |published| !lags(published)).await;
        published = all_published(app)?;
    }
    let timestamp = published.monitor.entries.timestamp_at(now);
    count_stale(app, &query.expected, timestamp);

    let list = &published.monitor.list;
    let of = ("monitor", "changes");
    let mut lifetime = lives(api, of, &query.expected, timestamp, list.dress());
    let is_filtered = query.bucket.is_some() || query.collection.is_some();
    let form = if published.monitor.timestamp.is_none() {
        let body = published.monitor.entries.changeset(query, now);
        let dress = app.wardrobe.of("monitor", "changes", timestamp);
        Arc::new(Prepared::new(body.into(), Encoding::Identity, &dress))
    } else if is_filtered {
        app.filtered.form(&published, query).await?
    } else {
        let part = list.part(query.since, query.limit);
        if list.is_strange(part, &head.headers) {
            lifetime = lifetime.private();
        }
        app.deltas.form(&published, part, Accepted::of(&head.headers)).await?
    };
    Ok(Answer::Prepared(form, lifetime))
}
