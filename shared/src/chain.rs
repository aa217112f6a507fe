//! Checking the certificate chain behind a signature (`x5u`) against pinned roots.
//!
//! # Source
//!
//! `remote-settings.md` §2.9-2.10.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime, pem::PemObject as _};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::{
    Certificate,
    der::Decode as _,
    ext::pkix::{BasicConstraints, SubjectAltName, name::GeneralName},
};

use crate::{model::Timestamp, signature::PublicKey};

/// OID 1.3.6.1.5.5.7.3.3, code signing, as DER content.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];

/// SHA-256 of a root certificate's DER: what clients pin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RootHash([u8; 32]);

/// Why a chain is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not three certificates in PEM: end entity, intermediate, root.
    #[error("the chain is not three certificates in PEM ({0})")]
    Form(&'static str),
    /// The last certificate is not a pinned root.
    #[error("the chain's root is not the expected one")]
    Root,
    /// One of the three is not valid at that time.
    #[error("certificate {0} of the chain is not valid at this time")]
    Validity(usize),
    /// A signature, purpose or constraint in the chain does not hold.
    #[error("the chain does not hold: {0}")]
    Path(String),
    /// The end entity is made for another name.
    #[error("the certificate is not for {0}")]
    Name(String),
}

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

    fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

/// Checks the chain and returns the end entity's key.
///
/// `roots` are the pinned roots, `host` the name that the end entity must carry, exactly but for
/// case.
///
/// # Errors
///
/// [`ChainError`], the first rule that does not hold.
pub fn verify(
    pem: &[u8],
    roots: &[RootHash],
    host: &str,
    now: Timestamp,
) -> Result<PublicKey, ChainError> {
    let chain = certificates(pem)?;
    let [leaf, intermediate, root] = chain.as_slice() else {
        return Err(ChainError::Form("another number of certificates"));
    };
    if !roots.contains(&RootHash::of(root)) {
        return Err(ChainError::Root);
    }
    let parsed = chain
        .iter()
        .map(|der| {
            Certificate::from_der(der).map_err(|_| ChainError::Form("a certificate is not DER"))
        })
        .collect::<Result<Vec<_>, _>>()?;
    check_validity(&parsed, now)?;
    check_authorities(&parsed[1..])?;
    check_path(leaf, intermediate, root, now)?;
    check_name(&parsed[0], host)?;

    let end_entity = EndEntityCert::try_from(leaf).map_err(|error| path_error(&error))?;
    PublicKey::from_spki_der(&end_entity.subject_public_key_info())
        .map_err(|error| ChainError::Path(error.to_string()))
}

/// Blank lines and CR are tolerated, as browsers do.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ChainError> {
    CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ChainError::Form("not PEM"))
}

/// All three, the root included, which path building takes for granted.
fn check_validity(chain: &[Certificate], now: Timestamp) -> Result<(), ChainError> {
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    for (index, certificate) in chain.iter().enumerate() {
        let validity = certificate.tbs_certificate().validity();
        let from = validity.not_before.to_unix_duration();
        let until = validity.not_after.to_unix_duration();
        if now < from || until < now {
            return Err(ChainError::Validity(index + 1));
        }
    }
    Ok(())
}

fn check_authorities(authorities: &[Certificate]) -> Result<(), ChainError> {
    let is_authority = |certificate: &Certificate| {
        matches!(
            certificate.tbs_certificate().get_extension::<BasicConstraints>(),
            Ok(Some((_, BasicConstraints { ca: true, .. })))
        )
    };
    if authorities.iter().all(is_authority) {
        Ok(())
    } else {
        Err(ChainError::Path("an issuer is not a certificate authority".to_owned()))
    }
}

/// Signatures, code signing, and the intermediate's name constraints.
fn check_path(
    leaf: &CertificateDer<'_>,
    intermediate: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
    now: Timestamp,
) -> Result<(), ChainError> {
    let anchor = anchor_from_trusted_cert(root).map_err(|error| path_error(&error))?;
    let seconds = u64::try_from(now.as_millis() / 1_000).unwrap_or(0);
    EndEntityCert::try_from(leaf)
        .and_then(|end_entity| {
            end_entity
                .verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &[anchor],
                    std::slice::from_ref(intermediate),
                    UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                    KeyUsage::required(CODE_SIGNING),
                    None,
                    None,
                )
                .map(drop)
        })
        .map_err(|error| path_error(&error))
}

fn path_error(error: &webpki::Error) -> ChainError {
    ChainError::Path(error.to_string())
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of name do not name hosts")]
fn check_name(leaf: &Certificate, host: &str) -> Result<(), ChainError> {
    let names = leaf.tbs_certificate().get_extension::<SubjectAltName>();
    let matches = names.ok().flatten().is_some_and(|(_, SubjectAltName(names))| {
        names.iter().any(|name| match name {
            GeneralName::DnsName(dns) => dns.as_str().eq_ignore_ascii_case(host),
            _ => false,
        })
    });
    if matches { Ok(()) } else { Err(ChainError::Name(host.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_hash_is_64_digits() {
        let hash = "C8:A8:0E:9A:FA:EF:4E:21:9B:6F:B5:D7:A7:1D:0F:10:12:23:BA:C5:00:1A:C2:8F:9B:0D:43:DC:59:A1:06:DB";

        assert_eq!(RootHash::parse(hash), RootHash::parse(&hash.replace(':', "").to_lowercase()));
        assert!(RootHash::parse(hash).is_ok());
        for bad in ["", "C8", &hash[1..], &hash.replace('C', "G"), &hash.replace('C', "é")] {
            assert!(RootHash::parse(bad).is_err(), "{bad}");
        }
    }
}
