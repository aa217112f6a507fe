//! The certificate chains that a signing service names (`x5u`): fetched, judged as clients judge
//! them, and kept by their URL, since a URL never shows another chain.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::ACCEPT};
use shared::{
    chain::{Chain, ChainError},
    model::Timestamp,
    signature::{ContentSignature, SignatureError},
};

use crate::{
    config::{ChainTrust, OutgoingSettings},
    outgoing::{Outgoing, OutgoingError},
    pki::Certified,
};

/// So many chains are kept. A service has one for each key, and another one after some weeks.
const MOST: usize = 64;

/// The chains of a service.
#[derive(Debug)]
pub(super) struct Chains {
    trust: ChainTrust,
    outgoing: Outgoing,
    seen: Mutex<Seen>,
}

/// Only chains that have vouched for a signature.
#[derive(Debug, Default)]
struct Seen {
    by_url: BTreeMap<String, Arc<Chain>>,
    /// The URL of each key's last one.
    current: BTreeMap<String, String>,
}

/// Why a chain does not vouch for a signature.
#[derive(Debug, thiserror::Error)]
pub enum X5uError {
    /// Its URL cannot be asked.
    #[error(transparent)]
    Url(#[from] http::Error),
    /// It cannot be fetched.
    #[error(transparent)]
    Away(#[from] OutgoingError),
    /// Something else is there.
    #[error("{0} is the answer")]
    Status(StatusCode),
    /// Clients would not trust it.
    #[error(transparent)]
    Untrusted(#[from] ChainError),
    /// Its end entity has not made the signature.
    #[error("its first certificate: {0}")]
    Another(#[from] SignatureError),
}

impl Chains {
    /// Chains are fetched as `outgoing` says, within the time of an answer of the service.
    pub(super) fn new(trust: &ChainTrust, outgoing: &OutgoingSettings) -> Self {
        Self { trust: trust.clone(), outgoing: Outgoing::new(outgoing), seen: Mutex::default() }
    }

    /// Checks that the chain which a signature names is to be trusted now, and that its end entity
    /// has made the signature.
    ///
    /// # Errors
    ///
    /// [`X5uError`], the first rule that does not hold.
    pub(super) async fn check(
        &self,
        key_id: &str,
        signature: &ContentSignature,
        document: &[u8],
    ) -> Result<(), X5uError> {
        let x5u = &signature.x5u;
        let known = self.seen().by_url.get(x5u).cloned();
        let is_good = |chain: &Arc<Chain>| self.judge(chain, signature, document).is_ok();
        let chain = if let Some(chain) = known.filter(is_good) {
            chain
        } else {
            let chain = Arc::new(self.fetch(x5u).await?);
            self.judge(&chain, signature, document)?;
            chain
        };
        self.seen().note(key_id, x5u, chain);
        Ok(())
    }

    /// Those that a signature may name.
    pub(super) fn all(&self) -> Vec<Certified> {
        let seen = self.seen();
        seen.by_url.iter().map(|(x5u, chain)| certified(x5u, chain)).collect()
    }

    /// Each key's last one.
    pub(super) fn in_use(&self) -> Vec<Certified> {
        let seen = self.seen();
        let current = seen.current.values();
        current.filter_map(|x5u| Some(certified(x5u, seen.by_url.get(x5u)?))).collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As `countersign-reader verify` does. Where no root is known, the chain's own is taken for
    /// it; where no name is, the end entity's own.
    fn judge(
        &self,
        chain: &Chain,
        signature: &ContentSignature,
        document: &[u8],
    ) -> Result<(), X5uError> {
        let own = [chain.root_hash()];
        let roots = if self.trust.roots.is_empty() { &own } else { self.trust.roots.as_slice() };
        let host = self.trust.host.clone().or_else(|| chain.host()).unwrap_or_default();
        let key = chain.verify(roots, &host, Timestamp::now())?;
        Ok(signature.verify(&key, document)?)
    }

    async fn fetch(&self, x5u: &str) -> Result<Chain, X5uError> {
        let request =
            Request::get(x5u).header(ACCEPT, HeaderValue::from_static("*/*")).body(Bytes::new())?;
        let reply = self.outgoing.send(request).await?;
        if reply.status() != StatusCode::OK {
            return Err(X5uError::Status(reply.status()));
        }
        Ok(Chain::parse(reply.body())?)
    }
}

impl Seen {
    fn note(&mut self, key_id: &str, x5u: &str, chain: Arc<Chain>) {
        if self.by_url.len() >= MOST && !self.by_url.contains_key(x5u) {
            self.by_url.clear();
        }
        self.by_url.insert(x5u.to_owned(), chain);
        self.current.insert(key_id.to_owned(), x5u.to_owned());
    }
}

fn certified(x5u: &str, chain: &Arc<Chain>) -> Certified {
    Certified { x5u: x5u.to_owned(), chain: chain.clone() }
}
