//! Signing with a P-384 key from a file (`remote-settings.md` §2.5).

use std::{fs::OpenOptions, io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ecdsa::signature::Signer as _;
use p384::{
    SecretKey,
    ecdsa::{Signature, SigningKey},
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding},
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use shared::{
    canonical::PREFIX,
    signature::{ContentSignature, MODE, PublicKey},
};

/// A key of our own. Signatures are deterministic (RFC 6979).
pub struct LocalSigner {
    key: SigningKey,
    public: PublicKey,
    public_base64: String,
}

impl std::fmt::Debug for LocalSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalSigner").field("public", &self.public).finish_non_exhaustive()
    }
}

impl LocalSigner {
    /// From a PEM text: SEC1 or PKCS#8.
    ///
    /// # Errors
    ///
    /// What is wrong, as text.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let secret = read_key(pem)?;
        let spki = secret
            .public_key()
            .to_public_key_der()
            .map_err(|error| format!("its public key: {error}"))?;
        Ok(Self {
            key: SigningKey::from(&secret),
            public: PublicKey::from_spki_der(spki.as_bytes()).map_err(|error| error.to_string())?,
            public_base64: STANDARD.encode(spki.as_bytes()),
        })
    }

    /// Signs a canonical document; the prefix is added here.
    pub fn sign(&self, document: &[u8]) -> ContentSignature {
        let signature: Signature = self.key.sign(&[PREFIX, document].concat());
        ContentSignature {
            signature: URL_SAFE_NO_PAD.encode(signature.to_bytes()),
            x5u: String::new(),
            mode: MODE.to_owned(),
            public_key: Some(self.public_base64.clone()),
            kind: None,
            signer_id: None,
            reference: None,
        }
    }

    /// The key that verifies.
    pub fn public_key(&self) -> &PublicKey {
        &self.public
    }
}

/// A private key from a PEM text: SEC1 or PKCS#8.
///
/// # Errors
///
/// What is expected, as text.
pub(crate) fn read_key(pem: &str) -> Result<SecretKey, String> {
    // This PEM reader does not mind how long the lines are; OpenSSL's differ from RFC 7468's.
    let key = match PrivateKeyDer::from_pem_slice(pem.as_bytes()) {
        Ok(PrivateKeyDer::Sec1(der)) => SecretKey::from_sec1_der(der.secret_sec1_der()).ok(),
        Ok(PrivateKeyDer::Pkcs8(der)) => from_pkcs8(der.secret_pkcs8_der()),
        _ => None,
    };
    key.ok_or_else(|| "not a P-384 private key in PEM (SEC1 or PKCS#8)".to_owned())
}

/// Some tools write version 2 (RFC 5958) without the public key that it promises; read as version
/// 1, which promises none, the key is good.
fn from_pkcs8(der: &[u8]) -> Option<SecretKey> {
    SecretKey::from_pkcs8_der(der).ok().or_else(|| {
        let mut der = zeroize::Zeroizing::new(der.to_vec());
        match der.as_mut_slice() {
            [0x30, 0x81, _, 2, 1, version @ 1, ..] => *version = 0,
            _ => return None,
        }
        SecretKey::from_pkcs8_der(&der).ok()
    })
}

/// Makes a key pair: `private-key.pem` (PKCS#8, mode 600) and `public-key.pem` in `directory`.
///
/// # Errors
///
/// What failed; an existing key is never overwritten.
pub fn generate(directory: &Path) -> Result<(), String> {
    std::fs::create_dir_all(directory)
        .map_err(|error| format!("{}: {error}", directory.display()))?;
    write_pair(directory, &random_key()?)
}

/// Writes a key pair to files that must not exist.
pub(crate) fn write_pair(directory: &Path, secret: &SecretKey) -> Result<(), String> {
    let public =
        secret.public_key().to_public_key_pem(LineEnding::LF).map_err(|error| error.to_string())?;
    write_key(&directory.join("private-key.pem"), secret)?;
    create(&directory.join("public-key.pem"), public.as_bytes(), 0o644)
}

/// Writes a private key to a file that must not exist, and that its owner alone may read.
pub(crate) fn write_key(path: &Path, secret: &SecretKey) -> Result<(), String> {
    let private = secret.to_pkcs8_pem(LineEnding::LF).map_err(|error| error.to_string())?;
    create(path, private.as_bytes(), 0o600)
}

/// A scalar is out of range once in 2^190 times; then another one is drawn.
pub(crate) fn random_key() -> Result<SecretKey, String> {
    let random = SystemRandom::new();
    loop {
        let mut bytes = zeroize::Zeroizing::new([0; 48]);
        random.fill(bytes.as_mut()).map_err(|_| "the system has no randomness")?;
        if let Ok(key) = SecretKey::from_slice(bytes.as_ref()) {
            return Ok(key);
        }
    }
}

/// Writes a file that must not exist.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), String> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn vectors() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/signatures.json");
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_vectors() {
        let vectors = vectors();
        for vector in vectors["signatures"].as_array().unwrap() {
            let key = &vectors["keys"][vector["key"].as_str().unwrap()];
            for form in ["private_key_sec1_pem", "private_key_pkcs8_pem"] {
                let signer = LocalSigner::from_pem(key[form].as_str().unwrap()).unwrap();
                let document = vector["canonical"].as_str().unwrap().as_bytes();

                let signature = signer.sign(document);

                assert_eq!(signature.signature, vector["signature_rfc6979"].as_str().unwrap());
                assert_eq!(signature.public_key.as_deref(), key["public_key_b64"].as_str());
                assert_eq!(signature.verify(signer.public_key(), document), Ok(()));
            }
        }
    }

    #[test]
    fn a_new_key_signs_and_an_old_one_is_never_overwritten() {
        let directory = std::env::temp_dir().join(format!("keygen-{}", std::process::id()));

        generate(&directory).unwrap();

        let private = std::fs::read_to_string(directory.join("private-key.pem")).unwrap();
        let public = std::fs::read(directory.join("public-key.pem")).unwrap();
        let signer = LocalSigner::from_pem(&private).unwrap();
        assert_eq!(*signer.public_key(), PublicKey::from_pem(&public).unwrap());
        assert!(generate(&directory).unwrap_err().contains("exists"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
