//! Accept, limits and graceful stop: with `http2`, the only place that knows hyper's server.
//!
//! hyper's own defaults let a silent connection live for ever and accept messages that two
//! servers may read differently; what is needed instead is set here, once for both binaries.

use std::{io, net::IpAddr, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Version,
    header::{CACHE_CONTROL, HOST},
    request::Parts,
};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, sleep, timeout},
};
use tracing::Instrument as _;

use super::{
    Http2, Patience, Reply,
    framing::{Framed, Verdict},
    observe::{self, RequestLog},
    security_headers, sniff,
};
use crate::{error::ApiError, telemetry::HttpMetrics};

/// How long a client of HTTP/2 may take nothing of an answer.
const STALL: Duration = Duration::from_secs(30);

/// What one process accepts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, in bytes: above it 413.
    pub max_body_bytes: usize,
    /// Most connections at once: further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a connection may take to send its request's head, and stay idle between two.
    pub head_timeout: Duration,
    /// How long a request may take to send its body.
    pub body_timeout: Duration,
    /// How long requests under way may take after the stop signal.
    pub grace: Duration,
    /// Which requests get a log line.
    pub log: RequestLog,
}

/// A response and the route it came from, for metrics and logs.
#[derive(Debug)]
pub struct Answer {
    /// What is sent.
    pub response: Response<Bytes>,
    /// The route's name, never an id: `record-object`.
    pub route: &'static str,
}

impl Answer {
    /// An answer made of `reply`.
    pub fn new(route: &'static str, reply: Reply) -> Self {
        Self { response: reply.into_response(), route }
    }
}

/// The slowest client that is waited for, in bytes each second.
pub const SLOWEST: u64 = 1_024;

/// What a service does with a request whose body has arrived.
pub trait Service: Send + Sync + 'static {
    /// Whether requests carry their [`Peer`]: it costs an allocation each.
    const ASKS_WHO: bool = false;

    /// What a client of HTTP/2 must take of an answer at this moment, in bytes each second.
    fn slowest(&self) -> u64 {
        SLOWEST
    }

    /// Tells what is wrong with a request that is not worth an answer's usual way. A CDN must not keep
    /// it: the next client may send a good request to the same URL.
    fn refuse(&self, error: &ApiError, _method: &Method) -> Reply {
        Reply::from(error).header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
    }

    /// Answers. Must not panic; a writer runs its work in a task of its own.
    fn call(&self, head: Parts, body: Bytes) -> impl Future<Output = Answer> + Send;
}

/// Who is connected, among a request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Why a request stands for one that is refused, among its extensions.
#[derive(Debug, Clone, Copy)]
struct Refused(&'static str);

pub(super) struct Shared<S> {
    pub(super) service: S,
    pub(super) limits: Limits,
    pub(super) metrics: Arc<HttpMetrics>,
}

/// Serves HTTP/1.1 and HTTP/2 with prior knowledge (h2c) until `stop`, then lets requests under
/// way finish.
///
/// # Errors
///
/// None of a connection's: those end with it. Failing to accept is retried.
pub async fn serve<S: Service>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    metrics: Arc<HttpMetrics>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let (grace, idle) = (limits.grace, limits.head_timeout);
    let shared = Arc::new(Shared { service, limits, metrics });
    let http2 = Http2::of(shared.clone(), Patience { requests: u64::MAX, idle, stall: STALL });
    let graceful = GracefulShutdown::new();
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let (stream, slot) = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            () = &mut stop => break,
        };
        let (shared, http2, watcher) = (shared.clone(), http2.clone(), graceful.watcher());
        let stopped = stopped.clone();
        tokio::spawn(async move {
            connection(stream, shared, http2, watcher, stopped).await;
            drop(slot);
        });
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    let all_ended = async { tokio::join!(graceful.shutdown(), stopping.closed()) };
    if timeout(grace, all_ended).await.is_err() {
        tracing::warn!("requests were still under way after {grace:?}");
    }
    Ok(())
}

/// Takes a slot first, then a connection. A failing accept (no file descriptor left) backs off.
async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let slot = slots.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection<S: Service>(
    stream: TcpStream,
    shared: Arc<Shared<S>>,
    http2: Http2<S>,
    watcher: Watcher,
    mut stopped: watch::Receiver<bool>,
) {
    let head_timeout = shared.limits.head_timeout;
    let Ok(Some(version)) = timeout(head_timeout, sniff(&stream)).await else { return };
    // Answers are written whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().filter(|_| S::ASKS_WHO).map(|address| Peer(address.ip()));
    if version == Version::HTTP_2 {
        // The watcher would wait for connections that are ended here.
        drop(watcher);
        let stop = async {
            let _ = stopped.wait_for(|is_stopping| *is_stopping).await;
        };
        return http2.connection(stream, peer, stop).await;
    }
    let verdict = Verdict::default();
    let stream = Framed::new(stream, verdict.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let shared = shared.clone();
        if let Some(why) = verdict.of(&request) {
            request.extensions_mut().insert(Refused(why));
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        async move { Ok::<_, std::convert::Infallible>(shared.answer(request).await.map(Full::new)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    // The error of a connection is the client's; it has nobody left to tell.
    let _ = watcher.watch(connection).await;
}

impl<S: Service> Shared<S> {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Bytes> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        // Cheap copies: a poll pays for its log line only when it gets one.
        let (method, uri) = (head.method.clone(), head.uri.clone());
        let sent_id = head.headers.get(observe::REQUEST_ID).cloned();
        let rid =
            (self.limits.log == RequestLog::All).then(|| observe::request_id(sent_id.as_ref()));

        let work = self.read_and_call(head, body);
        let mut answer = match &rid {
            Some(rid) => work.instrument(tracing::info_span!("request", rid)).await,
            None => work.await,
        };
        let (status, elapsed) = (answer.response.status(), started.elapsed());
        security_headers(status, answer.response.headers_mut());

        self.metrics.observe(&method, answer.route, status, elapsed);
        if self.limits.log.wants(status) {
            let rid = rid.unwrap_or_else(|| observe::request_id(sent_id.as_ref()));
            observe::log(&rid, &method, uri.path(), answer.route, status, elapsed);
        }
        answer.response
    }

    async fn read_and_call(&self, head: Parts, body: Incoming) -> Answer {
        if let Err(refusal) = check_framing(&head).and_then(|()| check_size(&head)) {
            return self.refused(&refusal, &head.method);
        }
        match self.read(body).await {
            Ok(body) => self.service.call(head, body).await,
            Err(refusal) => self.refused(&refusal, &head.method),
        }
    }

    fn refused(&self, refusal: &ApiError, method: &Method) -> Answer {
        Answer::new("refused", self.service.refuse(refusal, method))
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, ApiError> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let max = self.limits.max_body_bytes;
        let read = timeout(self.limits.body_timeout, Limited::new(body, max).collect()).await;
        match read {
            Ok(Ok(body)) => Ok(body.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(ApiError::TooLarge(max)),
            Ok(Err(_)) => Err(ApiError::BadRequest("The request body could not be read.".into())),
            Err(_) => Err(ApiError::BadRequest("The request body took too long.".into())),
        }
    }
}

/// What two servers in a row may read as different messages (RFC 9112 §6.1 and §3.2).
fn check_framing(head: &Parts) -> Result<(), ApiError> {
    let refuse = |why: &'static str| Err(ApiError::BadRequest(why.into()));
    if let Some(Refused(why)) = head.extensions.get() {
        return refuse(why);
    }
    let hosts = head.headers.get_all(HOST).iter().count();
    if head.version == Version::HTTP_11 && hosts != 1 {
        return refuse("Exactly one Host header is required.");
    }
    if head.method == Method::CONNECT {
        return refuse("This is not a proxy.");
    }
    Ok(())
}

/// Longest path and query string, in bytes. hyper's own limit of 64 KiB for the whole head stands
/// behind these two; it closes the connection without a word.
const MAX_URL_BYTES: usize = 16 * 1024;
/// Largest sum of all header names and values, in bytes.
const MAX_HEADERS_BYTES: usize = 32 * 1024;

fn check_size(head: &Parts) -> Result<(), ApiError> {
    let url = head.uri.path_and_query().map_or(0, |url| url.as_str().len());
    if url > MAX_URL_BYTES {
        return Err(ApiError::UrlTooLong(MAX_URL_BYTES));
    }
    let headers: usize =
        head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers > MAX_HEADERS_BYTES {
        return Err(ApiError::HeadersTooLarge(MAX_HEADERS_BYTES));
    }
    Ok(())
}

/// Ends when the process is asked to stop: SIGTERM, or Ctrl-C.
pub async fn shutdown_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = tokio::signal::ctrl_c() => (),
    }
    tracing::info!("stopping");
}
