//! Which database server the reader follows, as operators see it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use shared::store::{Hosts, published::Look};

/// The servers, and what the last look at one of them told.
#[derive(Debug)]
pub struct Link {
    hosts: Arc<Hosts>,
    state: Mutex<State>,
}

/// What the last look told.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    /// The server that answered last.
    pub index: Option<usize>,
    /// Whether it is a standby.
    pub is_standby: bool,
    /// How far it is behind what it has received, in milliseconds.
    pub replay_lag_ms: Option<i64>,
    /// How often another server was taken.
    pub switches: u64,
}

impl Link {
    /// Nothing has been asked yet.
    pub fn new(hosts: Arc<Hosts>) -> Self {
        Self { hosts, state: Mutex::default() }
    }

    /// The servers.
    pub fn hosts(&self) -> &Arc<Hosts> {
        &self.hosts
    }

    /// A server answered.
    pub fn saw(&self, index: usize, look: &Look) {
        let mut state = self.lock();
        let is_other = state.index.is_some_and(|last| last != index);
        state.switches += u64::from(is_other);
        (state.index, state.is_standby) = (Some(index), look.is_standby);
        state.replay_lag_ms = look.replay_lag_ms;
        drop(state);
        if is_other {
            tracing::warn!(address = self.hosts.name(index), "another database server is followed");
        }
    }

    /// What the last look told.
    pub fn state(&self) -> State {
        *self.lock()
    }

    /// The server that answered last, as `host:port`.
    pub fn address(&self) -> Option<&str> {
        self.state().index.map(|index| self.hosts.name(index))
    }

    /// As the heartbeat shows it.
    pub fn to_json(&self) -> Value {
        let state = self.state();
        json!({
            "address": self.address(),
            "standby": state.is_standby,
            "replay_lag_ms": state.replay_lag_ms,
            "switches": state.switches,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
