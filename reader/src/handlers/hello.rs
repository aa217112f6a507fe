//! The API root (`kinto-http-api.md` §1.1).

use http::{
    StatusCode, Uri,
    header::{HOST, VARY},
    request::Parts,
};
use serde_json::json;
use shared::{http::Reply, model::Timestamp, wire::capability};

use crate::app::App;

/// Says what this is, and what it can do.
pub(super) fn get(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let site = &app.config.site;
    let body = json!({
        "project_name": site.project_name,
        "project_version": env!("CARGO_PKG_VERSION"),
        "http_api_version": "1.23",
        "project_docs": site.project_docs,
        "url": root_url(&site.root, head),
        "settings": {"batch_max_requests": 25, "readonly": true, "explicit_permissions": true},
        "capabilities": {"changes": capability(&app.config.changes)}
    });
    let reply = Reply::json(StatusCode::OK, &body).lifetime(site.root_ttl, now);
    if site.root.is_empty() { reply.header_text(VARY, "Host") } else { reply }
}

/// Absolute by the settings; without any, by the request's own host.
fn root_url(root: &str, head: &Parts) -> String {
    if !root.is_empty() {
        return format!("{root}/v1/");
    }
    let sent = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str).or(sent);
    authority
        .map(|host| format!("http://{host}/v1/"))
        .filter(|url| url.parse::<Uri>().is_ok())
        .unwrap_or_else(|| "/v1/".to_owned())
}
