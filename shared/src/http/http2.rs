//! HTTP/2: what hyper leaves to its users. A connection that asks for nothing, takes nothing of what it
//! asked for, or has asked for enough, ends.
//!
//! There are no pings of ours: behind a full buffer they would come too late at a slow client, which is
//! none that is gone.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::{Instant, sleep},
};

use super::serve::{Limits, Peer, Service, Shared};
use crate::telemetry::HttpMetrics;

/// Most requests of a connection that are answered at the same time.
const MAX_STREAMS: u32 = 100;
/// Most streams that a client may open and reset before they are looked at: one more ends the
/// connection. A flood of them is the rapid reset of CVE-2023-44487.
const MAX_PENDING_RESETS: usize = 20;
/// Most streams that we reset for a client's mistakes, likewise (CVE-2025-8671).
const MAX_LOCAL_RESETS: usize = 100;
/// Headers up to this size are refused in words (`serve.rs`, at half of it); h2 itself answers larger ones
/// with an empty 431.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// How long a client has to answer when it is told that the connection ends.
const FAREWELL: Duration = Duration::from_secs(5);
/// Bodies go to h2 in pieces: so it can be seen whether the client takes them.
const PIECE: usize = 16 * 1024;

/// How long one connection may last.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Most requests, after which the client is asked to connect anew.
    pub requests: u64,
    /// How long it may ask for nothing.
    pub idle: Duration,
    /// How long it may take nothing of what it asked for.
    pub stall: Duration,
}

/// HTTP/2 for a server that speaks HTTP/1.1 itself.
pub struct Http2<S>(Arc<Shared<S>>, Patience);

impl<S> Clone for Http2<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1)
    }
}

impl<S: Service> Http2<S> {
    /// Serves `service` within `limits`.
    pub fn new(service: S, limits: Limits, patience: Patience, metrics: Arc<HttpMetrics>) -> Self {
        Self(Arc::new(Shared { service, limits, metrics }), patience)
    }

    /// The same for connections that shall end after what is asked first.
    pub fn brief(&self) -> Self {
        Self(self.0.clone(), Patience { requests: 1, ..self.1 })
    }

    pub(super) fn of(shared: Arc<Shared<S>>, patience: Patience) -> Self {
        Self(shared, patience)
    }

    /// Serves one connection to its end; after `stop`, only the requests under way.
    pub async fn connection<I>(&self, io: I, peer: Option<Peer>, stop: impl Future<Output = ()>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (shared, patience) = (self.0.clone(), self.1);
        let life = Arc::new(Life::new(patience.requests));
        let (seen, asked) = (life.clone(), shared.clone());
        let slowest = || asked.service.slowest();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (shared, work) = (shared.clone(), Work::begin(&life));
            if let Some(peer) = peer {
                request.extensions_mut().insert(peer);
            }
            async move {
                let response = shared.answer(request).await;
                Ok::<_, Infallible>(response.map(|bytes| Pieces::new(bytes, work)))
            }
        });
        let connection = builder().serve_connection(TokioIo::new(io), service);
        let (mut connection, stop) = (pin!(connection), pin!(stop));
        // The error of a connection is the client's; it has nobody left to tell.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stop => (),
            () = seen.enough() => (),
            end = seen.silence(patience.idle, patience.stall, Duration::ZERO, slowest) => {
                if end == End::Now { return }
            }
        }
        let farewell = FAREWELL.min(patience.stall);
        connection.as_mut().graceful_shutdown();
        seen.allow_rest();
        tokio::select! {
            _ = connection => (),
            // Who goes on as if nothing had been said is not waited for.
            () = seen.enough() => (),
            _ = seen.silence(farewell, patience.stall, farewell, slowest) => (),
        }
    }
}

/// Limits against floods of streams, resets and headers.
fn builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_LOCAL_RESETS)
        .max_header_list_size(MAX_HEADER_LIST);
    builder
}

/// How a silent connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It is told, and may take the rest.
    Politely,
    /// It takes nothing, not even that.
    Now,
}

/// What a connection does.
struct Life {
    begun: Instant,
    /// When it last moved, in milliseconds after it began.
    moved: AtomicU64,
    requests: AtomicU64,
    allowed: AtomicU64,
    /// Requests that are being answered.
    working: AtomicUsize,
    /// Answers that the client has not taken yet.
    sending: AtomicUsize,
    begun_answers: AtomicU64,
    /// When each of them began, and its length in bytes.
    answers: Mutex<BTreeMap<u64, (Instant, u64)>>,
    counted: Notify,
}

impl Life {
    fn new(allowed: u64) -> Self {
        Self {
            begun: Instant::now(),
            moved: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            allowed: AtomicU64::new(allowed),
            working: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            begun_answers: AtomicU64::new(0),
            answers: Mutex::default(),
            counted: Notify::new(),
        }
    }

    fn moves(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Until all the requests have come that are allowed.
    async fn enough(&self) {
        while self.requests.load(Ordering::Relaxed) < self.allowed.load(Ordering::Relaxed) {
            self.counted.notified().await;
        }
    }

    /// Allows what may have been on its way when the client was told.
    fn allow_rest(&self) {
        let so_far = self.requests.load(Ordering::Relaxed);
        self.allowed.store(so_far.saturating_add(u64::from(MAX_STREAMS)), Ordering::Relaxed);
        self.moves();
    }

    fn answers(&self) -> MutexGuard<'_, BTreeMap<u64, (Instant, u64)>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an answer takes longer than `stall` and its time at the slowest pace, however briskly
    /// the client takes others.
    fn is_late(&self, stall: Duration, slowest: u64) -> bool {
        let may_take = |length: u64| stall + Duration::from_secs(length / slowest);
        self.answers().values().any(|(begun, length)| begun.elapsed() >= may_take(*length))
    }

    /// Until it was silent for too long, or an answer is late by more than `slack`. The work of the
    /// service has limits of its own.
    async fn silence(
        &self,
        idle: Duration,
        stall: Duration,
        slack: Duration,
        slowest: impl Fn() -> u64,
    ) -> End {
        // What is waited for may change meanwhile.
        let look = idle.min(stall) / 4;
        loop {
            let is_sending = self.sending.load(Ordering::Relaxed) > 0;
            let is_working = self.working.load(Ordering::Relaxed) > 0;
            let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let silent = self.begun.elapsed().saturating_sub(moved);
            if is_sending && silent >= stall {
                return End::Now;
            }
            if !is_sending && !is_working && silent >= idle {
                return End::Politely;
            }
            if is_sending && self.is_late(stall + slack, slowest()) {
                return End::Politely;
            }
            sleep(look).await;
        }
    }
}

/// A request that is being answered.
struct Work(Arc<Life>);

impl Work {
    fn begin(life: &Arc<Life>) -> Self {
        let so_far = life.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if so_far >= life.allowed.load(Ordering::Relaxed) {
            life.counted.notify_one();
        }
        life.working.fetch_add(1, Ordering::Relaxed);
        Self(life.clone())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Who takes nothing shall not live longer by asking for more.
        if self.0.sending.load(Ordering::Relaxed) == 0 {
            self.0.moves();
        }
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer's body, given away piece by piece as the client takes it.
struct Pieces {
    rest: Bytes,
    life: Arc<Life>,
    number: u64,
}

impl Pieces {
    fn new(rest: Bytes, work: Work) -> Self {
        let life = work.0.clone();
        drop(work);
        let number = life.begun_answers.fetch_add(1, Ordering::Relaxed);
        life.sending.fetch_add(1, Ordering::Relaxed);
        life.answers().insert(number, (Instant::now(), rest.len() as u64));
        Self { rest, life, number }
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        if self.rest.is_empty() {
            self.life.moves();
        }
        self.life.sending.fetch_sub(1, Ordering::Relaxed);
        self.life.answers().remove(&self.number);
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.life.moves();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
