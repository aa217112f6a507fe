//! The certificate chains that signatures name, held in memory as everything that is served.

use std::{collections::HashMap, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use shared::{chain::Chain, wire::chain_path};

/// One chain.
#[derive(Debug)]
pub struct ServedChain {
    /// Its PEM.
    pub body: Bytes,
    /// Its strong `ETag`.
    pub etag: String,
    /// What it says.
    pub chain: Chain,
}

/// All chains, by path below `/v1/cert-chains/`.
#[derive(Debug, Default)]
pub struct Chains(HashMap<String, Arc<ServedChain>>);

impl Chains {
    /// Takes paths and PEM. What was read before is not read again; what is no chain is told, and
    /// left out.
    pub fn new(rows: Vec<(String, String)>, old: Option<&Self>) -> Self {
        let known = |path: &str, pem: &str| {
            let old = old.and_then(|old| old.0.get(path))?;
            (old.body == pem.as_bytes()).then(|| old.clone())
        };
        let served = rows.into_iter().filter_map(|(path, pem)| {
            let chain = known(&path, &pem).or_else(|| read(&path, pem))?;
            Some((path, chain))
        });
        Self(served.collect())
    }

    /// The chain at a path.
    pub fn get(&self, path: &str) -> Option<&Arc<ServedChain>> {
        self.0.get(path)
    }

    /// All of them: paths and PEM.
    pub fn rows(&self) -> impl Iterator<Item = (String, String)> {
        let text = |body: &Bytes| String::from_utf8_lossy(body).into_owned();
        self.0.iter().map(move |(path, served)| (path.clone(), text(&served.body)))
    }

    /// The chain that a signature's `x5u` names, if we have it.
    pub fn of(&self, x5u: &str) -> Option<&Chain> {
        self.0.get(&chain_path(x5u)?).map(|served| &served.chain)
    }
}

fn read(path: &str, pem: String) -> Option<Arc<ServedChain>> {
    match Chain::parse(pem.as_bytes()) {
        Ok(chain) => {
            let hash = URL_SAFE_NO_PAD.encode(digest(&SHA256, pem.as_bytes()));
            Some(Arc::new(ServedChain { body: pem.into(), etag: format!("\"{hash}\""), chain }))
        }
        Err(error) => {
            tracing::error!(path, %error, "a certificate chain in the database is none");
            None
        }
    }
}
