//! Which form of a body a client prefers (RFC 9110 §12.5.3).

use http::{HeaderMap, header::ACCEPT_ENCODING};

use super::DictionaryId;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As it is.
    Identity,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
}

impl Encoding {
    /// Every encoding, the one that makes the smallest bodies first.
    pub const ALL: [Self; 4] = [Self::Brotli, Self::Zstd, Self::Gzip, Self::Identity];

    /// As `Content-Encoding` names it; nothing for the plain form.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Identity => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
            Self::Brotli => Some("br"),
        }
    }
}

/// What a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// In thousandths, for each of [`Encoding::ALL`].
    weights: [u16; 4],
    /// What it has, and takes a difference from.
    dictionary: Option<DictionaryId>,
}

impl Accepted {
    /// Only the plain form.
    pub const PLAIN: Self = Self { weights: [0, 0, 0, 1_000], dictionary: None };

    /// Reads `Accept-Encoding`, each of its lines, of a client that has no dictionary.
    pub fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut named: [Option<u16>; 4] = [None; 4];
        let mut any = None;
        for item in lines.flat_map(|line| line.split(|&byte| byte == b',')) {
            let (name, weight) = weighted(item);
            if name == b"*" {
                any = Some(weight);
            } else if let Some(index) = index_of(name) {
                named[index] = Some(weight);
            }
        }
        let [brotli, zstd, gzip, identity] = named;
        let or_any = |weight: Option<u16>| weight.or(any).unwrap_or(0);
        // The plain form is always right: it is sent also to those who refuse everything.
        let plain = identity.or(any.filter(|weight| *weight > 0)).unwrap_or(1);
        let weights = [or_any(brotli), or_any(zstd), or_any(gzip), plain];
        Self { weights, dictionary: None }
    }

    /// Reads a map of headers, `Available-Dictionary` among them.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT_ENCODING).iter().map(http::HeaderValue::as_bytes);
        let Self { weights, .. } = Self::parse(lines);
        let otherwise = weights.into_iter().max().unwrap_or_default();
        Self { weights, dictionary: DictionaryId::offered(headers, otherwise) }
    }

    /// The dictionary that the client has, where it prefers what is made with it.
    pub fn dictionary(&self) -> Option<DictionaryId> {
        self.dictionary
    }

    /// The acceptable encodings, the most welcome first; of equals, that of the smallest bodies.
    pub fn preferred(self) -> impl Iterator<Item = Encoding> {
        let mut order = [0, 1, 2, 3];
        // Stable, and of four: insertions, no allocation.
        order.sort_by_key(|&index| std::cmp::Reverse(self.weights[index]));
        order
            .into_iter()
            .filter(move |&index| self.weights[index] > 0)
            .map(|index| Encoding::ALL[index])
    }
}

fn index_of(name: &[u8]) -> Option<usize> {
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"br") {
        Some(0)
    } else if is(b"zstd") {
        Some(1)
    } else if is(b"gzip") || is(b"x-gzip") {
        Some(2)
    } else if is(b"identity") {
        Some(3)
    } else {
        None
    }
}

/// `gzip;q=0.5` is `("gzip", 500)`. A weight that cannot be read forbids.
pub(super) fn weighted(item: &[u8]) -> (&[u8], u16) {
    let mut parts = item.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| part.strip_prefix(b"q=").or(part.strip_prefix(b"Q=")));
    (name, weight.map_or(1_000, thousandths))
}

/// `qvalue` of RFC 9110 §12.4.2: 0 to 1 with at most three digits after the point.
fn thousandths(text: &[u8]) -> u16 {
    let (whole, digits) = match text {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', digits @ ..] if digits.len() <= 3 => (*whole, digits),
        _ => return 0,
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let digit = |index: usize| u16::from(digits.get(index).map_or(0, |digit| digit - b'0'));
    let part = digit(0) * 100 + digit(1) * 10 + digit(2);
    (u16::from(whole - b'0') * 1_000 + part).min(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(text: &str) -> Vec<Encoding> {
        Accepted::parse(std::iter::once(text.as_bytes())).preferred().collect()
    }

    #[test]
    fn the_smallest_form_goes_to_those_who_accept_it() {
        use Encoding::{Brotli, Gzip, Identity, Zstd};
        for (text, expected) in [
            ("", &[Identity][..]),
            ("gzip", &[Gzip, Identity]),
            ("x-gzip", &[Gzip, Identity]),
            ("gzip, deflate, br, zstd", &[Brotli, Zstd, Gzip, Identity]),
            ("br;q=0.5, GZIP", &[Gzip, Brotli, Identity]),
            ("gzip;q=0.1, identity;q=0.5", &[Identity, Gzip]),
            ("deflate, gzip ; q=1.0", &[Gzip, Identity]),
            ("*", &[Brotli, Zstd, Gzip, Identity]),
            ("*, br;q=0", &[Zstd, Gzip, Identity]),
            ("*;q=0", &[Identity]),
            ("gzip;q=0", &[Identity]),
            ("gzip;q=0.000", &[Identity]),
            ("gzip;q=x", &[Identity]),
            ("gzip;q=1.5, br;q=0.0001", &[Gzip, Identity]),
            ("zstd;q=0.9, br;q=0.901", &[Brotli, Zstd, Identity]),
        ] {
            assert_eq!(order(text), expected, "{text}");
        }
        let several = [&b"gzip;q=0.5"[..], b"br"].into_iter();
        assert_eq!(Accepted::parse(several).preferred().next(), Some(Brotli));
        assert_eq!(Accepted::of(&HeaderMap::new()).preferred().next(), Some(Identity));
        assert_eq!(Accepted::PLAIN.preferred().collect::<Vec<_>>(), [Identity]);
    }
}
