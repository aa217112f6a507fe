//! Verified changesets from memory, behind a CDN.
//!
//! | module | what it holds |
//! |---|---|
//! | [`routes`] | URL to route: the table of contents |
//! | [`app`] | what all requests share, and the headers of every response |
//! | [`handlers`] | one file per endpoint |
//! | [`versions`] | follows the publication watermark and loads what changed |
//! | [`snapshot`] | what is served: verified, rendered and compressed before anybody asks |
//! | [`disk`] | the last good snapshot, from which a reader starts without its database |
//! | [`link`] | which database server is followed, as operators see it |
//! | [`cache`] | answers to `_since`, prepared when first asked for |
//! | [`config`], [`metrics`] | what operators set, and what they watch |
//! | [`cli`], [`verify`] | the commands |

#![forbid(unsafe_code)]

pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod disk;
pub mod handlers;
pub mod link;
pub mod metrics;
pub mod routes;
pub mod snapshot;
pub mod verify;
pub mod versions;
