//! Writer and reader on one database: what they answer alike, and what clients verify.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod agreement;
mod certificates;
mod certified;
mod configurations;
mod dashboards;
mod objects;
mod open;
mod pair;
mod rotations;
#[path = "../servers/mod.rs"]
mod servers;
