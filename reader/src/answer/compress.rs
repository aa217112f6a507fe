//! Compression, in two paces: at once, and as small as can be when there is time.

use std::io::Write as _;

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::Encoding;

/// How much time compression may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A client waits.
    Quick,
    /// Nobody waits.
    Thorough,
}

/// Bodies above so many bytes are never worth the highest levels: they would take minutes.
const HUGE: usize = 4 * 1024 * 1024;

/// Compresses; nothing when that would not make it smaller, or the library refuses.
pub fn compress(body: &[u8], encoding: Encoding, pace: Pace) -> Option<Bytes> {
    let mut compressed = match encoding {
        Encoding::Identity => None,
        Encoding::Gzip => gzip(body),
        Encoding::Zstd => zstd::bulk::compress(body, zstd_level(body.len(), pace)).ok(),
        Encoding::Brotli => brotli(body, pace),
    }?;
    if compressed.len() >= body.len() {
        return None;
    }
    // Most are kept for long, and were made in more space than they take.
    compressed.shrink_to_fit();
    Some(Bytes::from(compressed))
}

/// The library's default level, at either pace.
fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3 + 64), Compression::new(6));
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

fn zstd_level(length: usize, pace: Pace) -> i32 {
    match pace {
        Pace::Quick => 3,
        Pace::Thorough if length > HUGE => 9,
        Pace::Thorough => 17,
    }
}

fn brotli(body: &[u8], pace: Pace) -> Option<Vec<u8>> {
    let quality = match pace {
        Pace::Quick => 4,
        Pace::Thorough if body.len() > HUGE => 6,
        // From 9 on, tables of 32 MB are cleared for each body, and little is won.
        Pace::Thorough => 7,
    };
    let params = brotli::enc::BrotliEncoderParams {
        quality,
        lgwin: brotli_window(body.len()),
        size_hint: body.len(),
        ..Default::default()
    };
    let mut out = Vec::with_capacity(body.len() / 4 + 64);
    brotli::BrotliCompress(&mut &*body, &mut out, &params).ok()?;
    Some(out)
}

/// The base-2 logarithm of a window that holds all of `length` bytes, as far as decoders must allow it
/// (RFC 7932 §9.1 has at most 24; 22 is what encoders take by default). A larger one only takes memory.
fn brotli_window(length: usize) -> i32 {
    let bits = usize::BITS - length.leading_zeros();
    bits.clamp(16, 22).try_into().unwrap_or(22)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    fn decompress(body: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut out = Vec::new();
        match encoding {
            Encoding::Identity => out.extend_from_slice(body),
            Encoding::Gzip => {
                flate2::read::GzDecoder::new(body).read_to_end(&mut out).unwrap();
            }
            Encoding::Zstd => out = zstd::decode_all(body).unwrap(),
            Encoding::Brotli => {
                brotli::Decompressor::new(body, 4_096).read_to_end(&mut out).unwrap();
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_compressed_comes_back(words in proptest::collection::vec("[a-z]{1,9}", 0..300)) {
            let body = words.join(" ").into_bytes();
            for encoding in Encoding::ALL {
                for pace in [Pace::Quick, Pace::Thorough] {
                    if let Some(small) = compress(&body, encoding, pace) {
                        prop_assert!(small.len() < body.len());
                        prop_assert_eq!(&decompress(&small, encoding), &body);
                    }
                }
            }
        }
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        for encoding in Encoding::ALL {
            assert_eq!(compress(b"{}", encoding, Pace::Thorough), None);
        }
    }
}
