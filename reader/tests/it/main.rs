//! The reader against a database server of its own: see `deploy/dev/with-postgres.sh`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

mod chain;
mod changeset;
mod dictionaries;
mod fixture;
mod front;
mod health;
mod hot;
mod monitor;
mod outage;
mod roles;
mod signatures;
mod sockets;
mod verify;
