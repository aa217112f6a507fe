//! The writer: Kinto's HTTP API, review, signing, publication.
//!
//! The way of a request: [`service`] takes it from the socket, [`routes`] says what it addresses,
//! [`dispatch`] plans it, locks and runs it in one transaction; [`operations`] do what one
//! request asks for, [`pipeline`] what follows from it, and [`store`] holds the SQL.

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod admin;
pub mod app;
pub mod asides;
pub mod authn;
pub mod authz;
pub mod batch;
pub mod body;
pub mod caching;
pub mod config;
pub mod context;
pub mod cors;
pub mod dispatch;
pub mod endpoints;
pub mod failpoint;
mod group_commit;
pub mod ids;
pub mod jobs;
pub mod locks;
pub mod metrics;
pub mod negotiation;
pub mod notices;
pub mod notifications;
pub mod openapi;
pub mod operations;
pub mod outbox;
pub mod outgoing;
mod pages;
pub mod patches;
pub mod pipeline;
pub mod pki;
pub mod plugins;
pub mod purge;
pub mod routes;
pub mod schema;
pub mod service;
pub mod signer;
pub mod signoff;
pub mod step;
pub mod store;
pub mod transaction;
pub mod user;
pub mod work;

pub use service::Writer;
// Known here by the names of their modules, as if they were the writer's own.
pub use shared::{listing, preconditions, python};
