//! Drills: things break on purpose, and a client checks each answer meanwhile.
//!
//! `make test` runs each for a moment, `make drills` for longer: `DRILL_SECONDS` is the length of a
//! fault, `DRILL_DURATION` that of the drill of publications, `DRILL_LONGEST_MS` the longest poll
//! that is allowed. Each has its own PostgreSQL, whose log is shown when that does not start. Which row
//! of the design's tables each of them is: `docs/load-tests.md`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a drill fails where it stands")]

mod client;
mod cluster;
mod encrypted;
mod faults;
mod publications;
#[path = "../servers/mod.rs"]
mod servers;
mod snapshots;
mod stack;
mod standby;

use std::time::Duration;

/// How long a fault lasts.
fn fault() -> Duration {
    Duration::from_secs(number("DRILL_SECONDS", 1))
}

/// The longest poll that is allowed: tests share two cores with others.
fn longest_stall() -> Duration {
    Duration::from_millis(number("DRILL_LONGEST_MS", 2_000))
}

#[expect(clippy::disallowed_methods, reason = "the length of drills is told by the environment")]
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}
