//! Who signs: a closed set, so an enum; and which source has which signer.

mod autograph;
mod expiry;
mod hawk;
mod keys;
mod local;
mod x5u;

use std::time::Duration;

use futures_util::future::join_all;
use shared::{error::ApiError, model::ObjectPath, signature::ContentSignature};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

pub use self::local::{LocalSigner, generate};
pub(crate) use self::local::{create, random_key, read_key, write_key, write_pair};
use self::{
    autograph::{Autograph, AutographError},
    keys::{KeyError, Keys},
};
use crate::{
    config::{Backend, OutgoingSettings, Signing},
    pki::Certified,
};

/// What is signed to see whether signing works (`remote-settings.md` §1.20).
const PROBE: &[u8] = b"This is a heartbeat test.";
/// How long its result is remembered.
const HEALTH: Duration = Duration::from_secs(10);
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A configured signer.
#[derive(Debug)]
pub enum Signer {
    /// Keys of our own.
    Local(Keys),
    /// A signing service.
    Autograph(Box<Autograph>),
}

/// Why nothing was signed: nothing is published then (D11).
#[derive(Debug, thiserror::Error)]
pub enum SigningError {
    /// A source without a signer; start-up checks that there is none.
    #[error("no signer is configured for {0}")]
    Missing(ObjectPath),
    /// A key of our own cannot be used.
    #[error("cannot sign: {0}")]
    Local(#[from] KeyError),
    /// The service gave nothing that can be used.
    #[error("the signing service at {0} fails: {1}")]
    Autograph(http::Uri, Box<AutographError>),
}

impl From<SigningError> for ApiError {
    fn from(error: SigningError) -> Self {
        Self::Backend(Box::new(error))
    }
}

impl Signer {
    fn new(backend: &Backend, outgoing: &OutgoingSettings) -> Result<Self, String> {
        match backend {
            Backend::Local(settings) => {
                let problem = |text| format!("signer.ecdsa.private_key: {text}");
                Keys::read(settings).map(Self::Local).map_err(problem)
            }
            Backend::Autograph(settings) => {
                let problem = |error| format!("signer.autograph.server_url: {error}");
                Autograph::new(settings, outgoing)
                    .map(|service| Self::Autograph(Box::new(service)))
                    .map_err(problem)
            }
        }
    }

    /// Signs a canonical document, once for each key, and verifies the result, so that nothing is
    /// stored that clients would refuse (D13). The first signature is the one that clients read
    /// which know of one only.
    ///
    /// # Errors
    ///
    /// [`SigningError`]
    pub async fn sign(&self, document: &[u8]) -> Result<Vec<ContentSignature>, SigningError> {
        match self {
            Self::Local(keys) => Ok(keys.sign(document)?),
            Self::Autograph(service) => service
                .sign(document)
                .await
                .map_err(Box::new)
                .map_err(|error| SigningError::Autograph(service.endpoint().clone(), error)),
        }
    }

    /// Whether signing takes the time of a journey.
    pub const fn is_remote(&self) -> bool {
        match self {
            Self::Local(_) => false,
            Self::Autograph(_) => true,
        }
    }

    /// The chains that signatures may name, as far as they are known.
    fn chains(&self) -> Vec<Certified> {
        match self {
            Self::Local(keys) => keys.chains(),
            Self::Autograph(service) => service.chains(),
        }
    }

    /// Those that new signatures name.
    fn chains_in_use(&self) -> Vec<Certified> {
        match self {
            Self::Local(keys) => keys.chains(),
            Self::Autograph(service) => service.chains_in_use(),
        }
    }
}

/// All signers, and who has which.
#[derive(Debug)]
pub struct Signers {
    all: Vec<Signer>,
    choice: Signing,
    /// When they last worked, or did not: signing costs more than a heartbeat should.
    health: Mutex<Option<(Instant, bool)>>,
}

impl Signers {
    /// Reads the keys; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// What cannot be used of each signer's settings.
    pub fn new(settings: &Signing, outgoing: &OutgoingSettings) -> Result<Self, Vec<String>> {
        let backends = settings.backends.iter();
        let made: Vec<_> = backends.map(|backend| Signer::new(backend, outgoing)).collect();
        let problems: Vec<String> =
            made.iter().filter_map(|result| result.as_ref().err().cloned()).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let all = made.into_iter().flatten().collect();
        Ok(Self { all, choice: settings.clone(), health: Mutex::default() })
    }

    /// Who signs what is published from the collection `source`.
    ///
    /// # Errors
    ///
    /// [`SigningError::Missing`]
    pub fn of(&self, source: &ObjectPath) -> Result<&Signer, SigningError> {
        let found = self.choice.of(source).and_then(|place| self.all.get(place));
        found.ok_or_else(|| SigningError::Missing(source.clone()))
    }

    /// Whether all sign. The answer may be ten seconds old.
    pub async fn probe(&self) -> bool {
        let mut health = self.health.lock().await;
        if let Some((at, works)) = *health
            && at.elapsed() < HEALTH
        {
            return works;
        }
        let probes = join_all(self.all.iter().map(probe));
        let watch = timeout(PATIENCE, join_all(self.all.iter().map(|signer| self.watch(signer))));
        let (works, _) = tokio::join!(probes, watch);
        let works = works.into_iter().all(|works| works);
        *health = Some((Instant::now(), works));
        works
    }

    async fn watch(&self, signer: &Signer) {
        match signer {
            Signer::Local(_) => {}
            Signer::Autograph(service) => service.watch_certificate(self.choice.tls_warning).await,
        }
    }

    /// Reads the keys of our own again. Those that cannot be read stay as they were.
    ///
    /// # Errors
    ///
    /// What is wrong with each.
    pub fn reload(&self) -> Result<(), Vec<String>> {
        let reloaded = self.all.iter().filter_map(|signer| match signer {
            Signer::Local(keys) => keys.reload().err(),
            Signer::Autograph(_) => None,
        });
        let problems: Vec<String> = reloaded.collect();
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The chains that signatures may name: of our own keys, and those of services that were seen.
    pub fn chains(&self) -> Vec<Certified> {
        self.all.iter().flat_map(Signer::chains).collect()
    }

    /// The chains that new signatures name.
    pub fn chains_in_use(&self) -> Vec<Certified> {
        self.all.iter().flat_map(Signer::chains_in_use).collect()
    }
}

/// Whether a signer signs; if not, the log says why.
async fn probe(signer: &Signer) -> bool {
    let problem = match timeout(PATIENCE, signer.sign(PROBE)).await {
        Ok(Ok(_)) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no signature in time".to_owned(),
    };
    tracing::error!(problem, "heartbeat: a signer does not sign");
    false
}
