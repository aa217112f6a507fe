//! Logins that have begun: they are kept where every writer finds them, and taken once.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object, Pool};
use serde_json::{Value, json};
use shared::{error::ApiError, store::Tx};
use tokio::time::timeout;

use super::cache;

/// What must be known when the provider sends the user back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The provider's name: a state of one is none of another.
    pub provider: String,
    /// Where the user goes with the tokens.
    pub callback: String,
    /// The secret of PKCE, where the provider knows it.
    pub verifier: Option<String>,
}

/// Keeps a login under its state.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or takes longer than `patience`.
pub async fn begin(
    pool: &Pool,
    patience: Duration,
    state: &str,
    login: &Login,
    lifetime: Duration,
) -> Result<(), ApiError> {
    let Login { provider, callback, verifier } = login;
    let value = json!({"provider": provider, "callback": callback, "verifier": verifier});
    let mut client = pool.get().await?;
    let kept = timeout(patience, keep(&mut client, &key(state), &value, lifetime)).await;
    kept.unwrap_or_else(|_| Err(give_up(client)))
}

/// Takes the login of a state: of two that take it, one gets it.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or takes longer than `patience`.
pub async fn end(pool: &Pool, patience: Duration, state: &str) -> Result<Option<Login>, ApiError> {
    let mut client = pool.get().await?;
    let taken = timeout(patience, take(&mut client, &key(state))).await;
    let Some(value) = taken.unwrap_or_else(|_| Err(give_up(client)))? else { return Ok(None) };
    let text = |member: &str| value[member].as_str().map(str::to_owned);
    let login = |provider, callback| Login { provider, callback, verifier: text("verifier") };
    Ok(text("provider").zip(text("callback")).map(|(provider, callback)| login(provider, callback)))
}

fn key(state: &str) -> String {
    format!("openid:state:{state}")
}

async fn keep(
    client: &mut ClientWrapper,
    key: &str,
    value: &Value,
    lifetime: Duration,
) -> Result<(), ApiError> {
    let tx = Tx::writing(client);
    tx.begin().await?;
    cache::put(&tx, key, value, lifetime).await?;
    tx.commit(Vec::new()).await
}

async fn take(client: &mut ClientWrapper, key: &str) -> Result<Option<Value>, ApiError> {
    let tx = Tx::writing(client);
    tx.begin().await?;
    let value = cache::take(&tx, key).await?;
    tx.commit(Vec::new()).await?;
    Ok(value)
}

/// It may still answer the old question: it is not used again.
fn give_up(client: Object) -> ApiError {
    drop(Object::take(client));
    ApiError::backend("PostgreSQL does not answer")
}
