//! A small HTTP client that keeps its connections and talks to this machine only.

use std::{error::Error as StdError, net::IpAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue},
};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use shared::error::with_causes;
use tokio::time::timeout;

use crate::failure::Failure;

/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_mins(1);
/// Largest answer, in bytes.
const MAX_BYTES: usize = 64 << 20;

/// A server, and who asks it; clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    base: String,
    authorization: Option<HeaderValue>,
}

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The whole body.
    pub(crate) body: Bytes,
    what: String,
}

impl Client {
    /// A client of the service at `base`, as `http://127.0.0.1:8888/v1`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] unless it is plain http on loopback: load belongs to nobody else's server.
    pub(crate) fn new(base: &str) -> Result<Self, Failure> {
        let base = base.trim_end_matches('/');
        let uri: Uri = base.parse().map_err(|error| Failure::Usage(format!("{base}: {error}")))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let is_loopback = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if uri.scheme_str() != Some("http") || !is_loopback {
            return Err(Failure::Usage(format!("{base}: only http:// on loopback is allowed")));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Ok(Self { http, base: base.to_owned(), authorization: None })
    }

    /// The same server, asked by a user with `user:password`.
    pub(crate) fn with_user(&self, credentials: &str) -> Self {
        let text = format!("Basic {}", STANDARD.encode(credentials));
        Self { authorization: HeaderValue::from_str(&text).ok(), ..self.clone() }
    }

    /// The server's URL.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Asks for `path`, which begins with a slash and follows the URL of the service.
    ///
    /// # Errors
    ///
    /// [`Failure::Unavailable`] when there is no answer; every answer is `Ok`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let what = format!("{method} {}{path}", self.base);
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut bytes = Bytes::new();
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json");
            bytes = Bytes::from(body.to_string());
        }
        let request = request
            .body(Full::new(bytes))
            .map_err(|error| Failure::Usage(format!("{what}: {error}")))?;
        match timeout(PATIENCE, self.exchange(request, &what)).await {
            Ok(answer) => answer,
            Err(_) => Err(Failure::Unavailable(format!("{what}: no answer in time"))),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, what: &str) -> Result<Answer, Failure> {
        let gone =
            |error: &dyn StdError| Failure::Unavailable(format!("{what}: {}", with_causes(error)));
        let response = self.http.request(request).await.map_err(|error| gone(&error))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|error| gone(&*error))?;
        let (status, headers) = (head.status, head.headers);
        Ok(Answer { status, headers, body: body.to_bytes(), what: what.to_owned() })
    }

    /// A `GET`, whatever is answered.
    ///
    /// # Errors
    ///
    /// As [`Client::send`].
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, &[], None).await
    }

    /// The JSON of a `GET` that must succeed.
    ///
    /// # Errors
    ///
    /// As [`Client::send`], or [`Failure::Failed`] for another status, or no JSON.
    pub(crate) async fn get_json(&self, path: &str) -> Result<Value, Failure> {
        self.get(path).await?.success()?.json()
    }
}

impl Answer {
    /// This answer, if it is no error.
    ///
    /// # Errors
    ///
    /// [`Failure::Failed`], with what was asked and answered, from status 400 on.
    pub(crate) fn success(self) -> Result<Self, Failure> {
        if self.status.as_u16() < 400 { Ok(self) } else { Err(self.unexpected()) }
    }

    /// What to say when the answer is not the one expected.
    pub(crate) fn unexpected(&self) -> Failure {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(400).collect();
        Failure::Failed(format!("{} was answered with {}: {body}", self.what, self.status))
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`Failure::Failed`] when it is none.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Failure::Failed(format!("{}: no JSON: {error}", self.what)))
    }

    /// A header that is a number, perhaps between quotes, as `ETag` is.
    pub(crate) fn number(&self, header: &str) -> Option<i64> {
        self.headers.get(header)?.to_str().ok()?.trim_matches('"').parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_stays_on_this_machine() {
        for base in ["http://127.0.0.1:8888/v1", "http://[::1]:80/v1/", "http://localhost:1"] {
            assert!(Client::new(base).is_ok(), "{base}");
        }
        for base in ["http://10.0.0.1/v1", "https://127.0.0.1/v1", "http://example.com", "x", ""] {
            let refused = Client::new(base).map(|client| client.base).unwrap_err();
            assert_eq!(refused.exit_code(), 2, "{base}");
        }
    }
}
