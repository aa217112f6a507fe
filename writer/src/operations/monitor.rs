//! The list of published collections, which clients poll, and what push services are told of it
//! (`remote-settings.md` §3.4, §3.5 and §4.1). Readers answer the same from memory.

use futures_util::FutureExt as _;
use http::{StatusCode, header};
use shared::{
    config::Changes,
    error::ApiError,
    http::Reply,
    model::Timestamp,
    store::published::{self, Version},
    wire::{
        self, Asked, ChangesetQuery, Entries, Entry, MONITOR_BROADCAST, detour, lifetime,
        records_detour,
    },
};

use crate::{app::App, service::ApiRequest, store::broadcasts, transaction};

/// `GET /buckets/monitor/collections/changes/changeset`. Redirects from the parameters alone, which
/// works with the database down; else the list.
///
/// # Errors
///
/// 400; [`ApiError::Backend`] when PostgreSQL is away.
pub async fn monitor(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let (settings, now) = (&app.config.changes, Timestamp::now());
    let query = ChangesetQuery::parse(&request.query()?)?.within(settings.pages);
    if let Some(detour) = detour(&query, now, settings.redirects.since_max_age_days)? {
        return Ok(detour.reply(&settings.redirects, asked(request), now));
    }
    let entries = entries(app).await?;
    let timestamp = entries.timestamp_at(now);
    let reply = Reply::json_bytes(StatusCode::OK, entries.changeset(&query, now))
        .header_text(header::LAST_MODIFIED, &timestamp.http_date());
    let policy = settings.lifetimes.of("monitor", "changes");
    Ok(match lifetime(&query.expected, timestamp, policy) {
        Some(ttl) => reply.lifetime(ttl, now),
        None => reply,
    })
}

/// `GET` and `HEAD /buckets/monitor/collections/changes/records`.
///
/// # Errors
///
/// 400 and 412; [`ApiError::Backend`] when PostgreSQL is away.
pub async fn monitor_records(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let (settings, now) = (&app.config.changes, Timestamp::now());
    let max_age = settings.redirects.since_max_age_days;
    if let Some(detour) = records_detour(&request.query()?, now, max_age) {
        return Ok(detour.reply(&settings.redirects, asked(request), now));
    }
    let entries = entries(app).await?;
    let sent = (&request.method, &request.headers);
    wire::records(&entries, settings, asked(request), sent, now)
}

/// `GET /__broadcasts__`: what the writers' clock has computed.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn broadcasts(app: &App) -> Result<Reply, ApiError> {
    let read =
        transaction::snapshot(app, &(), |tx, ()| broadcasts::read(tx, MONITOR_BROADCAST).boxed());
    Ok(wire::broadcasts(read.await?))
}

/// The URL as it was sent.
pub(super) fn asked(request: &ApiRequest) -> Asked<'_> {
    Asked { path: &request.path, query: &request.query_text }
}

async fn entries(app: &App) -> Result<Entries, ApiError> {
    let buckets = app.config.changes.monitored.buckets();
    let versions = transaction::snapshot(app, &buckets, |tx, buckets| {
        published::versions(tx, buckets).boxed()
    });
    Ok(published_entries(&app.config.changes, &versions.await?))
}

/// The entries of what is published among some collections.
pub fn published_entries(settings: &Changes, versions: &[Version]) -> Entries {
    let published =
        versions.iter().filter(|v| settings.monitored.contains(&v.bucket, &v.collection));
    let entry =
        |v: &Version| Entry::new(&settings.http_host, &v.bucket, &v.collection, v.timestamp);
    Entries::new(published.map(entry).collect())
}
