//! PostgreSQL: the pool, the migrations, and the reads that both services run.

pub mod migrate;
mod pool;
pub mod published;

pub use pool::{Snapshot, Tx, pool, snapshot};
