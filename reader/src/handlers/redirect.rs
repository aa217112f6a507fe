//! Redirects to the URL that was meant.

use http::request::Parts;
use shared::{http::Reply, model::Timestamp};

use crate::app::App;

/// The same path below `/v1`, or the root of a version. Beginning so, it cannot leave the host.
pub(super) fn add_version(app: &App, head: &Parts) -> Reply {
    let path = head.uri.path();
    let is_version = matches!(path, "/v1" | "/v2");
    let path = if is_version { format!("{path}/") } else { format!("/v1{path}") };
    app.config.changes.redirects.to(&path, head.uri.query().unwrap_or_default())
}

/// The same path without its last slash.
pub(super) fn drop_slash(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let path = head.uri.path().trim_end_matches('/');
    let query = head.uri.query().unwrap_or_default();
    app.config.changes.redirects.to(path, query).lifetime(3_600, now)
}
