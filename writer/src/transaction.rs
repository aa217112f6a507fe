//! Transactions of a few statements, for what is not an operation on an object or a list; and how
//! long any transaction may take.

use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::BoxFuture;
use shared::{error::ApiError, store::Tx};
use tokio::{time::timeout, try_join};

use crate::app::App;

/// A transaction is run this often before a deadlock is told.
const ATTEMPTS: usize = 8;

/// What is done in a transaction: a function, and not a closure, so that what it borrows comes to
/// it as its second argument.
pub type Work<A, T> =
    for<'a> fn(tx: &'a Tx<'_>, about: &'a A) -> BoxFuture<'a, Result<T, ApiError>>;

/// Reads: all that `read` sees is one state of the database.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or does not answer in time.
pub async fn snapshot<A: Sync, T>(app: &App, about: &A, read: Work<A, T>) -> Result<T, ApiError> {
    let mut client = app.pool.get().await?;
    let work = async {
        let tx = Tx::reading(&mut client);
        let ((), found) = try_join!(tx.begin(), read(&tx, about))?;
        Ok(found)
    };
    match timeout(patience(app), work).await {
        Ok(result) => result,
        Err(_) => Err(give_up(client)),
    }
}

/// Writes, and commits; again after a deadlock.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or does not answer in time.
pub async fn commit<A: Sync, T>(app: &App, about: &A, write: Work<A, T>) -> Result<T, ApiError> {
    let mut failures = 0;
    loop {
        match commit_once(app, about, write).await {
            Ok(done) => return Ok(done),
            Err(error) => try_again(app, error, &mut failures)?,
        }
    }
}

async fn commit_once<A: Sync, T>(app: &App, about: &A, write: Work<A, T>) -> Result<T, ApiError> {
    let mut client = app.pool.get().await?;
    let work = async {
        let tx = Tx::writing(&mut client);
        tx.begin().await?;
        let done = write(&tx, about).await?;
        tx.commit(Vec::new()).await?;
        Ok(done)
    };
    match timeout(patience(app), work).await {
        Ok(result) => result,
        Err(_) => Err(give_up(client)),
    }
}

/// Counts a failure after which a transaction runs again.
///
/// # Errors
///
/// The failure, if a second try would not succeed, or there were too many.
pub fn try_again(app: &App, error: ApiError, failures: &mut usize) -> Result<(), ApiError> {
    *failures += 1;
    if *failures == ATTEMPTS || !is_transient(&error) {
        return Err(error);
    }
    app.metrics.retries.inc();
    tracing::warn!(failures, "transaction runs again after a deadlock");
    Ok(())
}

/// Deadlock, serialisation failure, a statement that was sent behind one of these, or a read that
/// has something to make after all: nothing was done, and a second try succeeds.
fn is_transient(error: &ApiError) -> bool {
    let ApiError::Backend(source) = error else { return false };
    let code = source.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| matches!(code.code(), "40P01" | "40001" | "25006" | "25P02"))
}

/// How long PostgreSQL may take for one transaction: a little longer than it allows itself for
/// one statement, so that its own timeouts are told first.
pub fn patience(app: &App) -> Duration {
    app.config.database.statement_timeout + Duration::from_secs(5)
}

/// A PostgreSQL that hangs does not see its own timeouts. Its connection is not used again.
pub fn give_up(client: Object) -> ApiError {
    drop(Object::take(client));
    ApiError::backend("PostgreSQL does not answer")
}
