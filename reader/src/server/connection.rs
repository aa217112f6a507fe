//! One connection of HTTP/1.1 (RFC 9112): read a head, answer, again.

use std::{
    future::poll_fn,
    io::{self, Write as _},
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use http::{Method, StatusCode, Version, header::CONTENT_LENGTH};
use shared::{
    config::EndOfService,
    error::ApiError,
    http::{Reply, RequestLog},
    model::Timestamp,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, ReadBuf},
    time::{Instant, Sleep, sleep, timeout},
};

use super::{
    Closing, FIRST_WORDS, State,
    head::{self, Head, MAX_HEAD, MAX_URL, NO_LINES},
    send::{Patience, Transport, respond},
};
use crate::{
    answer::{
        Body, Dates, Grace,
        prepared::{push_headers, push_status},
    },
    hot::{self, Hit},
};

/// Space for a head at first: most are smaller.
const FIRST_SPACE: usize = 2 * 1024;
/// Bytes of a body that are read, and thrown away, before a connection is closed.
const MAX_LINGER: usize = 64 * 1024;
/// How long that may take.
const LINGER: Duration = Duration::from_secs(1);

/// Whether another request may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Stay,
    Close,
}

/// How a connection ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// Nothing was asked, and nothing is on its way.
    Silent,
    /// With an answer, behind which the client may send more.
    Told,
}

/// A connection.
pub(super) struct Connection<T> {
    stream: T,
    state: Arc<State>,
    /// Resolves when idle connections shall end.
    closing: Closing,
    timer: Pin<Box<Sleep>>,
    input: Vec<u8>,
    filled: usize,
    /// When the first byte of the head under way arrived.
    begun: Instant,
    page: Page,
    answered: u64,
}

impl<T: Transport> Connection<T> {
    pub(super) fn new(stream: T, state: Arc<State>, closing: Closing) -> Self {
        let timer = Box::pin(sleep(state.limits.head_timeout));
        Self {
            stream,
            state,
            closing,
            timer,
            input: vec![0; FIRST_SPACE],
            filled: 0,
            begun: Instant::now(),
            page: Page::default(),
            answered: 0,
        }
    }

    /// Answers until one side has enough. Errors of a connection are the client's, who has left.
    pub(super) async fn run(mut self) {
        let _ = match self.exchange().await {
            Ok(Ended::Silent) => timeout(LINGER, self.stream.shutdown()).await.ok(),
            Ok(Ended::Told) => Some(self.linger().await),
            Err(_) => None,
        };
    }

    /// Refuses the connection, whatever it asks.
    pub(super) async fn turn_away(mut self, error: &ApiError) {
        if self.refuse(error).await.is_ok() {
            let _ = self.linger().await;
        }
    }

    async fn exchange(&mut self) -> io::Result<Ended> {
        let mut seen = 0;
        loop {
            let come = &self.input[..self.filled];
            if let Some(end) = head::end(come, seen) {
                if self.answer(end).await? == Then::Close {
                    return Ok(Ended::Told);
                }
                self.input.copy_within(end..self.filled, 0);
                self.filled -= end;
                self.begun = Instant::now();
                seen = 0;
                continue;
            }
            let problem = if head::has_bare_newline(come, seen) {
                // Its end would never be found.
                Some(head::bare_newline())
            } else {
                (come.len() >= MAX_HEAD).then(|| too_long(come))
            };
            if let Some(problem) = problem {
                self.refuse(&problem).await?;
                return Ok(Ended::Told);
            }
            seen = self.filled;
            if !self.fill().await? {
                return Ok(Ended::Silent);
            }
        }
    }

    /// Waits for bytes. `false` when the connection shall end, with nothing lost.
    async fn fill(&mut self) -> io::Result<bool> {
        if self.filled == 0 && self.input.len() > FIRST_SPACE {
            self.input = vec![0; FIRST_SPACE];
        } else if self.filled == self.input.len() {
            self.input.resize((self.filled * 2).min(MAX_HEAD), 0);
        }
        let limits = &self.state.limits;
        let is_idle = self.filled == 0 && self.answered > 0;
        // A head that trickles in has one time for all of it, not one for each byte.
        let mut deadline = match (self.filled, is_idle) {
            (0, true) => Instant::now() + limits.idle_timeout,
            (0, false) => Instant::now() + limits.head_timeout,
            _ => self.begun + limits.head_timeout,
        };
        if self.answered == 0 && self.filled == 0 && self.state.is_closing() {
            deadline = deadline.min(Instant::now() + FIRST_WORDS);
        }
        if self.timer.deadline() > deadline {
            self.timer.as_mut().reset(deadline);
        }
        let Self { stream, input, filled, closing, timer, answered, .. } = self;
        let read = poll_fn(|context| {
            let mut space = ReadBuf::new(&mut input[*filled..]);
            match Pin::new(&mut *stream).poll_read(context, &mut space)? {
                Poll::Ready(()) => return Poll::Ready(io::Result::Ok(space.filled().len())),
                Poll::Pending => (),
            }
            if *filled == 0 && Pin::new(&mut *closing).poll(context).is_ready() {
                if *answered > 0 {
                    return Poll::Ready(Ok(0));
                }
                // Who has just come has a request on its way.
                deadline = deadline.min(Instant::now() + FIRST_WORDS);
                timer.as_mut().reset(deadline);
            }
            // The timer is set anew when it rings, not for each request.
            loop {
                ready!(timer.as_mut().poll(context));
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                timer.as_mut().reset(deadline);
            }
        });
        let count = read.await?;
        if self.filled == 0 {
            self.begun = Instant::now();
        }
        self.filled += count;
        Ok(count > 0)
    }

    /// Answers the request whose head ends at `end`.
    async fn answer(&mut self, end: usize) -> io::Result<Then> {
        let started = Instant::now();
        let now = Timestamp::now();
        self.answered += 1;
        let mut lines = NO_LINES;
        let head = match Head::parse(&self.input[..end], &mut lines) {
            Ok(head) => head,
            Err(error) => return self.refuse(&error).await,
        };
        let state = &self.state;
        // Who has asked for more already gets it.
        let is_leaving = state.app.is_leaving() && self.filled == end;
        let is_last = self.answered >= state.limits.requests_per_connection || is_leaving;
        let stays = head.keeps_alive && !head.has_body && !is_last;
        let then = if stays { Then::Stay } else { Then::Close };

        if let Some((hit, is_head)) = hit(state, &head, now) {
            self.page.prepared(&hit, state.app.config.grace, now);
            self.page.end(then, head.version, state.end(), now);
            state.counters.of(hit.poll, is_head).observe(started.elapsed());
            let body = (!is_head).then(|| hit.form.body());
            let heads = [hit.form.head(), &self.page.bytes];
            respond(&mut self.stream, heads, body, patience(state)).await?;
            return Ok(then);
        }
        let parts = match head.to_parts() {
            Ok(parts) => parts,
            Err(error) => return self.refuse(&error).await,
        };
        let version = head.version;
        // Boxed: what is rare must not make every waiting connection larger.
        let reply = Box::pin(state.full_answer(parts, started, now)).await;
        self.page.made(&reply);
        self.page.end(then, version, self.state.end(), now);
        let (heads, body) = ([&self.page.bytes, &[][..]], Body::once(reply.body));
        respond(&mut self.stream, heads, Some(&body), patience(state)).await?;
        Ok(then)
    }

    /// Tells what is wrong with a request. Where the next one begins is not known.
    async fn refuse(&mut self, error: &ApiError) -> io::Result<Then> {
        let now = Timestamp::now();
        let method = method(&self.input[..self.filled]);
        let reply = self.state.refusal(error, &method, now);
        self.page.made(&reply);
        self.page.end(Then::Close, Version::HTTP_11, self.state.end(), now);
        let (heads, body) = ([&self.page.bytes, &[][..]], Body::once(reply.body));
        respond(&mut self.stream, heads, Some(&body), patience(&self.state)).await?;
        Ok(Then::Close)
    }

    /// Ends the connection so that the client reads the answer: a socket that is closed with bytes
    /// unread resets the connection, and what was sent may be lost (RFC 9112 §9.6).
    async fn linger(&mut self) -> io::Result<()> {
        timeout(LINGER, self.stream.shutdown()).await??;
        let mut rest = vec![0; 4 * 1024];
        let drain = async {
            let mut read = 0;
            while read < MAX_LINGER {
                match self.stream.read(&mut rest).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => read += count,
                }
            }
        };
        let _ = timeout(LINGER, drain).await;
        Ok(())
    }
}

fn patience(state: &State) -> Patience<'_> {
    Patience { stall: state.limits.stall_timeout, app: &state.app }
}

/// What is asked by a head that may be no good otherwise.
fn method(head: &[u8]) -> Method {
    if head.starts_with(b"HEAD ") { Method::HEAD } else { Method::GET }
}

/// Which limit a head broke that did not end in time.
fn too_long(bytes: &[u8]) -> ApiError {
    if bytes[..MAX_URL].contains(&b'\n') {
        ApiError::HeadersTooLarge(head::MAX_HEADERS)
    } else {
        ApiError::UrlTooLong(MAX_URL)
    }
}

/// What can be answered at once.
fn hit(state: &State, head: &Head<'_, '_>, now: Timestamp) -> Option<(Hit, bool)> {
    let is_head = match head.method {
        "GET" => false,
        "HEAD" => true,
        _ => return None,
    };
    if head.is_special || state.limits.log == RequestLog::All || state.app.has_ended(now) {
        return None;
    }
    Some((hot::answer(&state.app, head.target, head.accepted, now)?, is_head))
}

/// What is written of an answer's head for itself: all of it, or what follows one that was prepared.
/// One for each connection: its memory is used again.
#[derive(Default)]
struct Page {
    bytes: Vec<u8>,
    dates: Dates,
}

impl Page {
    fn prepared(&mut self, hit: &Hit, grace: Grace, now: Timestamp) {
        self.bytes.clear();
        hit.lifetime.push(&mut self.bytes, grace, now, &mut self.dates);
    }

    fn made(&mut self, reply: &Reply) {
        self.bytes.clear();
        push_status(&mut self.bytes, reply.status);
        push_headers(&mut self.bytes, &reply.headers);
        // RFC 9110 §8.6: these have none. An answer to HEAD brings its own.
        let is_bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&reply.status);
        if !is_bare && !reply.headers.contains_key(CONTENT_LENGTH) {
            // Writing to a vector cannot fail.
            let _ = write!(self.bytes, "content-length: {}\r\n", reply.body.len());
        }
    }

    fn end(&mut self, then: Then, version: Version, end: Option<&EndOfService>, now: Timestamp) {
        if let Some(end) = end {
            // Writing to a vector cannot fail.
            let _ = write!(self.bytes, "alert: {}\r\n", end.alert(now));
        }
        self.bytes.extend_from_slice(b"date: ");
        self.bytes.extend_from_slice(self.dates.at(now));
        self.bytes.extend_from_slice(match (then, version) {
            (Then::Stay, Version::HTTP_11) => b"\r\n\r\n",
            (Then::Stay, _) => b"\r\nconnection: keep-alive\r\n\r\n",
            (Then::Close, _) => b"\r\nconnection: close\r\n\r\n",
        });
    }
}
