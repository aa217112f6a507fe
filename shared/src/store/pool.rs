//! Connections, with the guards that every session has.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::NoTls;

use crate::{config::Database, error::ApiError};

/// A pool that connects on demand; `name` is shown in `pg_stat_activity`.
///
/// Every session has a statement timeout, a lock timeout and a limit for idle transactions, so
/// that nothing waits without bound.
///
/// # Errors
///
/// When the URL cannot be read.
pub fn pool(settings: &Database, name: &str) -> Result<Pool, ApiError> {
    let mut config: tokio_postgres::Config = settings.url.parse()?;
    // Planning a look-up takes longer than the look-up: a prepared statement is planned once.
    // PostgreSQL keeps a statement's plan. One made while a table was empty, without statistics,
    // would read the whole table when it is full: only where there is no index may it do so. Such
    // a plan seems so dear that PostgreSQL would compile it, for seconds: our statements are short.
    let (statement, lock) = (settings.statement_timeout, settings.lock_timeout);
    let guards = format!(
        "-c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
         -c timezone=UTC -c enable_seqscan=off -c jit=off \
         -c plan_cache_mode=force_generic_plan",
        statement.as_millis(),
        lock.as_millis(),
        (statement * 2).as_millis(),
    );
    let options = config.get_options().map_or(guards.clone(), |own| format!("{guards} {own}"));
    config
        .options(options)
        .application_name(name)
        .connect_timeout(settings.connect_timeout)
        .tcp_user_timeout(statement + Duration::from_secs(5))
        .keepalives_idle(Duration::from_secs(30));
    let manager = Manager::from_config(
        config,
        NoTls,
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(settings.pool_size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.connect_timeout))
        .create_timeout(Some(settings.connect_timeout))
        .build()
        .map_err(|error| ApiError::Internal(error.into()))
}
