//! Connections, with the guards that every session has.

use std::{sync::Arc, time::Duration};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio_postgres::Config;

use super::hosts::{Hosts, PoolConnect};
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
    pool_of(settings, Arc::new(Hosts::new(settings, name)?))
}

/// As [`pool`], for hosts that somebody else uses as well.
///
/// # Errors
///
/// When the pool has no size.
pub fn pool_of(settings: &Database, hosts: Arc<Hosts>) -> Result<Pool, ApiError> {
    // Each of the hosts may use up its own time before the next is tried.
    let tries = u32::try_from(hosts.len()).unwrap_or(1);
    let create = settings.connect_timeout * tries + Duration::from_millis(100);
    let manager = Manager::from_connect(
        Config::new(),
        PoolConnect(hosts),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    Pool::builder(manager)
        .max_size(settings.pool_size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(settings.connect_timeout))
        .create_timeout(Some(create))
        .build()
        .map_err(|error| ApiError::Internal(error.into()))
}
