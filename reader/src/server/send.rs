//! Writing an answer, whole or not at all, and not for ever.

use std::{
    io::{self, IoSlice},
    os::fd::AsFd as _,
    pin::{Pin, pin},
    sync::atomic::{AtomicUsize, Ordering},
    task::{Poll, ready},
    time::Duration,
};

use rustix::{
    fs::sendfile,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use shared::http::SLOWEST;
use std::future::poll_fn;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{answer::Body, app::App};

/// A connection's bytes, plain or encrypted.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket, where what is written to it reaches the client as it is.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Transport for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// An answer's head: what was prepared, and what the moment adds.
pub(super) type Heads<'a> = [&'a [u8]; 2];

/// How long a client is waited for.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    /// How long it may take none of the bytes. All of them may take so long as well, and the time that
    /// they need at the slowest pace.
    pub(super) stall: Duration,
    /// Knows that pace, for bodies that are not there for everybody.
    pub(super) app: &'a App,
}

impl Patience<'_> {
    fn for_all(self, body: Option<&Body>) -> Duration {
        let length = body.map_or(0, |body| body.bytes().len() as u64);
        let is_shared = body.is_some_and(Body::is_shared);
        let slowest = if is_shared { SLOWEST } else { self.app.slowest() };
        self.stall + Duration::from_secs(length / slowest)
    }
}

/// Sends head and body.
///
/// # Errors
///
/// When the client has left, or is too slow.
pub(super) async fn respond<T: Transport>(
    stream: &mut T,
    heads: Heads<'_>,
    body: Option<&Body>,
    patience: Patience<'_>,
) -> io::Result<()> {
    let bytes = body.map_or(&[][..], |body| body.bytes());
    let file = body.and_then(Body::file);
    let (taken, stall) = (AtomicUsize::new(0), patience.stall);
    // What is under way may be more meanwhile.
    let for_all = || patience.for_all(body);
    if let (Some(file), Some(socket)) = (file, stream.socket()) {
        let sending = from_file(socket, heads, file, bytes.len(), &taken);
        within(stall, for_all, &taken, sending).await
    } else {
        let parts = [heads[0], heads[1], bytes];
        within(stall, for_all, &taken, from_memory(stream, parts, &taken)).await
    }
}

/// Most answers fit the socket's buffer: only those that do not get a timer.
async fn within(
    stall: Duration,
    for_all: impl Fn() -> Duration,
    taken: &AtomicUsize,
    sending: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut sending = pin!(sending);
    let first = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await;
    if let Poll::Ready(outcome) = first {
        return outcome;
    }
    let begun = Instant::now();
    loop {
        let before = taken.load(Ordering::Relaxed);
        if let Ok(outcome) = timeout(stall, sending.as_mut()).await {
            return outcome;
        }
        if taken.load(Ordering::Relaxed) == before || begun.elapsed() >= for_all() {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

/// What is left of `parts` after `sent` bytes, and which of them is the first that is not empty: TLS
/// copies what it is given one slice at a time, and an empty one would end it.
fn rest<const N: usize>(parts: [&[u8]; N], mut sent: usize) -> ([IoSlice<'_>; N], usize) {
    let left = parts.map(|part| {
        let gone = sent.min(part.len());
        sent -= gone;
        &part[gone..]
    });
    let first = left.iter().position(|part| !part.is_empty()).unwrap_or(0);
    (left.map(IoSlice::new), first)
}

async fn from_memory<T: Transport>(
    stream: &mut T,
    parts: [&[u8]; 3],
    taken: &AtomicUsize,
) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut sent = 0;
    poll_fn(|context| {
        while sent < length {
            let (slices, first) = rest(parts, sent);
            let slices = &slices[first..];
            let count = ready!(Pin::new(&mut *stream).poll_write_vectored(context, slices))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            sent += count;
            taken.store(sent, Ordering::Relaxed);
        }
        Pin::new(&mut *stream).poll_flush(context)
    })
    .await
}

/// The kernel takes the body from the file's pages: nothing is copied.
async fn from_file(
    socket: &TcpStream,
    heads: Heads<'_>,
    file: &std::fs::File,
    length: usize,
    taken: &AtomicUsize,
) -> io::Result<()> {
    let (mut sent, heads_length) = (0, heads[0].len() + heads[1].len());
    while sent < heads_length {
        sent += socket
            .async_io(Interest::WRITABLE, || {
                let (slices, first) = rest(heads, sent);
                let flags = SendFlags::MORE | SendFlags::NOSIGNAL;
                let mut no_control = SendAncillaryBuffer::default();
                Ok(sendmsg(socket.as_fd(), &slices[first..], &mut no_control, flags)?)
            })
            .await?;
    }
    let mut offset = 0;
    while offset < length as u64 {
        let rest = length - usize::try_from(offset).unwrap_or(length);
        let count = socket
            .async_io(Interest::WRITABLE, || {
                Ok(sendfile(socket.as_fd(), file, Some(&mut offset), rest)?)
            })
            .await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        taken.fetch_add(count, Ordering::Relaxed);
    }
    Ok(())
}
