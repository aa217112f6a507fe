//! The reader against a database server of its own: see `deploy/dev/with-postgres.sh`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

mod allocations;
mod chain;
mod changeset;
mod deviations;
mod dictionaries;
mod disk;
mod fixture;
mod front;
mod health;
mod hot;
mod matrix;
mod monitor;
mod outage;
mod pooler;
mod public;
mod roles;
mod signatures;
mod sockets;
mod v2;
mod verify;
