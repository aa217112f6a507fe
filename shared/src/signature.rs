//! Checking a content signature: ECDSA on P-384 with SHA-384, 96 bytes, base64url.
//!
//! The writer signs with RustCrypto; this check is aws-lc's, so that an error in one library does
//! not hide behind itself.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject as _};
use serde::{Deserialize, Serialize};
use x509_cert::{
    der::{Decode as _, oid::ObjectIdentifier},
    spki::SubjectPublicKeyInfoRef,
};

use crate::canonical::PREFIX;

/// The only algorithm of the protocol, as `mode` names it.
pub const MODE: &str = "p384ecdsa";

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `04`, then both coordinates.
const POINT_BYTES: usize = 97;
/// R and S.
const SIGNATURE_BYTES: usize = 96;

/// One entry of `signatures` in a signed collection's metadata (`remote-settings.md` §2.6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentSignature {
    /// R and S, 96 bytes, base64url without padding.
    pub signature: String,
    /// URL of the certificate chain; empty for a local key.
    #[serde(default)]
    pub x5u: String,
    /// Always [`MODE`].
    pub mode: String,
    /// Base64 of the DER `SubjectPublicKeyInfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// The service's name of the kind of signature: `contentsignaturepki`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Which of the service's keys signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer_id: Option<String>,
    /// The service's request id.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Why a signature, or the key to check it with, is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not 96 bytes of base64url without padding.
    #[error("the signature is not 96 bytes of unpadded base64url")]
    Encoding,
    /// `mode` names another algorithm.
    #[error("the signature's mode is not {MODE}")]
    Mode,
    /// Not a public key on P-384.
    #[error("not a P-384 public key")]
    Key,
    /// Well-formed, and wrong: the content or the key is another one.
    #[error("the signature does not match the content")]
    Mismatch,
}

/// A public key on P-384, checked in form.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: [u8; POINT_BYTES],
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKey").field(&STANDARD.encode(self.point)).finish()
    }
}

impl PublicKey {
    /// From a PEM text with one `PUBLIC KEY`.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] for other PEM, or another curve.
    pub fn from_pem(pem: &[u8]) -> Result<Self, SignatureError> {
        let spki = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| SignatureError::Key)?;
        Self::from_spki_der(&spki)
    }

    /// From a DER `SubjectPublicKeyInfo` (RFC 5480).
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] when it is another kind of key, or not uncompressed.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, SignatureError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| SignatureError::Key)?;
        let is_p384 = spki.algorithm.oid == EC_PUBLIC_KEY
            && spki.algorithm.parameters_oid().is_ok_and(|curve| curve == SECP384R1);
        let point = spki.subject_public_key.raw_bytes();
        match <[u8; POINT_BYTES]>::try_from(point) {
            Ok(point) if is_p384 && point[0] == 4 => Ok(Self { point }),
            _ => Err(SignatureError::Key),
        }
    }

    /// From the `public_key` of a signature: base64 of the DER.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Key`] as above.
    pub fn from_base64(text: &str) -> Result<Self, SignatureError> {
        let der = STANDARD.decode(text).map_err(|_| SignatureError::Key)?;
        Self::from_spki_der(&der)
    }

    /// Checks `signature` over the canonical `document`, prefix excluded.
    ///
    /// # Errors
    ///
    /// [`SignatureError`]; never panics, whatever the input.
    pub fn verify(&self, document: &[u8], signature: &str) -> Result<(), SignatureError> {
        let raw = URL_SAFE_NO_PAD.decode(signature).map_err(|_| SignatureError::Encoding)?;
        self.verify_raw(&[PREFIX, document].concat(), &raw)
    }

    /// Checks the 96 bytes of R and S over any message: what [`Self::verify`] does once all is
    /// decoded.
    ///
    /// # Errors
    ///
    /// [`SignatureError`]; never panics, whatever the input.
    pub fn verify_raw(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        if signature.len() != SIGNATURE_BYTES {
            return Err(SignatureError::Encoding);
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &self.point)
            .verify(message, signature)
            .map_err(|_| SignatureError::Mismatch)
    }
}

impl ContentSignature {
    /// Checks this entry with `key`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`] when the mode is another, or the signature does not verify.
    pub fn verify(&self, key: &PublicKey, document: &[u8]) -> Result<(), SignatureError> {
        if self.mode != MODE {
            return Err(SignatureError::Mode);
        }
        key.verify(document, &self.signature)
    }
}
