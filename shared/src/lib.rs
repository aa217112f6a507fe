//! What the writer and the reader must agree on.
//!
//! | module | what it holds | may use |
//! |---|---|---|
//! | [`model`] | ids, paths, timestamps, permissions: pure values | nothing |
//! | [`canonical`] | the exact bytes that get signed | nothing |
//! | [`json`] | reading JSON that a stranger sent | nothing |
//! | [`python`] | values as the reference's messages show them | nothing |
//! | [`signature`], [`chain`] | checking a content signature and its certificates | `canonical`, `model` |
//! | [`verifiable`] | what every client can read, and verifies the same way | `model` |
//! | [`certificates`] | telling when certificates end | `chain`, `config`, `model`, `telemetry` |
//! | [`error`] | the public error contract | `model` |
//! | [`preconditions`] | `If-Match` and `If-None-Match` | `model`, `error` |
//! | [`listing`] | what a list's query string asks for, and lists in memory | `model`, `error`, `json` |
//! | [`wire`] | what clients and CDNs see of changesets, redirects and lifetimes | `listing`, `http` |
//! | [`config`] | layered, typed, checked settings | `model` |
//! | [`console`] | what commands print | nothing |
//! | [`http`] | accept, limits, requests and replies | `model`, `error`, `telemetry` |
//! | [`store`] | pool, migrations, and the reads that both services run | `model`, `error` |
//! | [`telemetry`] | log format and metrics | nothing |
//! | `testing` | databases and servers for tests (feature `testing`) | everything |

pub mod canonical;
pub mod certificates;
pub mod chain;
pub mod config;
pub mod console;
pub mod error;
pub mod http;
pub mod json;
pub mod listing;
mod log_sink;
pub mod model;
pub mod preconditions;
pub mod python;
pub mod signature;
pub mod store;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod verifiable;
pub mod wire;
