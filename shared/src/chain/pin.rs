//! What clients pin.

use std::fmt;

use rustls_pki_types::CertificateDer;

/// SHA-256 of a root certificate's DER: what clients pin. Shown as they have it: `C8:A8:0E:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct RootHash([u8; 32]);

impl RootHash {
    /// Parses 64 hexadecimal digits, with or without colons between bytes.
    ///
    /// # Errors
    ///
    /// What is expected, as text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "a root hash is 32 bytes in hexadecimal, with or without colons";
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        if digits.len() != 64 {
            return Err(EXPECTED);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| EXPECTED)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| EXPECTED)?;
        }
        Ok(Self(hash))
    }

    /// The hash of a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

impl fmt::Display for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(index, byte)| {
            let colon = if index == 0 { "" } else { ":" };
            write!(f, "{colon}{byte:02X}")
        })
    }
}

impl fmt::Debug for RootHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_hash_is_64_digits() {
        let hash = "C8:A8:0E:9A:FA:EF:4E:21:9B:6F:B5:D7:A7:1D:0F:10:12:23:BA:C5:00:1A:C2:8F:9B:0D:43:DC:59:A1:06:DB";
        let parsed = RootHash::parse(hash).unwrap();

        assert_eq!(parsed.to_string(), hash);
        assert_eq!(RootHash::parse(&hash.replace(':', "").to_lowercase()), Ok(parsed));
        for bad in ["", "C8", &hash[1..], &hash.replace('C', "G"), &hash.replace('C', "é")] {
            assert!(RootHash::parse(bad).is_err(), "{bad}");
        }
    }
}
