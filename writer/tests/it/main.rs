//! The writer over HTTP, against a real PostgreSQL: one file a behaviour.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod accounts;
mod autograph;
mod bad_input;
mod batch;
mod bodies;
mod concurrency;
mod cors;
mod default_bucket;
mod extras;
mod fuzz;
mod golden_matrix;
mod group_commit;
mod harness;
mod history;
mod history_limits;
mod json_schemas;
mod list_memory;
mod lists;
mod monitor;
mod objects;
mod openapi;
mod openid;
mod openid_tokens;
mod pages;
mod patches;
mod permissions;
mod permissions_endpoint;
mod pki;
mod provider;
mod quotas;
mod schema;
mod service;
mod settings;
mod signers;
mod signing;
mod signoff;
mod signoff_deletion;
mod signoff_digest;
mod signoff_settings;
mod signoff_traps;
mod start;
mod threats;
mod verifiable;
