//! One form of a resource, ready to be sent.

use std::{fs::File, sync::OnceLock};

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, ETAG, VARY},
};
use shared::config::ttl::Policy;

use super::{
    Encoding,
    dictionary::{Role, USE_AS_DICTIONARY},
    files::{MemoryFile, Place},
};

/// Bodies of at least so many bytes that are sent also get a file in memory, from which the kernel
/// sends them without a copy. Below, that costs more than the copy (`docs/performance.md`).
const FILE_BYTES: usize = 8 * 1024;

/// What all forms and parts of one resource have in common.
#[derive(Debug, Clone, Default)]
pub struct Dress {
    /// Headers, those apart that depend on the form or on the moment.
    pub headers: HeaderMap,
    /// How long caches may keep it.
    pub policy: Policy,
    /// When a whole body is a dictionary, and for what; never if unset.
    pub dictionary: Option<Role>,
}

impl Dress {
    /// The same for a whole body of `length` bytes, in any form: if it is a dictionary, its answer
    /// may be made with one, which caches must know.
    pub fn of_whole(&self, length: usize) -> Self {
        let mut dress = self.clone();
        if let Some(role) = self.dictionary.as_ref().filter(|role| role.rules.allow(length)) {
            dress.headers.insert(USE_AS_DICTIONARY, role.matching.clone());
            let vary = HeaderValue::from_static("Accept-Encoding, Available-Dictionary");
            dress.headers.insert(VARY, vary);
        }
        dress
    }
}

/// Status line, headers and body of a 200. `Cache-Control`, `Expires`, `Date` and `Connection`
/// depend on the moment, and follow.
#[derive(Debug)]
pub struct Prepared {
    headers: HeaderMap,
    head: Vec<u8>,
    body: Body,
    etag: HeaderValue,
}

/// A body.
#[derive(Debug)]
pub struct Body {
    bytes: Bytes,
    sending: Sending,
}

/// How a body leaves.
#[derive(Debug)]
enum Sending {
    /// By a copy.
    Copied,
    /// From a file in memory, which is made when somebody first asks and a place is left: most forms of
    /// most bodies are never asked for. `None` where the system gave none.
    FromFile(OnceLock<Option<MemoryFile>>),
}

impl Prepared {
    /// Prepares `bytes`, which are encoded so.
    pub fn new(bytes: Bytes, encoding: Encoding, dress: &Dress) -> Self {
        Self::encoded(bytes, encoding.name(), dress)
    }

    /// Prepares a part of a list. It is sent by a copy: there may be thousands of parts, and a file is a
    /// descriptor, and memory that the cache which keeps them does not see.
    pub fn part(bytes: Bytes, encoding: Encoding, dress: &Dress) -> Self {
        Self::of(Body::once(bytes), encoding.name(), dress)
    }

    /// Prepares `bytes`, whose encoding has this name.
    pub fn encoded(bytes: Bytes, encoding: Option<&'static str>, dress: &Dress) -> Self {
        Self::of(Body::new(bytes), encoding, dress)
    }

    fn of(body: Body, encoding: Option<&'static str>, dress: &Dress) -> Self {
        let bytes = body.bytes();
        let mut headers = dress.headers.clone();
        headers.insert(CONTENT_LENGTH, bytes.len().into());
        if let Some(name) = encoding {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        let etag = strong_etag(bytes);
        headers.insert(ETAG, etag.clone());
        let mut head = Vec::with_capacity(1_024);
        push_status(&mut head, StatusCode::OK);
        push_headers(&mut head, &headers);
        head.shrink_to_fit();
        Self { headers, head, body, etag }
    }

    /// The headers as a map.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The status line and the headers as HTTP/1.1 sends them, up to those of the moment.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The body.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The entity tag: strong, and of this form alone.
    pub fn etag(&self) -> &HeaderValue {
        &self.etag
    }

    /// Memory that it takes, nearly, in bytes.
    pub fn weight(&self) -> usize {
        self.body.weight() + self.head.len() * 2 + size_of::<Self>()
    }
}

/// A hash of the bytes: every reader gives the same tag to the same bytes, and no other (RFC 9110
/// §8.8.1).
fn strong_etag(bytes: &[u8]) -> HeaderValue {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(34);
    text.push('"');
    for byte in digest(&SHA256, bytes).as_ref().iter().take(16) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""))
}

impl Body {
    /// A body of these bytes.
    pub fn new(bytes: Bytes) -> Self {
        let is_large = bytes.len() >= FILE_BYTES;
        let sending = if is_large { Sending::FromFile(OnceLock::new()) } else { Sending::Copied };
        Self { bytes, sending }
    }

    /// A body that is sent by a copy: once, or one of many.
    pub fn once(bytes: Bytes) -> Self {
        Self { bytes, sending: Sending::Copied }
    }

    /// The bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether it is sent from a file: a whole list that is not small, there for everybody, however long
    /// one client takes. Small ones are sent as what was made for one client is: they cost little.
    pub fn is_shared(&self) -> bool {
        matches!(self.sending, Sending::FromFile(_))
    }

    /// The same bytes, where the kernel can send them from: until there is a place, they are copied.
    pub fn file(&self) -> Option<&File> {
        let Sending::FromFile(file) = &self.sending else { return None };
        let made = if let Some(made) = file.get() {
            made
        } else {
            let place = Place::take()?;
            file.get_or_init(|| place.fill(&self.bytes))
        };
        made.as_ref().map(MemoryFile::file)
    }

    fn weight(&self) -> usize {
        let has_file = match &self.sending {
            Sending::Copied => false,
            Sending::FromFile(file) => matches!(file.get(), Some(Some(_))),
        };
        self.bytes.len() * if has_file { 2 } else { 1 }
    }
}

/// `HTTP/1.1 200 OK`. The phrase means nothing (RFC 9112 §4), and helps people.
pub fn push_status(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One line for each header.
pub fn push_headers(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::fs::FileExt as _};

    use super::*;

    #[test]
    fn head_and_map_say_the_same() {
        let mut dress = Dress::default();
        dress.headers.insert("vary", HeaderValue::from_static("Accept-Encoding"));
        let form = Prepared::new("{}".into(), Encoding::Gzip, &dress);
        let text = String::from_utf8(form.head().to_vec()).unwrap();

        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
        for (name, value) in form.headers() {
            assert!(text.contains(&format!("\r\n{name}: {}\r\n", value.to_str().unwrap())));
        }
        assert_eq!(form.headers()["content-length"], "2");
        assert_eq!(form.headers()["content-encoding"], "gzip");
        assert_eq!(form.headers()["etag"], *form.etag());
    }

    #[test]
    fn a_tag_belongs_to_bytes() {
        let of = |text: &'static str| {
            Prepared::new(text.into(), Encoding::Identity, &Dress::default()).etag().clone()
        };
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_eq!(of("a").len(), 34);
    }

    #[test]
    fn a_large_body_that_is_sent_lies_in_a_file_too() {
        let bytes = Bytes::from(vec![b'x'; FILE_BYTES]);
        let body = Body::new(bytes.clone());
        let mut read = vec![0; FILE_BYTES];
        assert_eq!(body.weight(), FILE_BYTES);

        body.file().unwrap().read_exact_at(&mut read, 0).unwrap();
        assert_eq!(read, bytes);
        assert_eq!(body.file().unwrap().read(&mut [0]).unwrap(), 0, "and no byte more");
        assert_eq!(body.weight(), 2 * FILE_BYTES);
        assert!(Body::new(bytes.slice(1..)).file().is_none());
        let part = Prepared::part(bytes, Encoding::Identity, &Dress::default());
        assert!(part.body().file().is_none());
    }
}
