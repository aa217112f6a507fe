//! Keys of our own, with what clients find their certificates by; read again while we run.

use std::sync::Arc;

use arc_swap::ArcSwap;
use shared::{
    chain::Chain,
    model::Timestamp,
    signature::{ContentSignature, PublicKey, SignatureError},
    wire::chain_url,
};

use super::LocalSigner;
use crate::{
    config::{LocalKey, LocalKeys, Pem},
    pki::Certified,
};

/// A signature that a certificate vouches for (`remote-settings.md` §2.6).
const KIND: &str = "contentsignaturepki";

/// Keys that are replaced as one.
#[derive(Debug)]
pub struct Keys {
    settings: LocalKeys,
    current: ArcSwap<Vec<Key>>,
}

/// A key, ready to sign.
#[derive(Debug)]
struct Key {
    signer: LocalSigner,
    x5u: String,
    chain: Option<Arc<Chain>>,
}

/// Why a key of our own gave no signature.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is only a public one, which signs nothing.
    #[error("Please, specify the private_key location.")]
    NoPrivateKey,
    /// Clients would refuse the signature: its certificate is not valid now.
    #[error("the certificate chain at {0} is not valid at this time")]
    Expired(String),
    /// The signature does not verify: a mistake of ours, or of the machine's.
    #[error("the new signature does not verify: {0}")]
    Wrong(#[from] SignatureError),
}

impl Keys {
    /// Reads the keys and their chains.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where.
    pub fn read(settings: &LocalKeys) -> Result<Self, String> {
        let current = ArcSwap::from_pointee(read_all(settings)?);
        Ok(Self { settings: settings.clone(), current })
    }

    /// Reads them again; if anything is wrong, all stay as they are.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, and where.
    pub fn reload(&self) -> Result<(), String> {
        self.current.store(Arc::new(read_all(&self.settings)?));
        Ok(())
    }

    /// Signs with every key, in their order, and verifies with a second library.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; then none of the signatures is to be used.
    pub fn sign(&self, document: &[u8]) -> Result<Vec<ContentSignature>, KeyError> {
        let keys = self.current.load();
        if keys.is_empty() {
            return Err(KeyError::NoPrivateKey);
        }
        let now = Timestamp::now();
        keys.iter().map(|key| key.sign(document, now)).collect()
    }

    /// The chains that clients find with the signatures of now.
    pub fn chains(&self) -> Vec<Certified> {
        let keys = self.current.load();
        let certified =
            |key: &Key| Some(Certified { x5u: key.x5u.clone(), chain: key.chain.clone()? });
        keys.iter().filter_map(certified).collect()
    }
}

impl Key {
    fn read(settings: &LocalKey) -> Result<Self, String> {
        let signer = named(&settings.private_key, LocalSigner::from_pem)?;
        let Some(pem) = &settings.chain else {
            return Ok(Self { signer, x5u: settings.x5u.clone(), chain: None });
        };
        let chain = named(pem, |text| {
            let chain = Chain::parse(text.as_bytes()).map_err(|error| error.to_string())?;
            if chain.public_key().as_ref() != Ok(signer.public_key()) {
                let key = settings.private_key.name();
                return Err(format!("its first certificate is not for the key of {key}"));
            }
            // Whether it is valid now is asked for each signature: edits need no valid one.
            chain.check().map_err(|error| error.to_string())?;
            if settings.x5u.is_empty() {
                return Err("signer.local.x5u is not set: clients could not find it".to_owned());
            }
            Ok(chain)
        })?;
        let file = chain.file_name();
        let file = file.ok_or_else(|| format!("{}: its name cannot be in a URL", pem.name()))?;
        let x5u = match settings.x5u.as_str() {
            "" => String::new(),
            setting => chain_url(setting, &file).map_err(|problem| format!("x5u {problem}"))?,
        };
        Ok(Self { signer, x5u, chain: Some(Arc::new(chain)) })
    }

    fn sign(&self, document: &[u8], now: Timestamp) -> Result<ContentSignature, KeyError> {
        if self.chain.as_ref().is_some_and(|chain| chain.check_validity(now).is_err()) {
            return Err(KeyError::Expired(self.x5u.clone()));
        }
        let kind = self.chain.is_some().then(|| KIND.to_owned());
        let x5u = self.x5u.clone();
        let signature = ContentSignature { x5u, kind, ..self.signer.sign(document) };
        signature.verify(self.signer.public_key(), document)?;
        Ok(signature)
    }
}

fn read_all(settings: &LocalKeys) -> Result<Vec<Key>, String> {
    let keys = settings.keys.iter().map(Key::read).collect::<Result<Vec<_>, _>>()?;
    // Certificates that end in the same second have the same name.
    for (place, Key { x5u, .. }) in keys.iter().enumerate().filter(|(_, key)| !key.x5u.is_empty()) {
        if keys.iter().take(place).any(|earlier| earlier.x5u == *x5u) {
            return Err(format!("two keys have the chain {x5u}: give one a folder of its own"));
        }
    }
    if let Some(pem) = &settings.public_key {
        let public = named(pem, |text| {
            PublicKey::from_pem(text.as_bytes()).map_err(|error| error.to_string())
        })?;
        if !keys.is_empty() && keys.iter().all(|key| *key.signer.public_key() != public) {
            return Err(format!("{}: it is not the public key of a private one", pem.name()));
        }
    }
    Ok(keys)
}

/// Reads a PEM text; what is wrong is told with its name.
fn named<T>(pem: &Pem, parse: impl FnOnce(&str) -> Result<T, String>) -> Result<T, String> {
    let text = pem.read()?;
    parse(&text).map_err(|problem| format!("{}: {problem}", pem.name()))
}
