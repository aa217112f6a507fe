//! Transactions of a few statements, for what is not an operation on an object or a list; and how
//! long any transaction may take.

use std::time::Duration;

use deadpool_postgres::Object;
use futures_util::future::BoxFuture;
use shared::{error::ApiError, store::Tx};
use tokio::{time::timeout, try_join};

use crate::app::App;

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

/// Writes, and commits.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or does not answer in time.
pub async fn commit<A: Sync, T>(app: &App, about: &A, write: Work<A, T>) -> Result<T, ApiError> {
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
