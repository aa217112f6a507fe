//! What changed in a collection (`remote-settings.md` §3.3).

use std::{sync::Arc, time::Duration};

use http::request::Parts;
use shared::{
    error::ApiError,
    http::Query,
    model::{Resource, Timestamp},
    wire::{ChangesetQuery, Detour, default_lifetime, is_stale, lifetime},
};

use super::{asked, not_ready};
use crate::{
    answer::{Accepted, Answer, Dress, Lifetime},
    app::App,
    routes::Api,
    snapshot::{Collection, Published, Slot},
};

/// How long a client that knows more than we do waits for us to catch up: one poll, and a load.
pub(super) const CATCH_UP: Duration = Duration::from_millis(250);
/// A timestamp later than this after now is nothing that anybody published.
const CLOCK_SKEW_MS: i64 = 60_000;

/// Answers from memory: the database may be down by now.
pub(super) async fn get(
    app: &App,
    api: Api,
    (bucket, id): (&str, &str),
    head: &Parts,
    now: Timestamp,
) -> Result<Answer, ApiError> {
    let mut found = find(app, api, bucket, id)?;
    let sent = Query::parse(head.uri.query().unwrap_or_default())?;
    let query = match api {
        Api::V1 => ChangesetQuery::parse(&sent)?.within(app.config.changes.pages),
        Api::V2 => ChangesetQuery::parse_v2(&sent)?,
    };
    if is_stale(&query.expected, found.timestamp) && !is_held_back(app, (bucket, id), &query) {
        let has_it = |published: &Published| {
            let good = published.get(bucket, id).and_then(|slot| slot.good.as_ref());
            good.is_some_and(|good| !is_stale(&query.expected, good.timestamp))
        };
        catch_up(app, &query.expected, now, has_it).await;
        found = find(app, api, bucket, id)?;
    }
    if query.since.is_some_and(|since| since < found.horizon) {
        let reply = Detour::DropSince.reply(&app.config.changes.redirects, asked(head), now);
        return Ok(reply.into());
    }
    count_stale(app, &query.expected, found.timestamp);

    let part = found.list.part(query.since, query.limit);
    let form = app.deltas.form(&found, part, Accepted::of(&head.headers)).await?;
    let (served, dress) = (found.timestamp, found.list.dress());
    let lifetime = lives(api, (bucket, id), &query.expected, served, dress);
    let is_strange = found.list.is_strange(part, &head.headers);
    Ok(Answer::Prepared(form, if is_strange { lifetime.private() } else { lifetime }))
}

/// Whether what the client expects is there, and refused: waiting for it is in vain.
fn is_held_back(app: &App, (bucket, id): (&str, &str), query: &ChangesetQuery) -> bool {
    let published = app.board.published();
    let slot = published.as_ref().and_then(|published| published.get(bucket, id));
    let held_back = slot.and_then(Slot::held_back);
    held_back.is_some_and(|held_back| !is_stale(&query.expected, held_back))
}

/// How long caches may keep a changeset that carries the timestamp `served`.
pub fn lives(
    api: Api,
    (bucket, id): (&str, &str),
    expected: &str,
    served: Timestamp,
    dress: &Dress,
) -> Lifetime {
    let seconds = lifetime(expected, served, dress.policy);
    let seconds = match api {
        Api::V1 => seconds,
        Api::V2 => seconds.or_else(|| Some(default_lifetime(bucket, id, expected))),
    };
    Lifetime::of(seconds, is_stale(expected, served))
}

/// Waits for what the client expects, if that can be something that was just published.
pub(super) async fn catch_up(
    app: &App,
    expected: &str,
    now: Timestamp,
    has_it: impl Fn(&Published) -> bool,
) {
    let latest = now.plus_millis(CLOCK_SKEW_MS);
    if Timestamp::parse(expected).is_ok_and(|expected| expected <= latest) {
        app.board.wait_for(has_it, CATCH_UP).await;
    }
}

/// An answer older than expected, which a CDN must not keep for long (§3.8 rule 5).
pub(super) fn count_stale(app: &App, expected: &str, served: Timestamp) {
    if is_stale(expected, served) {
        app.metrics.stale_reads.inc();
    }
}

/// Private collections, and unknown ones of private buckets, are told apart from nothing.
pub(crate) fn find(
    app: &App,
    api: Api,
    bucket: &str,
    id: &str,
) -> Result<Arc<Collection>, ApiError> {
    let published = app.board.published().ok_or_else(not_ready)?;
    let unknown = || ApiError::NoSuchParent { resource: Resource::Collection, id: id.to_owned() };
    match published.get(bucket, id) {
        // The second API has nobody who could sign in.
        Some(slot) if !slot.public && api == Api::V2 => Err(unknown()),
        Some(slot) if !slot.public => Err(ApiError::MissingAuth),
        Some(slot) => slot.good.clone().ok_or_else(|| {
            ApiError::backend("no state of this collection was good enough to be served")
        }),
        None if api == Api::V2 || published.is_public_bucket(bucket) => Err(unknown()),
        None => Err(ApiError::MissingAuth),
    }
}
