//! `signature.*`: what must hold before something is shown.

use std::path::Path;

use shared::{chain::RootHash, config::Layers, signature::PublicKey};

/// What happens with signatures that do not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not shown.
    Enforce,
    /// Shown, logged and counted.
    Warn,
    /// Not looked at.
    Off,
}

/// What must hold before a collection is shown.
#[derive(Debug, Clone)]
pub struct SignatureRules {
    /// What happens otherwise.
    pub mode: Mode,
    /// The keys that count; without any, and without roots, the one beside each signature.
    pub keys: Vec<PublicKey>,
    /// Roots whose chains count.
    pub roots: Vec<RootHash>,
    /// The domain of the chains' end entities.
    pub domain: String,
    unsigned: Vec<String>,
}

impl SignatureRules {
    /// Whether the collection may be shown without any signature.
    pub fn may_be_unsigned(&self, bucket: &str, collection: &str) -> bool {
        let bucket_uri = format!("/buckets/{bucket}");
        let uri = format!("{bucket_uri}/collections/{collection}");
        self.unsigned.iter().any(|known| *known == bucket_uri || *known == uri)
    }
}

impl SignatureRules {
    pub(super) fn read(layers: &mut Layers) -> Self {
        let modes = [("enforce", Mode::Enforce), ("warn", Mode::Warn), ("off", Mode::Off)];
        let mode = layers.choice("signature.verify", &modes).unwrap_or(Mode::Enforce);
        let mut keys = Vec::new();
        for path in layers.lines("signature.public_keys") {
            match read_key(Path::new(&path)) {
                Ok(key) => keys.push(key),
                Err(problem) => layers.problem(format!("signature.public_keys: {path}: {problem}")),
            }
        }
        let unsigned = layers.words("signature.unsigned_resources");
        for uri in &unsigned {
            if !uri.starts_with("/buckets/") {
                let expected = "should be a bucket or collection URI";
                layers.problem(format!("signature.unsigned_resources: `{uri}` {expected}"));
            }
        }
        let mut roots = Vec::new();
        for text in layers.words("signature.root_hashes") {
            match RootHash::parse(&text) {
                Ok(root) => roots.push(root),
                Err(expected) => layers.problem(format!("signature.root_hashes: {expected}")),
            }
        }
        let domain = layers.required("signature.domain", "the domain of end entities");
        Self { mode, keys, roots, domain, unsigned }
    }
}

/// Reads one PEM public key.
///
/// # Errors
///
/// What is wrong with the file, as text.
pub fn read_key(path: &Path) -> Result<PublicKey, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    PublicKey::from_pem(&pem).map_err(|error| error.to_string())
}
