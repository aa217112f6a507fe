//! Who signs: a closed set, so an enum.

mod local;

pub use local::{LocalSigner, generate};
use shared::{error::ApiError, model::ObjectPath, signature::ContentSignature};

/// What is signed to see whether signing works (`remote-settings.md` §1.20).
const PROBE: &[u8] = b"This is a heartbeat test.";

/// Which signer signs what.
#[derive(Debug)]
pub struct Signers {
    default: Signer,
}

impl Signers {
    /// One signer for everything.
    pub const fn new(default: Signer) -> Self {
        Self { default }
    }

    /// Who signs what is published from the collection `source`.
    pub const fn of(&self, _source: &ObjectPath) -> &Signer {
        &self.default
    }

    /// Signs a text that nobody needs.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when that fails.
    pub async fn probe(&self) -> Result<(), ApiError> {
        self.default.sign(PROBE).await.map(drop)
    }
}

/// A configured signer.
#[derive(Debug)]
pub enum Signer {
    /// No key: collections cannot be signed.
    None,
    /// A key of our own.
    Local(Box<LocalSigner>),
}

impl Signer {
    /// Signs a canonical document, once for each key, and verifies the result with a second library, so that nothing
    /// is stored that clients would refuse (D13). The first signature is the one that clients read
    /// which know of one only.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when there is no key, or the result does not verify (D11).
    #[expect(clippy::unused_async, reason = "a signing service is to come")]
    pub async fn sign(&self, document: &[u8]) -> Result<Vec<ContentSignature>, ApiError> {
        match self {
            Self::None => Err(ApiError::backend("no signer is configured")),
            Self::Local(signer) => {
                let signature = signer.sign(document);
                signature.verify(signer.public_key(), document).map_err(|error| {
                    ApiError::backend(format!("the new signature does not verify: {error}"))
                })?;
                Ok(vec![signature])
            }
        }
    }
}
