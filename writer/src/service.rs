//! From the socket's request to an answer, whatever happens in between.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use shared::{
    error::ApiError,
    http::{Answer, Query, Reply, Service},
    model::Timestamp,
};
use tracing::Instrument as _;

use crate::{
    app::App,
    dispatch,
    routes::{self, Route},
};

/// A request whose body has arrived, or one of a batch.
#[derive(Debug, Clone)]
pub struct ApiRequest {
    /// The method.
    pub method: Method,
    /// The path, undecoded.
    pub path: String,
    /// The query string, undecoded.
    pub query_text: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl ApiRequest {
    /// The decoded query string.
    ///
    /// # Errors
    ///
    /// 400 when it is not UTF-8.
    pub fn query(&self) -> Result<Query, ApiError> {
        Query::parse(&self.query_text)
    }
}

/// The service.
#[derive(Debug, Clone)]
pub struct Writer {
    app: Arc<App>,
}

impl Writer {
    /// A service of `app`.
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Service for Writer {
    /// Each request runs in a task of its own: a client that hangs up does not interrupt it
    /// half-way, and a panic is a 500 of one request.
    async fn call(&self, head: Parts, body: Bytes) -> Answer {
        let app = self.app.clone();
        let work = async move { answer(&app, head, body).await };
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|panic| {
            let error = ApiError::Internal(panic.into());
            tracing::error!(%error, source = ?std::error::Error::source(&error), "panic");
            Answer::new("panic", Reply::from(&error))
        })
    }
}

async fn answer(app: &App, head: Parts, body: Bytes) -> Answer {
    let request = ApiRequest {
        method: head.method,
        path: head.uri.path().to_owned(),
        query_text: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    let (route, result) = route_and_run(app, &request).await;
    let reply = result.unwrap_or_else(|error| refuse(app, &error));
    Answer::new(route, common_headers(app, &request, reply))
}

async fn route_and_run(app: &App, request: &ApiRequest) -> (&'static str, Result<Reply, ApiError>) {
    let route = match Route::find(app, &request.path) {
        Ok(route) => route,
        Err(error) => {
            let redirected = redirect(app, request);
            return ("unknown", redirected.ok_or(error));
        }
    };
    let name = route.name();
    if request.method == Method::OPTIONS {
        return (name, Ok(preflight()));
    }
    let result = match route.allow(&request.method) {
        Ok(()) => dispatch::run(app, route, request).await,
        Err(refusal) => Err(refusal),
    };
    (name, result)
}

/// The error as a reply; ours are logged with what is behind them, which clients never see.
pub fn refuse(app: &App, error: &ApiError) -> Reply {
    let (status, _) = error.contract();
    if status.is_server_error() {
        let source = std::error::Error::source(error).map(ToString::to_string);
        let database = std::error::Error::source(error)
            .and_then(std::error::Error::source)
            .map(ToString::to_string);
        tracing::error!(%error, source, database, "request failed");
    }
    let mut reply = Reply::from(error);
    if matches!(error, ApiError::MissingAuth) {
        for policy in &app.config.identity.policies {
            if let Ok(challenge) = HeaderValue::from_str(&policy.challenge()) {
                reply.headers.append(header::WWW_AUTHENTICATE, challenge);
            }
        }
    }
    if matches!(status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE) {
        reply = reply.header_text(header::RETRY_AFTER, &app.config.retry_after.to_string());
    }
    reply
}

fn redirect(app: &App, request: &ApiRequest) -> Option<Reply> {
    let path = routes::redirect(&request.path)?;
    let query = match request.query_text.as_str() {
        "" => String::new(),
        text => format!("?{text}"),
    };
    let location = format!("{}{path}{query}", origin(app, &request.headers));
    let reply = Reply::redirect(&location);
    // A trailing slash is a mistake that caches may remember, a missing version is not (§1.5-1.6).
    let is_slash = request.path.starts_with("/v1/");
    Some(if is_slash { reply.lifetime(3_600, Timestamp::now()) } else { reply })
}

/// Scheme and host as clients see them: settings go before what the request says (§1.11).
pub fn origin(app: &App, headers: &HeaderMap) -> String {
    let project = &app.config.project;
    let sent = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = project.host.as_deref().or(sent).unwrap_or("localhost");
    format!("{}://{host}", project.scheme.as_deref().unwrap_or("http"))
}

/// Browsers ask before they write from another origin; every origin may (`cors_origins = *`).
fn preflight() -> Reply {
    Reply::json_bytes(StatusCode::OK, "null")
        .header(
            header::ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("GET,HEAD,POST,PUT,PATCH,DELETE,OPTIONS"),
        )
        .header(
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Authorization,Content-Type,If-Match,If-None-Match,Response-Behavior,\
                 Backoff,Retry-After,Alert,Content-Length",
            ),
        )
        .header(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"))
}

fn common_headers(app: &App, request: &ApiRequest, mut reply: Reply) -> Reply {
    if request.headers.contains_key(header::ORIGIN) {
        let any = HeaderValue::from_static("*");
        reply = reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN, any);
    }
    if let Some(seconds) = app.config.backoff {
        reply = reply.header_text(HeaderName::from_static("backoff"), &seconds.to_string());
    }
    reply.header(
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static(
            "Backoff, Retry-After, Alert, Content-Length, Content-Type, Next-Page, Last-Modified, \
             ETag, Cache-Control, Expires, Pragma, Total-Objects, Total-Records",
        ),
    )
}
