//! Bodies as they come, and as they are.

use std::io::Read;

use bytes::Bytes;
use flate2::read::GzDecoder;

/// What clients ask for; the last one brings a dictionary along.
pub(super) const ENCODINGS: [&str; 5] = ["identity", "gzip", "zstd", "br", "dcz"];
/// Largest body.
const MOST: u64 = 64 << 20;
/// Largest window (RFC 9842 §5).
const WINDOW_LOG: u32 = 23;
/// What a body in dcz begins with: a magic number, and the dictionary's hash.
const DCZ_HEAD: usize = 40;

/// The plain bytes of a body in this encoding.
///
/// # Errors
///
/// When it is none.
pub(super) fn plain(body: &Bytes, encoding: &str, dictionary: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = body.as_ref();
    let read = match encoding {
        "" => Ok(bytes.to_vec()),
        "gzip" => all(GzDecoder::new(bytes)),
        "zstd" => zstd::stream::read::Decoder::new(bytes).and_then(all),
        "br" => all(brotli::Decompressor::new(bytes, 16 * 1024)),
        "dcz" => {
            let frame = bytes.get(DCZ_HEAD..).unwrap_or_default();
            zstd::stream::read::Decoder::with_ref_prefix(frame, dictionary)
                .and_then(|mut decoder| decoder.window_log_max(WINDOW_LOG).map(|()| decoder))
                .and_then(all)
        }
        _ => return Err(format!("nobody asked for {encoding}")),
    };
    read.map_err(|error| format!("no {encoding}: {error}"))
}

fn all(reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    reader.take(MOST).read_to_end(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn every_encoding_is_read() {
        let text = b"countersign".repeat(50);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&text).unwrap();
        let mut brotli = Vec::new();
        brotli::CompressorReader::new(&text[..], 4_096, 4, 20).read_to_end(&mut brotli).unwrap();
        let mut dcz =
            zstd::stream::write::Encoder::with_ref_prefix(vec![0; 40], 3, b"counter").unwrap();
        dcz.write_all(&text).unwrap();
        for (encoding, body) in [
            ("", text.clone()),
            ("gzip", gzip.finish().unwrap()),
            ("zstd", zstd::encode_all(&text[..], 3).unwrap()),
            ("br", brotli),
            ("dcz", dcz.finish().unwrap()),
        ] {
            assert_eq!(plain(&body.into(), encoding, b"counter").unwrap(), text, "{encoding}");
        }
        for encoding in ["gzip", "zstd", "br", "dcz", "deflate"] {
            assert!(plain(&Bytes::from_static(b"nonsense"), encoding, b"").is_err(), "{encoding}");
        }
    }
}
