//! The reader against a database server of its own: see `deploy/dev/with-postgres.sh`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

mod allocations;
mod chain;
mod changeset;
mod clock;
mod deviations;
mod dictionaries;
mod disk;
mod drain;
mod end;
mod files;
mod first_bytes;
mod fixture;
mod flood;
mod front;
mod health;
mod held_back;
mod hot;
mod http2;
mod http2_floods;
mod in_flight;
mod matrix;
mod monitor;
mod outage;
mod overload;
mod pooler;
mod process;
mod public;
mod roles;
mod settings;
mod signals;
mod signatures;
mod sockets;
mod starved;
mod v2;
mod vanished;
mod verify;
