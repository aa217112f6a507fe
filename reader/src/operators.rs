//! A port of its own for what operators ask, where clients must not.

use bytes::Bytes;
use http::{Method, request::Parts};
use shared::{
    http::{Answer, Reply, Service},
    model::Timestamp,
};

use crate::{app::App, handlers::health};

/// Answers metrics, heartbeats and the version, and nothing else.
#[derive(Debug, Clone)]
pub struct Operators(pub App);

impl Service for Operators {
    async fn call(&self, head: Parts, _body: Bytes) -> Answer {
        let (app, now) = (&self.0, Timestamp::now());
        if head.method != Method::GET {
            return Answer::new("refused", Reply::empty(http::StatusCode::METHOD_NOT_ALLOWED));
        }
        let path = head.uri.path();
        match path.strip_prefix("/v1").unwrap_or(path) {
            "/__metrics__" | "/metrics" => Answer::new("metrics", health::metrics(app, now)),
            "/__heartbeat__" => Answer::new("heartbeat", health::heartbeat(app, now)),
            "/__lbheartbeat__" => Answer::new("lbheartbeat", health::lbheartbeat(app)),
            "/__version__" => Answer::new("version", health::version(app)),
            _ => Answer::new("unknown", Reply::empty(http::StatusCode::NOT_FOUND)),
        }
    }
}
