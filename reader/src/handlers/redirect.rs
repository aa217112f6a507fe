//! Redirects to the URL that was meant.

use http::request::Parts;
use shared::{http::Reply, model::Timestamp};

use crate::app::App;

/// Seconds for which a missing or needless slash is remembered, as by Kinto.
const SLASH_SECONDS: u32 = 3_600;

/// The same path below `/v1`, or the root of a version. Beginning so, it cannot leave the host.
pub(super) fn add_version(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let redirects = &app.config.changes.redirects;
    if matches!(path, "/v1" | "/v2") {
        return redirects.to(&format!("{path}/"), query).lifetime(SLASH_SECONDS, now);
    }
    redirects.to(&format!("/v1{path}"), query)
}

/// The same path without its last slash.
pub(super) fn drop_slash(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let path = head.uri.path().trim_end_matches('/');
    let query = head.uri.query().unwrap_or_default();
    app.config.changes.redirects.to(path, query).lifetime(SLASH_SECONDS, now)
}
