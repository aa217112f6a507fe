//! PostgreSQL: the pool, the migrations, and the reads that both services run.

mod hosts;
pub mod migrate;
mod pool;
pub mod public;
pub mod published;
mod tls;
mod tx;

pub use hosts::{Connected, Hosts};
pub use pool::{pool, pool_of};
pub use tls::Opener;
pub use tx::{Parameters, Tx, Write};
