//! The writer over HTTP, against a real PostgreSQL: one file a behaviour.

mod bad_input;
mod batch;
mod concurrency;
mod harness;
mod objects;
mod permissions;
mod schema;
mod service;
mod signoff;
