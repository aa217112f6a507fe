//! Connections: accepted within limits, served, and ended without loss.
//!
//! HTTP/1.1 is ours: a poll is a few comparisons and one write, of bytes that exist before it. What
//! a CDN speaks with prior knowledge of HTTP/2 is left to hyper.

mod connection;
mod head;
mod proxy;
mod send;
mod tls;

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, future::Fuse};
use http::{Method, Version, request::Parts};
use rustix::net::sockopt::set_socket_send_buffer_size;
use shared::{
    config::EndOfService,
    error::ApiError,
    http::{
        self as server, Http2, Patience, REQUEST_ID, Reply, RequestLog, log, request_id, sniff,
    },
    model::Timestamp,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Notify, oneshot, watch},
    time::{Instant, sleep, timeout},
};
use tokio_rustls::server::TlsStream;

use self::connection::Connection;
pub use self::{
    send::Transport,
    tls::{Files, Tls, hangups, ignore_hangups},
};
use crate::{app::App, hot::Counters};

/// What one process accepts.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Most connections at once: further ones are told to come later.
    pub max_connections: usize,
    /// Most requests on one connection, so that load spreads over new readers.
    pub requests_per_connection: u64,
    /// How long a connection may take to send a head.
    pub head_timeout: Duration,
    /// How long a connection may be silent between two requests.
    pub idle_timeout: Duration,
    /// How long a client may take none of the bytes that are sent to it.
    pub stall_timeout: Duration,
    /// How long requests are answered as before after the stop signal, while load balancers learn
    /// of it.
    pub drain: Duration,
    /// How long requests under way may take after that.
    pub grace: Duration,
    /// Whether each connection begins with a header of the PROXY protocol.
    pub has_proxy_header: bool,
    /// Which requests get a log line.
    pub log: RequestLog,
    /// Those of HTTP/2.
    pub http2: server::Limits,
}

impl Limits {
    /// The same for connections of HTTP/2.
    fn patience(&self) -> Patience {
        Patience {
            requests: self.requests_per_connection,
            idle: self.idle_timeout,
            stall: self.stall_timeout,
        }
    }
}

/// What all connections share.
struct State {
    app: App,
    limits: Limits,
    counters: Counters,
    http2: Http2<App>,
    tls: Option<Arc<Tls>>,
    is_closing: AtomicBool,
    open: AtomicUsize,
    shedding: AtomicUsize,
    next: AtomicU64,
    /// Whether clients of HTTP/2 shall look for another reader.
    has_left: watch::Sender<bool>,
    /// How each open connection is told to end.
    enders: Mutex<HashMap<u64, oneshot::Sender<()>>>,
    ended: Notify,
}

/// Tells a connection, once, that it shall end when it is idle.
type Closing = Fuse<oneshot::Receiver<()>>;

/// A connection whose client has said how it speaks.
enum Greeted {
    Plain(Version, TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

/// What the kernel may hold for one client, in bytes (it doubles this for its own needs). Without it,
/// a new connection takes some 16 KB at first, and up to megabytes later.
const SEND_BUFFER: usize = 208 * 1024;

/// How long who has connected just before the end may take to say something: it cannot know.
const FIRST_WORDS: Duration = Duration::from_secs(1);

/// Most connections at once that are told why they are refused; further ones are just closed.
const MAX_SHEDDING: usize = 256;
/// How long telling that may take.
const SHEDDING: Duration = Duration::from_secs(1);

/// Serves until `stop`; then says so to load balancers, and to each client with its next answer; then
/// ends what is idle, and what is under way is given its grace.
///
/// # Errors
///
/// None of a connection's: those end with it. Failing to accept is retried.
pub async fn serve(
    listener: TcpListener,
    app: App,
    limits: Limits,
    tls: Option<Arc<Tls>>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let state = Arc::new(State::new(app, limits, tls));
    state.accept_until(&listener, stop).await;
    state.leave();
    if !state.limits.drain.is_zero() {
        state.accept_until(&listener, sleep(state.limits.drain)).await;
    }
    state.accept_rest(listener)?;
    state.close();
    if timeout(state.limits.grace, state.all_ended()).await.is_err() {
        tracing::warn!("requests were still under way after {:?}", state.limits.grace);
    }
    Ok(())
}

impl State {
    fn new(app: App, limits: Limits, tls: Option<Arc<Tls>>) -> Self {
        let metrics = app.metrics.http.clone();
        Self {
            counters: Counters::new(&metrics),
            http2: Http2::new(app.clone(), limits.http2.clone(), limits.patience(), metrics),
            app,
            limits,
            tls,
            is_closing: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            shedding: AtomicUsize::new(0),
            next: AtomicU64::new(0),
            has_left: watch::Sender::new(false),
            enders: Mutex::default(),
            ended: Notify::new(),
        }
    }

    async fn accept_until(
        self: &Arc<Self>,
        listener: &TcpListener,
        stop: impl Future<Output = ()>,
    ) {
        let mut stop = std::pin::pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut stop => return,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    // No file descriptor left, say: trying at once again would only spin.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// Takes those in who have connected already: the listener's end would reset their connections.
    fn accept_rest(self: &Arc<Self>, listener: TcpListener) -> io::Result<()> {
        let listener = listener.into_std()?;
        while let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(true)?;
            self.admit(TcpStream::from_std(stream)?);
        }
        Ok(())
    }

    fn admit(self: &Arc<Self>, stream: TcpStream) {
        let state = self.clone();
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limits.max_connections {
            self.open.fetch_sub(1, Ordering::Relaxed);
            self.app.metrics.shed.inc();
            // Those who speak TLS would have to be greeted first, which is work.
            let can_tell = self.tls.is_none() && !self.limits.has_proxy_header;
            if can_tell && self.shedding.load(Ordering::Relaxed) < MAX_SHEDDING {
                self.shedding.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = timeout(SHEDDING, state.clone().shed(stream)).await;
                    state.shedding.fetch_sub(1, Ordering::Relaxed);
                });
            }
            return;
        }
        let (ender, closing) = oneshot::channel();
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.enders().insert(number, ender);
        self.app.metrics.connections.inc();
        tokio::spawn(async move {
            let _place = Place { state: state.clone(), number };
            state.connection(stream, closing.fuse()).await;
        });
    }

    async fn connection(self: &Arc<Self>, mut stream: TcpStream, mut closing: Closing) {
        // Answers are written whole: waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        // Most answers fit whole: one call of the system each, and no waiting for the client.
        let _ = set_socket_send_buffer_size(&stream, SEND_BUFFER);
        let greeting = async {
            if self.limits.has_proxy_header {
                proxy::strip(&mut stream).await.ok()?;
            }
            match &self.tls {
                None => Some(Greeted::Plain(sniff(&stream).await?, stream)),
                Some(tls) => {
                    Some(Greeted::Encrypted(Box::new(tls.acceptor().accept(stream).await.ok()?)))
                }
            }
        };
        let last_call = async {
            let _ = (&mut closing).await;
            sleep(FIRST_WORDS).await;
        };
        let greeted = tokio::select! {
            greeted = timeout(self.limits.head_timeout, greeting) => greeted,
            () = last_call => return,
        };
        match greeted {
            Ok(Some(Greeted::Plain(version, stream))) => {
                self.speak(version, stream, closing).await;
            }
            Ok(Some(Greeted::Encrypted(stream))) => {
                let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                let version = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
                self.speak(version, *stream, closing).await;
            }
            // Too slow, gone, or no client of ours.
            Ok(None) | Err(_) => (),
        }
    }

    async fn speak<T: Transport + 'static>(
        self: &Arc<Self>,
        version: Version,
        stream: T,
        closing: Closing,
    ) {
        if version == Version::HTTP_2 {
            self.speak_http2(stream, closing).await;
        } else {
            Connection::new(stream, self.clone(), closing).run().await;
        }
    }

    /// A client that is there when the reader begins to leave is told so then; one that comes after
    /// that, with its first answer, for which it has a moment at the end as well.
    async fn speak_http2<T: Transport + 'static>(&self, stream: T, closing: Closing) {
        if self.app.is_leaving() {
            let stop = async {
                if !self.is_closing() {
                    let _ = closing.await;
                }
                sleep(FIRST_WORDS).await;
            };
            return self.http2.brief().connection(stream, None, stop).await;
        }
        let mut has_left = self.has_left.subscribe();
        let stop = async {
            let _ = has_left.wait_for(|has_left| *has_left).await;
        };
        self.http2.connection(stream, None, stop).await;
    }

    /// Says at once that there are too many, instead of letting a client wait.
    async fn shed(self: Arc<Self>, stream: TcpStream) {
        let (_ender, closing) = oneshot::channel();
        let error = ApiError::backend("too many connections");
        Connection::new(stream, self, closing.fuse()).turn_away(&error).await;
    }

    /// The answer to what is not a plain poll: counted, and logged where that is wanted.
    async fn full_answer(&self, parts: Parts, started: Instant, now: Timestamp) -> Reply {
        let (route, answer) = self.app.answer(&parts, now).await;
        let reply = answer.into_reply(&parts.method, self.app.config.grace, now);
        let (status, elapsed) = (reply.status, started.elapsed());
        self.app.metrics.http.observe(&parts.method, route, status, elapsed);
        if self.limits.log.wants(status) {
            let rid = request_id(parts.headers.get(REQUEST_ID));
            log(&rid, &parts.method, parts.uri.path(), route, status, elapsed);
        }
        reply
    }

    /// The answer to what is no request, or too much.
    fn refusal(&self, error: &ApiError, method: &Method, now: Timestamp) -> Reply {
        let reply = self.app.refuse(error).into_reply(method, self.app.config.grace, now);
        self.app.metrics.http.observe(method, "refused", reply.status, Duration::ZERO);
        reply
    }

    fn enders(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<()>>> {
        self.enders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) -> Option<&EndOfService> {
        self.app.config.site.end.as_ref()
    }

    fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    fn leave(&self) {
        self.app.leave();
        self.has_left.send_replace(true);
    }

    fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
        for (_, ender) in self.enders().drain() {
            // A connection that is gone needs not be told.
            let _ = ender.send(());
        }
    }

    async fn all_ended(&self) {
        loop {
            let ended = self.ended.notified();
            if self.open.load(Ordering::Relaxed) == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// A connection's place among those that are open, given back however it ends.
struct Place {
    state: Arc<State>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.state.enders().remove(&self.number);
        self.state.open.fetch_sub(1, Ordering::Relaxed);
        self.state.app.metrics.connections.dec();
        self.state.ended.notify_waiters();
    }
}
