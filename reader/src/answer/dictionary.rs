//! Bodies as differences from what the client has already (RFC 9842).

use std::io::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header::ACCEPT_ENCODING};
use shared::config::Layers;

use super::encoding::weighted;

/// As `Content-Encoding` names the differences: Zstandard, with a dictionary.
pub const DCZ: &str = "dcz";
/// Says of an answer for which requests it is a dictionary.
pub const USE_AS_DICTIONARY: HeaderName = HeaderName::from_static("use-as-dictionary");
/// Says which dictionary a client has.
pub const AVAILABLE_DICTIONARY: HeaderName = HeaderName::from_static("available-dictionary");

/// What a body in dcz begins with, before the dictionary's hash: a frame of Zstandard that decoders
/// skip (RFC 9842 §5).
const MAGIC: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 0x20, 0, 0, 0];
/// Every decoder has a window of 8 MB (RFC 9842 §5).
pub const MAX_WINDOW: usize = 1 << WINDOW_LOG;
const WINDOW_LOG: u32 = 23;
/// Bodies above get a lower level: the highest take 4 s for 4 MB, and gain some 100 bytes.
const LARGE: usize = 512 * 1024;

/// The least size of a body for which a difference is worth its headers, in bytes.
const MIN_BODY: usize = 4 * 1024;

/// Which bodies are dictionaries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Dictionaries {
    /// From how many former versions differences are made; 0: there are no dictionaries.
    pub versions: usize,
    /// The size up to which bodies are dictionaries, in bytes.
    pub max_body: usize,
}

impl Dictionaries {
    /// Reads `dictionaries.*`. Two bodies of the largest size are within [`MAX_WINDOW`].
    pub fn read(layers: &mut Layers) -> Self {
        let mut number = |key: &str, most: usize| {
            usize::try_from(layers.number(key, 0, most as u64)).unwrap_or_default()
        };
        Self {
            versions: number("dictionaries.versions", 16),
            max_body: number("dictionaries.max_body_bytes", MAX_WINDOW / 2),
        }
    }

    /// Whether a body of `length` bytes is a dictionary.
    pub fn allow(self, length: usize) -> bool {
        self.versions > 0 && (MIN_BODY..=self.max_body).contains(&length)
    }
}

/// What a resource's bodies are dictionaries for.
#[derive(Debug, Clone)]
pub struct Role {
    /// The value of `Use-As-Dictionary`.
    pub matching: HeaderValue,
    /// Which bodies.
    pub rules: Dictionaries,
}

impl Role {
    /// That of a collection's changesets. None for names that mean something in a URL pattern (RFC
    /// 9842 §2.1): there, a path alone goes for every query, and `/v*` for each version of the API.
    pub fn of(bucket: &str, collection: &str, rules: Dictionaries) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if rules.versions == 0 || !bucket.bytes().chain(collection.bytes()).all(is_plain) {
            return None;
        }
        let path = format!("/v*/buckets/{bucket}/collections/{collection}/changeset*");
        let matching = HeaderValue::try_from(format!("match=\"{path}\"")).ok()?;
        Some(Self { matching, rules })
    }
}

/// A dictionary's name: the SHA-256 of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DictionaryId([u8; 32]);

impl DictionaryId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        Self(hash)
    }

    /// The dictionary that a client has.
    pub fn named(headers: &HeaderMap) -> Option<Self> {
        let mut sent = headers.get_all(AVAILABLE_DICTIONARY).iter();
        let (Some(value), None) = (sent.next(), sent.next()) else { return None };
        Self::parse(value.as_bytes())
    }

    /// The dictionary that a client has, if it takes what is made with it: at least as gladly as
    /// everything else, whose weight is at most `otherwise`. `*` does not name what needs a
    /// dictionary.
    pub fn offered(headers: &HeaderMap, otherwise: u16) -> Option<Self> {
        let named = Self::named(headers)?;
        let accepted = headers.get_all(ACCEPT_ENCODING).iter();
        let weight = accepted
            .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
            .map(weighted)
            .find_map(|(name, weight)| name.eq_ignore_ascii_case(DCZ.as_bytes()).then_some(weight))
            .filter(|weight| *weight > 0 && *weight >= otherwise);
        weight.map(|_| named)
    }

    /// Reads a byte sequence as structured fields have it (RFC 9651 §3.3.5): `:base64:`.
    fn parse(value: &[u8]) -> Option<Self> {
        let text = value.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
        let hash = STANDARD.decode(text).ok()?;
        hash.try_into().ok().map(Self)
    }
}

/// `body` for those who have `dictionary`, whose name is `id`. Both fit in [`MAX_WINDOW`] together.
///
/// # Errors
///
/// When the library refuses.
pub fn dcz(body: &[u8], dictionary: &[u8], id: DictionaryId) -> io::Result<Bytes> {
    let mut out = Vec::with_capacity(body.len() / 16 + 64);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&id.0);
    let is_large = body.len() > LARGE;
    let level = if is_large { 12 } else { 19 };
    let mut encoder = zstd::stream::write::Encoder::with_ref_prefix(out, level, dictionary)?;
    encoder.set_pledged_src_size(Some(body.len() as u64))?;
    encoder.window_log(WINDOW_LOG)?;
    // Costs small bodies bytes, and finds the far end of large ones.
    encoder.long_distance_matching(is_large)?;
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// What a client makes of `body`, as RFC 9842 §5 has it.
    pub(crate) fn decode(body: &[u8], dictionary: &[u8]) -> Vec<u8> {
        let (magic, rest) = body.split_at(8);
        assert_eq!(magic, MAGIC);
        let (hash, frame) = rest.split_at(32);
        assert_eq!(hash, DictionaryId::of(dictionary).0);
        let mut out = Vec::new();
        let mut decoder = zstd::stream::read::Decoder::with_ref_prefix(frame, dictionary).unwrap();
        decoder.window_log_max(WINDOW_LOG).unwrap();
        decoder.read_to_end(&mut out).unwrap();
        out
    }

    fn offered(accept: &[&str], available: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT_ENCODING, value.parse().unwrap());
        }
        for value in available {
            headers.append(AVAILABLE_DICTIONARY, value.parse().unwrap());
        }
        let offered = DictionaryId::offered(&headers, 1_000);
        offered.inspect(|id| assert_eq!(*id, DictionaryId::of(b""))).is_some()
    }

    proptest! {
        #[test]
        fn dictionary_and_difference_give_the_body(
            old in proptest::collection::vec("[a-z]{1,9}", 0..300),
            new in proptest::collection::vec("[a-z]{1,9}", 0..300),
            kept in 0..300_usize,
        ) {
            let dictionary = old.join(" ").into_bytes();
            let kept = &old[..kept.min(old.len())];
            let body = [kept, &new[..]].concat().join(" ").into_bytes();

            let small = dcz(&body, &dictionary, DictionaryId::of(&dictionary)).unwrap();

            prop_assert_eq!(decode(&small, &dictionary), body);
        }
    }

    #[test]
    fn the_largest_bodies_keep_to_the_window_that_every_decoder_has() {
        let mut state = 1_u32;
        let mut noise = |length: usize| -> Vec<u8> {
            let next = |_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            (0..length).map(next).collect()
        };
        let dictionary = noise(MAX_WINDOW / 2);
        let body = [&noise(1_000)[..], &dictionary[1_000..]].concat();

        let small = dcz(&body, &dictionary, DictionaryId::of(&dictionary)).unwrap();

        assert!(small.len() < 4_000, "{}: the dictionary's end is out of reach", small.len());
        assert_eq!(decode(&small, &dictionary), body);
    }

    #[test]
    fn a_dictionary_counts_when_the_client_names_it_and_the_encoding() {
        // SHA-256 of nothing.
        let hash = ":47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert!(offered(&["gzip, br, dcz"], &[hash]));
        assert!(offered(&["gzip", "DCZ;q=1.0"], &[&format!(" {hash} ")]));
        for accept in ["", "gzip", "*", "dcb", "dcz;q=0", "dcz;q=0.9"] {
            assert!(!offered(&[accept], &[hash]), "{accept}");
        }
        for available in [":", "::", "", &hash[1..], ":AAAA:", ":?:", "\"a\""] {
            assert!(!offered(&["dcz"], &[available]), "{available}");
        }
        assert!(!offered(&["dcz"], &[]) && !offered(&["dcz"], &[hash, hash]));
    }

    #[test]
    fn names_that_mean_something_in_a_pattern_make_none() {
        let rules = Dictionaries { versions: 1, max_body: 1 };
        let role = Role::of("main", "a_b-1", rules).unwrap();
        assert_eq!(role.matching, "match=\"/v*/buckets/main/collections/a_b-1/changeset*\"");
        for name in ["a*", ":a", "a?", "(a)", "a\"", "a/b", "{a}", "a\\", "é"] {
            assert!(Role::of("main", name, rules).is_none(), "{name}");
        }
    }
}
