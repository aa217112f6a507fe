//! What is kept of each request: one log line and two metrics.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;

/// Which requests get a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RequestLog {
    /// Every request: for the writer.
    All,
    /// Those answered with 400 and above: for a reader behind a CDN.
    Errors,
}

impl RequestLog {
    /// Whether an answer of this status gets a line.
    pub fn wants(self, status: StatusCode) -> bool {
        match self {
            Self::All => true,
            Self::Errors => status.as_u16() >= 400,
        }
    }
}

/// The header that may carry a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id in logs: the one that was sent when it is short and plain, else a random one.
/// It is never sent back (`kinto-http-api.md` §0.3.5).
pub fn request_id(sent: Option<&HeaderValue>) -> String {
    sent.and_then(|value| value.to_str().ok())
        .filter(|id| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
}

/// Writes a request's log line.
pub fn log(
    rid: &str,
    method: &Method,
    path: &str,
    route: &str,
    status: StatusCode,
    elapsed: Duration,
) {
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let (method, code) = (method.as_str(), status.as_u16());
    if status.is_server_error() {
        tracing::error!(target: "request.summary", rid, method, path, route, code, t = millis);
    } else {
        tracing::info!(target: "request.summary", rid, method, path, route, code, t = millis);
    }
}
