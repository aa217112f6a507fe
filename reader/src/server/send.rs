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
    net::{SendFlags, send},
};
use std::future::poll_fn;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::answer::Body;

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

/// Slowest client that is waited for, in bytes each second.
const SLOWEST: u64 = 1_024;

/// Sends head and body. `stall` is how long a client may take none of the bytes; all of them may take
/// so long as well, and the time that they need at [`SLOWEST`].
///
/// # Errors
///
/// When the client has left, or is too slow.
pub(super) async fn respond<T: Transport>(
    stream: &mut T,
    head: &[u8],
    body: Option<&Body>,
    stall: Duration,
) -> io::Result<()> {
    let bytes = body.map_or(&[][..], |body| body.bytes());
    let file = body.and_then(Body::file);
    let patience = stall + Duration::from_secs(bytes.len() as u64 / SLOWEST);
    let taken = AtomicUsize::new(0);
    match (file, stream.socket()) {
        (Some(file), Some(socket)) => {
            let sending = from_file(socket, head, file, bytes.len(), &taken);
            within(stall, patience, &taken, sending).await
        }
        _ => within(stall, patience, &taken, from_memory(stream, head, bytes, &taken)).await,
    }
}

/// Most answers fit the socket's buffer: only those that do not get a timer.
async fn within(
    stall: Duration,
    patience: Duration,
    taken: &AtomicUsize,
    sending: impl Future<Output = io::Result<()>>,
) -> io::Result<()> {
    let mut sending = pin!(sending);
    let first = poll_fn(|context| Poll::Ready(sending.as_mut().poll(context))).await;
    if let Poll::Ready(outcome) = first {
        return outcome;
    }
    let deadline = Instant::now() + patience;
    loop {
        let before = taken.load(Ordering::Relaxed);
        if let Ok(outcome) = timeout(stall, sending.as_mut()).await {
            return outcome;
        }
        if taken.load(Ordering::Relaxed) == before || Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

async fn from_memory<T: Transport>(
    stream: &mut T,
    head: &[u8],
    body: &[u8],
    taken: &AtomicUsize,
) -> io::Result<()> {
    let mut sent = 0;
    poll_fn(|context| {
        while sent < head.len() + body.len() {
            let (head, body) = (
                head.get(sent..).unwrap_or_default(),
                body.get(sent.saturating_sub(head.len())..).unwrap_or_default(),
            );
            let slices = [IoSlice::new(head), IoSlice::new(body)];
            // TLS copies what it is given one slice at a time: an empty one would end it.
            let slices = if head.is_empty() { &slices[1..] } else { &slices[..] };
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
    head: &[u8],
    file: &std::fs::File,
    length: usize,
    taken: &AtomicUsize,
) -> io::Result<()> {
    let mut sent = 0;
    while sent < head.len() {
        sent += socket
            .async_io(Interest::WRITABLE, || {
                Ok(send(socket.as_fd(), &head[sent..], SendFlags::MORE | SendFlags::NOSIGNAL)?)
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
