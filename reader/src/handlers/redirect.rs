//! Redirects to the URL that was meant.

use http::request::Parts;
use shared::{http::Reply, model::Timestamp};

use crate::app::App;

/// The same path below `/v1`. Beginning with it, it cannot leave the host.
pub(super) fn add_version(app: &App, head: &Parts) -> Reply {
    let path = head.uri.path();
    let path = if path == "/v1" { "/v1/".to_owned() } else { format!("/v1{path}") };
    to(app, &path, head.uri.query())
}

/// The same path without its last slash.
pub(super) fn drop_slash(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let path = head.uri.path().trim_end_matches('/');
    to(app, path, head.uri.query()).lifetime(3_600, now)
}

/// 307 to a path of this service, at its public address.
pub(super) fn to(app: &App, path: &str, query: Option<&str>) -> Reply {
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    Reply::redirect(&format!("{}{path}{query}", app.config.redirects.root))
}

/// Lets caches keep a redirect of the monitor; `None` says nothing about that.
pub(super) fn kept(reply: Reply, ttl: Option<u32>, now: Timestamp) -> Reply {
    match ttl {
        None => reply,
        Some(ttl) => reply.lifetime(ttl, now),
    }
}
