//! The forms in which a body is sent, prepared before anybody asks.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, header::ACCEPT_ENCODING};

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// gzip.
    Gzip,
}

/// A body in each encoding.
#[derive(Debug, Clone)]
pub struct Encodings {
    /// As it is.
    pub identity: Bytes,
    gzip: Option<Bytes>,
}

impl Encodings {
    /// Compresses `identity`.
    pub fn new(identity: Bytes) -> Self {
        Self { gzip: gzip(&identity), identity }
    }

    /// The body, and how it is in fact encoded.
    pub fn get(&self, encoding: Encoding) -> (Bytes, Encoding) {
        match (&self.gzip, encoding) {
            (Some(gzip), Encoding::Gzip) => (gzip.clone(), Encoding::Gzip),
            _ => (self.identity.clone(), Encoding::Identity),
        }
    }

    /// Memory that both take.
    pub fn bytes(&self) -> usize {
        self.identity.len() + self.gzip.as_ref().map_or(0, Bytes::len)
    }
}

/// Compresses; `None` when the library refuses, which it does not for memory.
pub fn gzip(body: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3 + 64), Compression::new(6));
    encoder.write_all(body).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// What the client prefers among what we have (RFC 9110 §12.5.3).
pub fn accepted(headers: &HeaderMap) -> Encoding {
    let mut gzip: Option<f32> = None;
    let mut any: Option<f32> = None;
    let mut identity: Option<f32> = None;
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (name, weight) = weighted(item);
            match name.to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(weight),
                "*" => any = Some(weight),
                "identity" => identity = Some(weight),
                _ => (),
            }
        }
    }
    let wanted = gzip.or(any).unwrap_or(0.0);
    if wanted > 0.0 && wanted >= identity.unwrap_or(0.0) {
        Encoding::Gzip
    } else {
        Encoding::Identity
    }
}

/// `gzip;q=0.5` is `("gzip", 0.5)`. A weight that cannot be read forbids: identity is always right.
fn weighted(item: &str) -> (&str, f32) {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let weight = parts
        .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .map_or(1.0, |text| text.parse().unwrap_or(0.0));
    (name, weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(text: &'static str) -> Encoding {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
        accepted(&headers)
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        for text in
            ["gzip", "br, GZIP", "gzip;q=0.1", "*", "deflate, gzip ; q=1.0", "gzip, identity;q=0.5"]
        {
            assert_eq!(of(text), Encoding::Gzip, "{text}");
        }
        for text in [
            "",
            "br",
            "gzip;q=0",
            "gzip;q=0.0",
            "*;q=0",
            "*, gzip;q=0",
            "gzip;q=x",
            "identity, gzip;q=0.5",
        ] {
            assert_eq!(of(text), Encoding::Identity, "{text}");
        }
        assert_eq!(accepted(&HeaderMap::new()), Encoding::Identity);
    }
}
