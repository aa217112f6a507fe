//! What hyper does not see: a request's head before it is parsed.
//!
//! Two servers in a row that read a message differently take one client's bytes for another's
//! request. hyper forgives what a proxy may read otherwise: it drops one of two framings, merges
//! equal lengths, takes a bare line feed for the end of a line (RFC 9112 §2.2, §5.2, §6.1, §6.3). So
//! each head is looked at before it is handed on, and where it is ambiguous a request is handed on
//! in its place that can only be refused; then nothing more of the connection is read.

use std::{
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use http::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The request in the place of a refused one. Clients may send its method, too: then nothing was
/// refused.
const SUBSTITUTE: &[u8] = b"REFUSED / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";
/// Longest head that is looked at, in bytes. hyper refuses longer ones.
const MAX_HEAD: usize = 64 * 1024;
/// Longest line that begins a chunk, in bytes, and the longest trailer.
const MAX_CHUNK_LINE: usize = 4 * 1024;
const MAX_TRAILER: usize = 16 * 1024;
/// Read at once.
const READ: usize = 8 * 1024;

/// Why a request of a connection was refused, once one was.
#[derive(Debug, Clone, Default)]
pub(super) struct Verdict(Arc<OnceLock<&'static str>>);

impl Verdict {
    /// What is wrong with the message that this request stands for.
    pub(super) fn of<B>(&self, request: &Request<B>) -> Option<&'static str> {
        self.0.get().copied().filter(|_| request.method().as_str() == "REFUSED")
    }
}

/// What comes next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Head,
    Body(u64),
    ChunkLine,
    /// With the line end behind it.
    Chunk(u64),
    Trailer,
    /// hyper refuses what was sent.
    Anything,
    /// Nothing: the connection ends.
    Refused,
    /// Nothing: the body that is being read has failed.
    Failed(&'static str),
}

/// A connection whose heads are looked at.
#[derive(Debug)]
pub(super) struct Framed<S> {
    stream: S,
    watch: Watch,
    verdict: Verdict,
}

impl<S> Framed<S> {
    pub(super) fn new(stream: S, verdict: Verdict) -> Self {
        Self { stream, watch: Watch::default(), verdict }
    }
}

/// The bytes that were read, of which the first `ready` may be handed on.
#[derive(Debug)]
struct Watch {
    bytes: Vec<u8>,
    ready: usize,
    next: Next,
}

impl Default for Watch {
    fn default() -> Self {
        Self { bytes: Vec::new(), ready: 0, next: Next::Head }
    }
}

impl Watch {
    /// Looks at what has come.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn advance(&mut self) -> Result<(), &'static str> {
        while self.ready < self.bytes.len() {
            let rest = &self.bytes[self.ready..];
            let step = match self.next {
                Next::Head => head(rest)?,
                Next::Body(length) => Some(part(rest, length, Next::Head)),
                Next::ChunkLine => chunk_line(rest)?,
                Next::Chunk(length) => chunk(rest, length)?,
                Next::Trailer => trailer(rest)?,
                Next::Anything => Some((rest.len(), Next::Anything)),
                Next::Refused | Next::Failed(_) => None,
            };
            let Some((taken, next)) = step else { return Ok(()) };
            self.ready += taken;
            self.next = next;
        }
        Ok(())
    }

    /// Puts a request that is refused in the place of what is not handed on yet.
    fn refuse(&mut self) {
        self.bytes.truncate(self.ready);
        self.bytes.extend_from_slice(SUBSTITUTE);
        self.ready = self.bytes.len();
        self.next = Next::Refused;
    }

    /// Hands on as much as there is room for.
    fn take(&mut self, into: &mut ReadBuf<'_>) {
        let size = self.ready.min(into.remaining());
        into.put_slice(&self.bytes[..size]);
        self.bytes.drain(..size);
        self.ready -= size;
    }
}

/// How many bytes are complete, and what comes then; `None` as long as more is needed.
type Step = Option<(usize, Next)>;

fn part(rest: &[u8], length: u64, then: Next) -> (usize, Next) {
    let taken = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    let left = length - taken as u64;
    (taken, if left == 0 { then } else { Next::Body(left) })
}

/// The first line without its end, and where the next one begins. Lines end in CR LF, and have
/// neither anywhere else.
fn line(rest: &[u8]) -> Result<Option<(&[u8], usize)>, &'static str> {
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    match rest[..end].split_last() {
        Some((b'\r', line)) if !line.contains(&b'\r') => Ok(Some((line, end + 1))),
        _ => Err("Lines of a head end in CR LF."),
    }
}

fn head(rest: &[u8]) -> Result<Step, &'static str> {
    let mut at = 0;
    let mut fields = Fields::default();
    let mut request_line: Option<&[u8]> = None;
    while let Some((line, length)) = line(&rest[at..])? {
        at += length;
        match request_line {
            // Empty lines before a request are for old clients (RFC 9112 §2.2).
            None if line.is_empty() => return Ok(Some((at, Next::Head))),
            None => request_line = Some(line),
            Some(first) if line.is_empty() => {
                return fields.next(first).map(|next| Some((at, next)));
            }
            Some(_) => fields.add(line)?,
        }
    }
    Ok((rest.len() >= MAX_HEAD).then_some((rest.len(), Next::Anything)))
}

/// What a head says of its body.
#[derive(Default)]
struct Fields {
    length: Option<u64>,
    is_chunked: bool,
}

impl Fields {
    fn add(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.starts_with(b" ") || line.starts_with(b"\t") {
            return Err("A header has one line.");
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Err("A header has a name and a colon.");
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            let digits = Some(value).filter(|value| value.iter().all(u8::is_ascii_digit));
            let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
            let length = text.and_then(|text| text.parse().ok());
            let length = length.ok_or("Content-Length is a number.")?;
            if self.length.replace(length).is_some() {
                return Err("Content-Length is sent once.");
            }
        } else if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
            if self.is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err("Transfer-Encoding is chunked, and sent once.");
            }
            self.is_chunked = true;
        }
        Ok(())
    }

    fn next(&self, request_line: &[u8]) -> Result<Next, &'static str> {
        match (self.length, self.is_chunked) {
            (Some(_), true) => Err("Content-Length and Transfer-Encoding exclude each other."),
            (None, true) if !request_line.ends_with(b" HTTP/1.1") => {
                Err("Transfer-Encoding needs HTTP/1.1.")
            }
            (None, true) => Ok(Next::ChunkLine),
            (None | Some(0), false) => Ok(Next::Head),
            (Some(length), false) => Ok(Next::Body(length)),
        }
    }
}

fn chunk_line(rest: &[u8]) -> Result<Step, &'static str> {
    let Some((line, length)) = line(rest)? else {
        return if rest.len() < MAX_CHUNK_LINE { Ok(None) } else { Err("A chunk has a size.") };
    };
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii_end();
    let is_hex = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(size).ok().filter(|_| is_hex);
    let size = text.and_then(|text| u64::from_str_radix(text, 16).ok());
    match size {
        Some(0) => Ok(Some((length, Next::Trailer))),
        Some(size) => Ok(Some((length, Next::Chunk(size)))),
        None => Err("A chunk has a size."),
    }
}

fn chunk(rest: &[u8], length: u64) -> Result<Step, &'static str> {
    let taken = rest.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    if taken > 0 {
        return Ok(Some((taken, Next::Chunk(length - taken as u64))));
    }
    match rest {
        [b'\r', b'\n', ..] => Ok(Some((2, Next::ChunkLine))),
        [b'\r'] => Ok(None),
        _ => Err("A chunk ends in CR LF."),
    }
}

fn trailer(rest: &[u8]) -> Result<Step, &'static str> {
    let Some((line, length)) = line(rest)? else {
        return if rest.len() < MAX_TRAILER { Ok(None) } else { Err("A trailer is short.") };
    };
    Ok(Some((length, if line.is_empty() { Next::Head } else { Next::Trailer })))
}

impl<S: AsyncRead + Unpin> AsyncRead for Framed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, watch, verdict } = &mut *self;
        loop {
            if watch.ready > 0 {
                watch.take(into);
                return Poll::Ready(Ok(()));
            }
            if let Next::Failed(why) = watch.next {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
            }
            let mut space = [0; READ];
            let mut read = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut *stream).poll_read(context, &mut read))?;
            if read.filled().is_empty() {
                // What is not complete will not be: hyper knows what to do.
                watch.ready = if watch.next == Next::Refused { 0 } else { watch.bytes.len() };
                watch.take(into);
                return Poll::Ready(Ok(()));
            }
            if watch.next == Next::Refused {
                continue;
            }
            watch.bytes.extend_from_slice(read.filled());
            let is_head = |next| matches!(next, Next::Head);
            match watch.advance() {
                Ok(()) => {}
                Err(why) if is_head(watch.next) => {
                    let _ = verdict.0.set(why);
                    watch.refuse();
                }
                // The request is being read, or will be: its body fails behind what is ready.
                Err(why) => watch.next = Next::Failed(why),
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Framed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// Feeds a connection's bytes in pieces; what is handed on, or why nothing more is.
    fn feed(bytes: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
        let (mut watch, mut handed_on) = (Watch::default(), Vec::new());
        for piece in bytes.chunks(size) {
            watch.bytes.extend_from_slice(piece);
            watch.advance()?;
            let mut space = vec![0; watch.ready];
            watch.take(&mut ReadBuf::new(&mut space));
            handed_on.extend(space);
        }
        Ok(handed_on)
    }

    #[test]
    fn what_is_clear_is_handed_on_as_it_is_however_it_is_cut() {
        let requests: Vec<&[u8]> = vec![
            b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"\r\nPOST / HTTP/1.1\r\nHost: a\r\ncontent-LENGTH:  5 \r\n\r\nab\ncd",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n\
              3;x=y\r\na\nb\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
            b"PUT / HTTP/1.0\r\nContent-Length: 0\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
        ];
        let all = requests.concat();

        for size in [1, 2, 3, 5, 7, 64, all.len()] {
            assert_eq!(feed(&all, size).unwrap(), all, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_not() {
        let before = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}";
        for bad in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n z\r\n\r\n",
            "GET / HTTP/1.1\r\nX: y\r\n\tz\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n1",
            "POST / HTTP/1.1\r\nContent-Length: \r\n\r\n1",
            "POST / HTTP/1.1\r\nContent-Length : 1\r\ncontent-length: 1\r\n\r\n1",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        ] {
            let all = [before, bad.as_bytes()].concat();
            for size in [1, 4, all.len()] {
                assert!(feed(&all, size).is_err(), "{bad:?} in pieces of {size}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_fails_behind_what_came_before_it() {
        let before = b"GET / HTTP/1.1\r\n\r\n\
                       POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n";
        let all = [&before[..], b"1\nb\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"].concat();
        let mut connection = Framed::new(&all[..], Verdict::default());

        let mut handed_on = Vec::new();
        let failure = connection.read_to_end(&mut handed_on).await.unwrap_err();

        assert_eq!(handed_on, before);
        assert_eq!(failure.kind(), io::ErrorKind::InvalidData);
        assert!(connection.read(&mut [0; 8]).await.is_err(), "nothing comes after it");
    }

    #[test]
    fn what_never_ends_is_hyper_s_to_refuse() {
        let endless = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'x'; MAX_HEAD]].concat();

        assert_eq!(feed(&endless, 1_000).unwrap().len(), endless.len());
        let chunk = vec![b'0'; MAX_CHUNK_LINE];
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert!(feed(&[chunked, chunk.as_slice()].concat(), 100).is_err());
    }
}
