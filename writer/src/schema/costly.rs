//! Validations that take long: outside of transactions, and a few at a time, so that they hold up
//! neither connections to PostgreSQL nor each other's memory.

use std::{collections::HashMap, fmt, sync::Arc, thread, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use serde_json::Value;
use shared::error::ApiError;
use tokio::{sync::Semaphore, time::timeout};

use super::{Verdict, compile::Compiled, run};

/// How long a validation waits for others.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why a transaction is rolled back: a validation that is to be done without it.
pub struct Costly {
    key: Vec<u8>,
    compiled: Arc<Compiled>,
    instance: Arc<Value>,
}

impl Costly {
    pub(super) fn new(schema: [u8; 32], compiled: Arc<Compiled>, instance: Arc<Value>) -> Self {
        let mut digest = Context::new(&SHA256);
        digest.update(&schema);
        digest.update(instance.to_string().as_bytes());
        Self { key: digest.finish().as_ref().to_vec(), compiled, instance }
    }

    /// Finds it among errors; any other is given back.
    ///
    /// # Errors
    ///
    /// The other.
    pub fn in_error(error: ApiError) -> Result<Self, ApiError> {
        let ApiError::Backend(source) = error else { return Err(error) };
        match source.downcast::<Self>() {
            Ok(costly) => Ok(*costly),
            Err(source) => Err(ApiError::Backend(source)),
        }
    }
}

impl From<Costly> for ApiError {
    fn from(costly: Costly) -> Self {
        Self::Backend(Box::new(costly))
    }
}

// Neither schema nor object is anybody else's business.
impl fmt::Debug for Costly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Costly").finish_non_exhaustive()
    }
}

impl fmt::Display for Costly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a validation takes long")
    }
}

impl std::error::Error for Costly {}

/// Too many validations that take long wait already.
#[derive(Debug, thiserror::Error)]
#[error("too many objects are being validated")]
pub struct Busy;

/// The turns of validations that take long.
#[derive(Debug)]
pub struct Turns(Semaphore);

impl Default for Turns {
    /// Half of the processors are left to others.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Semaphore::new((processors / 2).max(1)))
    }
}

/// What was judged for one transaction.
#[derive(Debug, Default)]
pub struct Verdicts(HashMap<Vec<u8>, Verdict>);

impl Verdicts {
    /// Judges, when it is its turn.
    ///
    /// # Errors
    ///
    /// [`Busy`] when too many are waiting.
    pub async fn add(&mut self, turns: &Turns, costly: Costly) -> Result<(), ApiError> {
        let busy = || ApiError::Backend(Box::new(Busy));
        let turn = timeout(PATIENCE, turns.0.acquire()).await.map_err(|_| busy())?;
        let _turn = turn.map_err(|_| busy())?;
        let Costly { key, compiled, instance } = costly;
        let verdict = run(move || compiled.validate(&instance)).await.unwrap_or_else(Err);
        self.0.insert(key, verdict);
        Ok(())
    }

    pub(super) fn of(&self, costly: &Costly) -> Option<Verdict> {
        self.0.get(&costly.key).cloned()
    }
}
