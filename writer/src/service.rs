//! From the socket's request to an answer, whatever happens in between.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use shared::{
    error::ApiError,
    http::{Answer, Peer, Query, Reply, Service},
    model::Timestamp,
};
use tracing::Instrument as _;

use crate::{
    app::App,
    dispatch,
    endpoints::{self, Endpoint},
    metrics::Answered,
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
    /// Who is connected: the client, or a proxy.
    pub client: Option<IpAddr>,
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
    const ASKS_WHO: bool = true;

    /// Each request runs in a task of its own: a client that hangs up does not interrupt it
    /// half-way, and a panic is a 500 of one request.
    async fn call(&self, head: Parts, body: Bytes) -> Answer {
        let app = self.app.clone();
        let work = async move { answer(&app, head, body).await };
        tokio::spawn(work.in_current_span()).await.unwrap_or_else(|panic| {
            let error = ApiError::Internal(panic.into());
            tracing::error!(%error, source = ?std::error::Error::source(&error), "panic");
            Answer::new("panic", told(&self.app, &error))
        })
    }
}

async fn answer(app: &App, head: Parts, body: Bytes) -> Answer {
    let started = Instant::now();
    let request = ApiRequest {
        client: head.extensions.get::<Peer>().map(|peer| peer.0),
        method: head.method,
        path: head.uri.path().to_owned(),
        query_text: head.uri.query().unwrap_or_default().to_owned(),
        headers: head.headers,
        body,
    };
    let (route, reply) = respond(app, &request).await;
    count(app, &request, route, &reply, started.elapsed());
    let reply = if request.method == Method::HEAD { without_body(reply) } else { reply };
    Answer::new(route, reply)
}

/// Counts a request, or one of a batch, among Kinto's metrics.
pub fn count(
    app: &App,
    request: &ApiRequest,
    route: &'static str,
    reply: &Reply,
    elapsed: Duration,
) {
    let (method, path, status, bytes) =
        (&request.method, &request.path, reply.status, reply.body.len());
    app.metrics.answered(&Answered { method, path, route, status, bytes, elapsed });
}

/// hyper would do this for HTTP/1, and not for HTTP/2.
fn without_body(reply: Reply) -> Reply {
    if reply.body.is_empty() {
        return reply;
    }
    let length = HeaderValue::from(reply.body.len());
    Reply { body: Bytes::new(), ..reply.header(header::CONTENT_LENGTH, length) }
}

/// What is asked before anything else: whether the service still exists, and takes writes
/// (`kinto-http-api.md` §0.4).
async fn respond(app: &App, request: &ApiRequest) -> (&'static str, Reply) {
    let service = &app.config.service;
    if service.end.as_ref().is_some_and(|end| end.is_over(Timestamp::now())) {
        return ("gone", complete(app, None, request, refuse(app, &ApiError::Gone)));
    }
    if service.readonly && !endpoints::is_safe(&request.method) {
        let refusal = ApiError::MethodNotAllowed { allow: Vec::new() };
        return ("readonly", complete(app, None, request, refuse(app, &refusal)));
    }
    let readable = request.query().map(drop);
    match readable.and_then(|()| Route::find(&app.config, &request.path)) {
        Ok(route) => {
            let endpoint = route.endpoint();
            let result = run(app, route, request).await;
            let reply = result.unwrap_or_else(|error| refuse(app, &error));
            (endpoint.name, complete(app, Some(endpoint), request, reply))
        }
        Err(error) => {
            if let Some(reply) = console(app, request) {
                return ("admin", announce(app, reply));
            }
            // What is not UTF-8 leads nowhere.
            let is_unknown = error.contract().0 == StatusCode::NOT_FOUND;
            let elsewhere = is_unknown.then(|| redirect(app, request)).flatten();
            let reply = elsewhere.unwrap_or_else(|| refuse(app, &error));
            ("unknown", complete(app, None, request, reply))
        }
    }
}

async fn run(app: &App, route: Route, request: &ApiRequest) -> Result<Reply, ApiError> {
    let (config, endpoint) = (&app.config, route.endpoint());
    if request.method == Method::OPTIONS {
        return config.service.cors.preflight(config, endpoint, &request.headers);
    }
    route.allow(config, &request.method)?;
    dispatch::run(app, route, request).await
}

/// The reply with what all replies carry: for browsers, and from the operator. `endpoint` is
/// `None` for unknown URLs and redirects.
pub fn complete(
    app: &App,
    endpoint: Option<&Endpoint>,
    request: &ApiRequest,
    reply: Reply,
) -> Reply {
    let service = &app.config.service;
    let asked = (&request.method, &request.headers);
    announce(app, service.cors.decorate(&app.config, endpoint, asked, reply))
}

/// The reply with what the operator wants all clients to know.
fn announce(app: &App, mut reply: Reply) -> Reply {
    let service = &app.config.service;
    if let Some(backoff) = service.backoff {
        reply = backoff.tell(reply);
    }
    match &service.end {
        Some(end) => end.tell(reply, Timestamp::now()),
        None => reply,
    }
}

/// A page of the admin console, which no other origin's scripts read.
fn console(app: &App, request: &ApiRequest) -> Option<Reply> {
    let console = app.config.extras.console.as_ref()?;
    let asked = (&request.method, request.path.as_str());
    let origin = origin(app, &request.headers);
    let result = console.answer(asked, &request.headers, &origin)?;
    Some(result.unwrap_or_else(|error| refuse(app, &error)))
}

/// A client's fault as a reply, which is one of a batch.
///
/// # Errors
///
/// An error of ours, which ends the whole.
pub fn unless_ours(app: &App, result: Result<Reply, ApiError>) -> Result<Reply, ApiError> {
    match result {
        Err(error) if error.is_clients_fault() => Ok(refuse(app, &error)),
        other => other,
    }
}

/// The error as a reply; ours are logged with what is behind them, which clients never see.
pub fn refuse(app: &App, error: &ApiError) -> Reply {
    let (status, _) = error.contract();
    let is_quota = matches!(error, ApiError::OverQuota(_));
    if status.is_server_error() && !is_quota {
        let source = std::error::Error::source(error).map(ToString::to_string);
        let database = std::error::Error::source(error)
            .and_then(std::error::Error::source)
            .map(ToString::to_string);
        tracing::error!(%error, source, database, "request failed");
    }
    let mut reply = told(app, error);
    if matches!(error, ApiError::MissingAuth) {
        for policy in &app.config.identity.policies {
            if let Ok(challenge) = HeaderValue::from_str(&policy.challenge()) {
                reply.headers.append(header::WWW_AUTHENTICATE, challenge);
            }
        }
    }
    if matches!(status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE) {
        reply = reply.header_text(header::RETRY_AFTER, &app.config.service.retry_after.to_string());
    }
    reply
}

/// What the client reads of an error; of one of ours, also where to report it.
fn told(app: &App, error: &ApiError) -> Reply {
    match (error, &app.config.service.error_info_link) {
        (ApiError::Internal(_), Some(link)) => {
            let mut body = error.body();
            body["info"] = link.as_str().into();
            Reply::json(error.contract().0, &body)
        }
        _ => Reply::from(error),
    }
}

/// Where a URL that is not ours may be meant to lead (§1.5-1.6).
fn redirect(app: &App, request: &ApiRequest) -> Option<Reply> {
    let (redirect, path) = routes::redirect(&app.config, &request.path)?;
    if request.method == Method::OPTIONS && !routes::is_versioned(&request.path) {
        // A browser that asks beforehand does not follow redirects.
        let html = HeaderValue::from_static("text/html; charset=UTF-8");
        return Some(Reply::empty(StatusCode::OK).header(header::CONTENT_TYPE, html));
    }
    let query = match request.query_text.as_str() {
        "" => String::new(),
        text => format!("?{text}"),
    };
    let location = format!("{}{path}{query}", origin(app, &request.headers));
    let reply = Reply::redirect(&location);
    Some(match redirect.lifetime {
        // As the reference dates what nobody may keep.
        Some(0) => {
            let now = Timestamp::now();
            reply.lifetime(0, now).header_text(header::LAST_MODIFIED, &now.http_date())
        }
        Some(seconds) => reply.lifetime(seconds, Timestamp::now()),
        None => reply,
    })
}

/// Scheme and host as clients see them: settings go before what the request says (§1.11).
pub fn origin(app: &App, headers: &HeaderMap) -> String {
    let project = &app.config.service.project;
    let sent = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = project.host.as_deref().or(sent).unwrap_or("localhost");
    let scheme = project.scheme.as_deref().unwrap_or("http");
    let usual_port = if scheme == "https" { ":443" } else { ":80" };
    format!("{scheme}://{}", host.strip_suffix(usual_port).unwrap_or(host))
}
