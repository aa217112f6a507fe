//! The API root (`kinto-http-api.md` §1.1).

use http::{
    StatusCode, Uri,
    header::{HOST, VARY},
    request::Parts,
};
use serde_json::{Value, json};
use shared::{
    error::ApiError,
    http::Reply,
    model::Timestamp,
    wire::{SurrogateKey, capability},
};

use super::all_published;
use crate::{app::App, snapshot::add_keys};

/// The longest life of the second API's root, in seconds, as its reference has it (§6.3).
const V2_SECONDS: u32 = 3_600;

/// Says what this is, and what it can do.
pub(super) fn get(app: &App, head: &Parts, now: Timestamp) -> Reply {
    let site = &app.config.site;
    let mut body = json!({
        "project_name": site.project_name,
        "project_version": env!("CARGO_PKG_VERSION"),
        "http_api_version": "1.23",
        "project_docs": site.project_docs,
        "url": root_url(app, head),
        "settings": {"batch_max_requests": 25, "readonly": true, "explicit_permissions": true},
        "capabilities": capabilities(app),
    });
    if let Some(end) = &site.end {
        body["eos"] = end.text.as_str().into();
    }
    let reply = Reply::json(StatusCode::OK, &body).lifetime(site.root_ttl, now);
    if site.root.is_empty() { reply.header_text(VARY, "Host") } else { reply }
}

/// The root of the second API (`remote-settings.md` §6.2): the reference's is a Git repository,
/// whose place the watermark takes.
///
/// # Errors
///
/// 503 while nothing is loaded, or nothing of it is good.
pub(super) fn get_v2(app: &App, now: Timestamp) -> Result<Reply, ApiError> {
    let site = &app.config.site;
    let published = all_published(app)?;
    let newest = published.monitor.entries.timestamp_at(published.watermark);
    let body = json!({
        "project_name": site.project_name,
        "project_version": env!("CARGO_PKG_VERSION"),
        "project_docs": site.project_docs,
        "http_api_version": "2.0",
        "settings": {"readonly": true},
        "git": {"common": {
            "id": published.watermark.to_string(),
            "timestamp": newest,
            "datetime": newest.iso8601(),
        }},
        "capabilities": capabilities(app),
    });
    let ttl = site.root_ttl.min(V2_SECONDS);
    let mut reply = Reply::json(StatusCode::OK, &body).lifetime(ttl, now);
    // It tells when something was published last, as the list does.
    add_keys(&mut reply.headers, &SurrogateKey::of_monitor());
    Ok(reply)
}

/// The same of both.
fn capabilities(app: &App) -> Value {
    json!({"changes": capability(&app.config.changes)})
}

/// Absolute by the settings; without any, by the request's own host, and by how it came.
fn root_url(app: &App, head: &Parts) -> String {
    let (root, scheme) = (&app.config.site.root, app.config.changes.redirects.scheme.as_deref());
    let spoken = if app.config.tls.is_some() { "https" } else { "http" };
    let scheme = scheme.unwrap_or(spoken);
    if !root.is_empty() {
        return format!("{root}/v1/");
    }
    let sent = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str).or(sent);
    authority
        .map(|host| format!("{scheme}://{host}/v1/"))
        .filter(|url| url.parse::<Uri>().is_ok())
        .unwrap_or_else(|| "/v1/".to_owned())
}
