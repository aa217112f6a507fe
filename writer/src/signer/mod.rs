//! Who signs: a closed set, so an enum.

mod local;

pub use local::{LocalSigner, generate};
pub(crate) use local::{create, random_key, read_key, write_key, write_pair};
use shared::{error::ApiError, signature::ContentSignature};

/// A configured signer.
#[derive(Debug)]
pub enum Signer {
    /// No key: collections cannot be signed.
    None,
    /// A key of our own.
    Local(Box<LocalSigner>),
}

impl Signer {
    /// Signs a canonical document and verifies the result with a second library, so that nothing
    /// is stored that clients would refuse (D13).
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when there is no key, or the result does not verify (D11).
    pub fn sign(&self, document: &[u8]) -> Result<ContentSignature, ApiError> {
        match self {
            Self::None => Err(ApiError::backend("no signer is configured")),
            Self::Local(signer) => {
                let signature = signer.sign(document);
                signature.verify(signer.public_key(), document).map_err(|error| {
                    ApiError::backend(format!("the new signature does not verify: {error}"))
                })?;
                Ok(signature)
            }
        }
    }
}
