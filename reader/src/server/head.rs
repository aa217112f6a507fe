//! A request's head, as it lies in the buffer (RFC 9112 §3 and §5).
//!
//! Stricter than the RFC wherever two servers in a row might read two different requests: every
//! line ends in CR LF, there is one `Host`, and a request has no body.

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};
use httparse::{EMPTY_HEADER, Header, Status};
use shared::error::ApiError;

use crate::answer::Accepted;

/// Longest path and query string, in bytes.
pub(super) const MAX_URL: usize = 16 * 1024;
/// Largest sum of all header lines, in bytes.
pub(super) const MAX_HEADERS: usize = 32 * 1024;
/// Most bytes of a head that can be within both limits.
pub(super) const MAX_HEAD: usize = MAX_URL + MAX_HEADERS + 64;
/// Most header lines.
pub(super) const MAX_LINES: usize = 64;

/// Where header lines are put while a request is looked at.
pub(super) type Lines<'a> = [Header<'a>; MAX_LINES];

/// No lines yet.
pub(super) const NO_LINES: Lines<'static> = [EMPTY_HEADER; MAX_LINES];

/// A request.
#[derive(Debug)]
pub(super) struct Head<'h, 'b> {
    /// Its method, in the letters that were sent.
    pub(super) method: &'b str,
    /// Path and query as they were sent.
    pub(super) target: &'b str,
    /// Of HTTP/1.1, or of 1.0, whose clients must be told that the connection stays.
    pub(super) version: Version,
    /// Whether the client wants the connection to stay (RFC 9112 §9.3).
    pub(super) keeps_alive: bool,
    /// Whether a body follows, which nobody here reads.
    pub(super) has_body: bool,
    /// Whether the answer depends on more than the target and `Accept-Encoding`.
    pub(super) is_special: bool,
    /// The encodings that the client accepts.
    pub(super) accepted: Accepted,
    lines: &'h [Header<'b>],
}

/// How many bytes of an empty line stand before the head, which some clients send after a body (RFC 9112
/// §2.2).
fn margin(bytes: &[u8]) -> usize {
    if bytes.starts_with(b"\r\n") { 2 } else { 0 }
}

/// Where the head ends that `bytes` begin with, if it is whole. Up to `seen` it is known not to end.
pub(super) fn end(bytes: &[u8], seen: usize) -> Option<usize> {
    let from = seen.saturating_sub(3).max(margin(bytes));
    bytes.get(from..)?.windows(4).position(|four| four == b"\r\n\r\n").map(|at| from + at + 4)
}

impl<'h, 'b> Head<'h, 'b> {
    /// Reads a whole head.
    ///
    /// # Errors
    ///
    /// 400, 414 or 431; what follows such a head cannot be told, so the connection must end.
    pub(super) fn parse(bytes: &'b [u8], lines: &'h mut Lines<'b>) -> Result<Self, ApiError> {
        let bytes = &bytes[margin(bytes)..];
        let mut request = httparse::Request::new(lines);
        match request.parse(bytes) {
            Ok(Status::Complete(end)) if end == bytes.len() => (),
            Err(httparse::Error::TooManyHeaders) => {
                return Err(ApiError::HeadersTooLarge(MAX_HEADERS));
            }
            _ => return refuse("This is no request of HTTP/1.1."),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return refuse("This is no request of HTTP/1.1.");
        };
        if target.len() > MAX_URL {
            return Err(ApiError::UrlTooLong(MAX_URL));
        }
        if has_bare_newline(bytes, 0) {
            return Err(bare_newline());
        }
        let is_old = request.version == Some(0);
        let version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
        Self {
            method,
            target,
            version,
            keeps_alive: !is_old,
            has_body: false,
            is_special: false,
            accepted: Accepted::PLAIN,
            lines: request.headers,
        }
        .heed()
    }

    /// Looks at the headers that matter to every request, once.
    fn heed(mut self) -> Result<Self, ApiError> {
        let (mut hosts, mut length, mut is_chunked, mut size) = (0, None, false, 0);
        let (mut accepts, mut names_host, mut closes) = (false, true, false);
        for line in self.lines {
            size += line.name.len() + line.value.len();
            let is = |name: &str| line.name.eq_ignore_ascii_case(name);
            match line.name.len() {
                4 if is("host") => {
                    hosts += 1;
                    names_host &= is_host(line.value);
                }
                10 if is("connection") => {
                    closes |= has_option(line.value, b"close");
                    self.keeps_alive |= has_option(line.value, b"keep-alive");
                }
                13 if is("if-none-match") => self.is_special = true,
                14 if is("content-length") && length.replace(line.value).is_some() => {
                    return refuse("Content-Length may be sent once.");
                }
                15 if is("accept-encoding") => accepts = true,
                17 if is("transfer-encoding") => is_chunked = true,
                20 if is("available-dictionary") => self.is_special = true,
                _ => (),
            }
        }
        if size > MAX_HEADERS {
            return Err(ApiError::HeadersTooLarge(MAX_HEADERS));
        }
        if hosts > 1 || (hosts == 0 && self.version == Version::HTTP_11) {
            return refuse("Exactly one Host header is required.");
        }
        if !names_host {
            return refuse("The Host header is no name of a host.");
        }
        if is_chunked && length.is_some() {
            return refuse("Content-Length and Transfer-Encoding exclude each other.");
        }
        if length.is_some_and(|length| !length.iter().all(u8::is_ascii_digit)) {
            return refuse("Content-Length is a number.");
        }
        if !self.has_target() {
            return refuse("The target is no URL.");
        }
        if self.method == "CONNECT" {
            return refuse("This is not a proxy.");
        }
        // That goes before all else.
        self.keeps_alive &= !closes;
        self.has_body = is_chunked || length.is_some_and(|length| length != b"0");
        if accepts {
            self.accepted = Accepted::parse(self.values("accept-encoding"));
        }
        Ok(self)
    }

    /// Whether the target has one of the forms of RFC 9112 §3.2; that of CONNECT is told apart.
    fn has_target(&self) -> bool {
        let begins = |with: &str| {
            let start = self.target.as_bytes().get(..with.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        match self.method {
            "CONNECT" => true,
            "OPTIONS" if self.target == "*" => true,
            _ => ["/", "http://", "https://"].into_iter().any(begins),
        }
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let lines = self.lines.iter().filter(move |line| line.name.eq_ignore_ascii_case(name));
        lines.map(|line| line.value)
    }

    /// The request as the rest of the reader takes it.
    ///
    /// # Errors
    ///
    /// 400 when the method, the target or a header is none.
    pub(super) fn to_parts(&self) -> Result<Parts, ApiError> {
        let mut headers = HeaderMap::with_capacity(self.lines.len());
        for line in self.lines {
            let name = HeaderName::from_bytes(line.name.as_bytes());
            let value = HeaderValue::from_bytes(line.value);
            let (Ok(name), Ok(value)) = (name, value) else {
                return refuse("A header cannot be read.");
            };
            headers.append(name, value);
        }
        let method = Method::from_bytes(self.method.as_bytes());
        // Some clients send quotes as they are: `_expected="123"`.
        let target = self.target.replace('"', "%22");
        let (Ok(method), Ok(uri)) = (method, target.parse::<Uri>()) else {
            return refuse("The request line cannot be read.");
        };
        let mut request = Request::new(());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        *request.version_mut() = self.version;
        Ok(request.into_parts().0)
    }
}

fn refuse<T>(why: &'static str) -> Result<T, ApiError> {
    Err(ApiError::BadRequest(why.into()))
}

/// Whether `Connection` names an option.
fn has_option(value: &[u8], name: &[u8]) -> bool {
    let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
    options.any(|option| option.eq_ignore_ascii_case(name))
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2), by its letters. None at all is right where there is none.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(byte))
}

/// A line that ends without CR is one line to us, and may be part of another to a proxy. Up to `seen` it
/// is known that there is none.
pub(super) fn has_bare_newline(bytes: &[u8], seen: usize) -> bool {
    let is_first = seen == 0 && bytes.first() == Some(&b'\n');
    let fresh = &bytes[seen.saturating_sub(1)..];
    is_first || fresh.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r')
}

/// What is told of such a line.
pub(super) fn bare_newline() -> ApiError {
    ApiError::BadRequest("Lines end in CR LF.".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(text: &str) -> Option<u16> {
        let mut lines = NO_LINES;
        Head::parse(text.as_bytes(), &mut lines).err().map(|error| error.contract().0.as_u16())
    }

    #[test]
    fn what_two_servers_may_read_differently_is_refused() {
        for (text, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", None),
            ("GET / HTTP/1.0\r\n\r\n", None),
            ("GET / HTTP/1.1\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", Some(400)),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
                Some(400),
            ),
            ("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", Some(400)),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Some(400),
            ),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Some(400)),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", Some(400)),
            ("GET /\u{1}a HTTP/1.1\r\nHost: a\r\n\r\n", Some(400)),
            ("hello\r\n\r\n", Some(400)),
            ("GET foo HTTP/1.1\r\nHost: a\r\n\r\n", Some(400)),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Some(400)),
            ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Some(400)),
            ("GET HTTP://a/ HTTP/1.1\r\nHost: a\r\n\r\n", None),
            ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: a\"<\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Some(400)),
            ("GET / HTTP/1.1\r\nHost: \r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: [::1]:8889\r\n\r\n", None),
            ("GET / HTTP/1.1\r\nHost: xn--bcher-kva.example:80\r\n\r\n", None),
        ] {
            assert_eq!(status(text), expected, "{text:?}");
        }
    }

    #[test]
    fn limits_have_their_status() {
        let url = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(MAX_URL));
        assert_eq!(status(&url), Some(414));
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "a".repeat(MAX_HEADERS));
        assert_eq!(status(&long), Some(431));
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(MAX_LINES));
        assert_eq!(status(&many), Some(431));
    }

    #[test]
    fn connections_stay_as_the_client_wants() {
        let keeps = |text: &str| {
            let mut lines = NO_LINES;
            Head::parse(text.as_bytes(), &mut lines).unwrap().keeps_alive
        };
        assert!(keeps("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n"));
        assert!(!keeps(
            "GET / HTTP/1.0\r\nHost: a\r\nConnection: close\r\nConnection: keep-alive\r\n\r\n"
        ));
        assert!(!keeps("GET / HTTP/1.0\r\nHost: a\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nHost: a\r\nConnection: Keep-Alive\r\n\r\n"));
    }

    #[test]
    fn quotes_may_be_sent_as_they_are() {
        let mut lines = NO_LINES;
        let text = b"GET /a?_expected=\"1\" HTTP/1.1\r\nHost: a\r\n\r\n";
        let parts = Head::parse(text, &mut lines).unwrap().to_parts().unwrap();

        assert_eq!(parts.uri.query(), Some("_expected=%221%22"));
    }

    #[test]
    fn bare_newlines_are_found_however_the_bytes_arrive() {
        for (text, is_bare) in [("\n", true), ("a\r\nb\r\n", false), ("a\r\nb\n", true)] {
            for cut in 0..=text.len() {
                let (bytes, first) = (text.as_bytes(), &text.as_bytes()[..cut]);
                let found = has_bare_newline(first, 0) || has_bare_newline(bytes, cut);
                assert_eq!(found, is_bare, "{text:?} at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut whole = bytes;
            whole.extend_from_slice(b"\r\n\r\n");
            let end = end(&whole, 0).unwrap();
            let mut lines = NO_LINES;
            if let Ok(head) = Head::parse(&whole[..end], &mut lines) {
                let _ = head.to_parts();
            }
        }

        #[test]
        fn an_end_is_found_however_the_bytes_arrive(cut in 0..40_usize) {
            let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\n";
            let cut = cut.min(bytes.len());
            let first = end(&bytes[..cut], 0);

            prop_assert_eq!(first.or_else(|| end(bytes, cut)), Some(27));
        }
    }
}
