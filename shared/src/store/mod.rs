//! PostgreSQL: the pool, the migrations, and the reads that both services run.

pub mod migrate;
mod pool;
pub mod public;
pub mod published;
mod tx;

pub use pool::pool;
pub use tx::{Parameters, Tx, Write};
