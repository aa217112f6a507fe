//! The certificate chain behind a signature (`x5u`): end entity, intermediate, root.
//!
//! # Source
//!
//! `remote-settings.md` §2.9-2.10. Where verifiers differ, the strictest rule is applied.

mod pin;
mod rules;

use std::fmt;

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use x509_cert::{
    Certificate,
    der::{Decode as _, EncodePem as _, pem::LineEnding},
};

pub use self::pin::RootHash;
use crate::{
    model::Timestamp,
    signature::{PublicKey, SignatureError},
};

/// `2026-12-27-08-20-52`, as the names of chain files have it (§2.9).
const FILE_TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]-[hour]-[minute]-[second]");

/// The place of a certificate in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The end entity, whose key signs content.
    Leaf,
    /// Its issuer.
    Intermediate,
    /// The issuer of that, which clients pin.
    Root,
}

impl Role {
    /// All, in the order of a chain.
    pub const ALL: [Self; 3] = [Self::Leaf, Self::Intermediate, Self::Root];

    /// As metrics and messages name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Intermediate => "intermediate",
            Self::Root => "root",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a chain is not to be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not three certificates in PEM: end entity, intermediate, root.
    #[error("the chain is not three certificates in PEM ({0})")]
    Form(&'static str),
    /// The last certificate is not a pinned root.
    #[error("the chain's root is not the expected one: {0}")]
    Root(RootHash),
    /// It begins later.
    #[error("the {0} certificate is not valid yet")]
    Early(Role),
    /// It ended.
    #[error("the {0} certificate has expired")]
    Expired(Role),
    /// It may not be used for this.
    #[error("the {0} certificate {1}")]
    Purpose(Role, &'static str),
    /// A signature or constraint in the chain does not hold.
    #[error("the chain does not hold: {0}")]
    Path(String),
    /// The end entity is made for another name.
    #[error("the certificate is not for {0}")]
    Name(String),
}

/// Three certificates, read and not yet trusted.
#[derive(Debug, Clone)]
pub struct Chain {
    der: [CertificateDer<'static>; 3],
    parsed: [Certificate; 3],
}

impl Chain {
    /// Reads PEM. Blank lines and CR are tolerated, as browsers do; anything else beside the
    /// certificates is not, as Autograph does.
    ///
    /// # Errors
    ///
    /// [`ChainError::Form`].
    pub fn parse(pem: &[u8]) -> Result<Self, ChainError> {
        if !is_certificates_only(pem) {
            return Err(ChainError::Form("something else is beside them"));
        }
        let der: [CertificateDer<'static>; 3] = CertificateDer::pem_slice_iter(pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| ChainError::Form("not PEM"))?
            .try_into()
            .map_err(|_| ChainError::Form("another number of certificates"))?;
        let parsed = der
            .iter()
            .map(|der| Certificate::from_der(der))
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .and_then(|parsed| parsed.try_into().ok())
            .ok_or(ChainError::Form("a certificate is not DER"))?;
        Ok(Self { der, parsed })
    }

    /// Checks the chain and returns the end entity's key.
    ///
    /// `roots` are the pinned roots, `host` the name that the end entity must carry, exactly but
    /// for case.
    ///
    /// # Errors
    ///
    /// [`ChainError`], the first rule that does not hold.
    pub fn verify(
        &self,
        roots: &[RootHash],
        host: &str,
        now: Timestamp,
    ) -> Result<PublicKey, ChainError> {
        let root = self.root_hash();
        if !roots.contains(&root) {
            return Err(ChainError::Root(root));
        }
        rules::check_validity(&self.parsed, now)?;
        rules::check_purposes(&self.parsed)?;
        rules::check_path(&self.der, now)?;
        rules::check_name(&self.parsed[0], host)?;
        self.public_key().map_err(|error| ChainError::Path(error.to_string()))
    }

    /// Checks what does not depend on the time, nor on whom clients trust.
    ///
    /// # Errors
    ///
    /// [`ChainError`], the first rule that does not hold.
    pub fn check(&self) -> Result<(), ChainError> {
        let ends = Role::ALL.map(|role| self.validity(role).1);
        let all_valid = ends.into_iter().min().unwrap_or_default();
        rules::check_purposes(&self.parsed)?;
        rules::check_path(&self.der, all_valid)?;
        rules::check_name(&self.parsed[0], &self.host().unwrap_or_default())
    }

    /// Checks that all three certificates are valid.
    ///
    /// # Errors
    ///
    /// [`ChainError::Early`] and [`ChainError::Expired`].
    pub fn check_validity(&self, now: Timestamp) -> Result<(), ChainError> {
        rules::check_validity(&self.parsed, now)
    }

    /// The certificates in PEM, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ChainError::Form`] when a certificate cannot be written, although it was read.
    pub fn to_pem(&self) -> Result<String, ChainError> {
        let certificates = self.parsed.iter().map(|certificate| certificate.to_pem(LineEnding::LF));
        certificates.collect::<Result<_, _>>().map_err(|_| ChainError::Form("not DER"))
    }

    /// The end entity's key, whoever vouches for it.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] when it is not on P-384.
    pub fn public_key(&self) -> Result<PublicKey, SignatureError> {
        webpki::EndEntityCert::try_from(&self.der[0])
            .map_err(|_| SignatureError::Key)
            .and_then(|leaf| PublicKey::from_spki_der(&leaf.subject_public_key_info()))
    }

    /// The hash that clients of this chain pin.
    pub fn root_hash(&self) -> RootHash {
        RootHash::of(&self.der[2])
    }

    /// The end entity's common name.
    pub fn host(&self) -> Option<String> {
        rules::common_name(&self.parsed[0])
    }

    /// The first and the last moment of a certificate, both included.
    pub fn validity(&self, role: Role) -> (Timestamp, Timestamp) {
        rules::validity(&self.parsed[role as usize])
    }

    /// The name of the chain's file: `{cn}-{notAfter}.chain`; `None` when the common name could
    /// not be part of a URL.
    pub fn file_name(&self) -> Option<String> {
        let (_, until) = self.validity(Role::Leaf);
        let host = self.host().filter(|host| {
            !host.starts_with('.')
                && !host.is_empty()
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        })?;
        let until = OffsetDateTime::from_unix_timestamp(until.as_millis() / 1_000).ok()?;
        Some(format!("{host}-{}.chain", until.format(FILE_TIME).ok()?))
    }
}

/// Mozilla's domain of end entities, below which clients expect them.
pub const DOMAIN: &str = "content-signature.mozilla.org";

/// The name that clients expect of the end entity for a bucket's signatures (§2.10).
pub fn expected_host(bucket: &str, domain: &str) -> String {
    let signer = if bucket.contains("security-state") { "onecrl" } else { "remote-settings" };
    format!("{signer}.{domain}")
}

/// Checks a chain in PEM; see [`Chain::parse`] and [`Chain::verify`].
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
    Chain::parse(pem)?.verify(roots, host, now)
}

fn is_certificates_only(pem: &[u8]) -> bool {
    let mut is_inside = false;
    pem.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).all(|line| {
        match (is_inside, line) {
            (false, b"-----BEGIN CERTIFICATE-----") => is_inside = true,
            (true, b"-----END CERTIFICATE-----") => is_inside = false,
            (false, line) => return line.is_empty(),
            (true, _) => (),
        }
        true
    }) && !is_inside
}
