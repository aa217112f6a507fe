//! A transaction whose `BEGIN` and `COMMIT` travel with other statements.
//!
//! PostgreSQL answers statements in the order in which they were sent, and the driver sends a
//! statement when its future is first polled, if it has been prepared before. So
//! `try_join!(tx.begin(), read(&tx), …)` costs one round trip, where awaiting one after the other
//! costs one each. Where the order is a matter of right and wrong, as with `COMMIT`, the statements
//! are prepared first: they are [`Write`]s.

use std::{
    ops::Deref,
    sync::atomic::{AtomicU8, Ordering},
};

use deadpool_postgres::ClientWrapper;
use futures_util::{FutureExt as _, future::try_join_all};
use tokio::try_join;
use tokio_postgres::{Statement, types::ToSql};

use crate::error::ApiError;

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Reads one state of the database: a list's rows, count and `ETag` agree, and so do a
    /// changeset's records, timestamp and signature. Works on a standby.
    Read,
    /// Reads and writes; each statement sees what was committed before it.
    Write,
}

const NEW: u8 = 0;
const BEGUN: u8 = 1;
const ENDED: u8 = 2;

/// A transaction. Statements are those of the client that it derefs to; what they changed is
/// rolled back unless [`Tx::commit`] is called.
#[derive(Debug)]
pub struct Tx<'a> {
    client: &'a ClientWrapper,
    mode: Mode,
    state: AtomicU8,
    guards: Option<&'a str>,
}

impl<'a> Tx<'a> {
    /// A transaction that sees one state of the database and writes nothing.
    ///
    /// Takes the client mutably: two transactions cannot share a connection.
    pub fn reading(client: &'a mut ClientWrapper) -> Self {
        Self { client, mode: Mode::Read, state: AtomicU8::new(NEW), guards: None }
    }

    /// A transaction that may write.
    pub fn writing(client: &'a mut ClientWrapper) -> Self {
        Self { client, mode: Mode::Write, state: AtomicU8::new(NEW), guards: None }
    }

    /// What must be set at its beginning ([`super::Hosts::guards`]).
    pub fn guarded(mut self, guards: Option<&'a str>) -> Self {
        self.guards = guards;
        self
    }

    /// Whether it writes nothing, and sees one state.
    pub fn is_reading(&self) -> bool {
        self.mode == Mode::Read
    }

    /// Begins, once: a second call does nothing. Must be polled before the first statement, and
    /// its error ends the transaction: statements that were sent with it were not part of one, so
    /// nothing that writes is ever sent with it.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn begin(&self) -> Result<(), ApiError> {
        if self.state.compare_exchange(NEW, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return Ok(());
        }
        let text = match self.mode {
            Mode::Read => "begin isolation level repeatable read read only",
            Mode::Write => "begin",
        };
        match self.guards {
            None => self.client.batch_execute(text).await?,
            Some(guards) => self.client.batch_execute(&format!("{text}; {guards}")).await?,
        }
        Ok(())
    }

    /// Prepares a statement, once a connection, and takes its parameters.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn write(&self, text: &str, parameters: Parameters) -> Result<Write, ApiError> {
        Ok(Write { statement: self.client.prepare_cached(text).await?, parameters })
    }

    /// Runs statements in their order, in one round trip.
    ///
    /// # Errors
    ///
    /// The first failure; the transaction can only end then.
    pub async fn run(&self, writes: Vec<Write>) -> Result<(), ApiError> {
        for some in writes.chunks(AT_ONCE) {
            try_join_all(some.iter().map(|write| self.execute_write(write))).await?;
        }
        Ok(())
    }

    /// Runs the last statements, and commits in the same round trip. When one of them fails,
    /// PostgreSQL rolls back instead, and the failure is the statement's.
    ///
    /// # Errors
    ///
    /// The first failure. When PostgreSQL is gone, whether it has committed is not known.
    pub async fn commit(&self, mut writes: Vec<Write>) -> Result<(), ApiError> {
        let last = writes.split_off(writes.len().saturating_sub(AT_ONCE));
        self.run(writes).await?;
        self.state.store(ENDED, Ordering::Release);
        let commit = async { Ok(self.client.batch_execute("commit").await?) };
        // First polled from left to right: the commit is sent when all statements have been.
        try_join!(try_join_all(last.iter().map(|write| self.execute_write(write))), commit)?;
        Ok(())
    }

    async fn execute_write(&self, write: &Write) -> Result<(), ApiError> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            write.parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        self.client.execute(&write.statement, &parameters).await?;
        Ok(())
    }
}

/// So many statements are sent at once; `try_join_all` polls this few in their order.
const AT_ONCE: usize = 16;

/// A statement's parameters.
pub type Parameters = Vec<Box<dyn ToSql + Sync + Send>>;

/// A prepared statement and its parameters.
pub struct Write {
    statement: Statement,
    parameters: Parameters,
}

/// Boxes a statement's parameters.
#[macro_export]
macro_rules! parameters {
    ($($parameter:expr),* $(,)?) => {{
        let boxed: $crate::store::Parameters = vec![$(Box::new($parameter)),*];
        boxed
    }};
}

impl Deref for Tx<'_> {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.client
    }
}

impl Drop for Tx<'_> {
    /// Sends `ROLLBACK` without waiting: whoever uses the connection next is queued behind it.
    fn drop(&mut self) {
        if self.state.load(Ordering::Acquire) == BEGUN {
            let _ = self.client.batch_execute("rollback").now_or_never();
        }
    }
}
