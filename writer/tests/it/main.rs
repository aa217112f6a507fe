//! The writer over HTTP, against a real PostgreSQL: one file a behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod batch;
mod bodies;
mod concurrency;
mod cors;
mod fuzz;
mod harness;
mod json_schemas;
mod objects;
mod openapi;
mod patches;
mod permissions;
mod schema;
mod service;
mod settings;
mod signoff;
mod threats;
