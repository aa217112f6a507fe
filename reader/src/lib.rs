//! Verified changesets from memory, behind a CDN.
//!
//! | module | what it holds |
//! |---|---|
//! | [`routes`] | URL to route: the table of contents |
//! | [`server`] | connections: accept, HTTP/1.1 as we speak it, limits, graceful stop |
//! | [`hot`] | the polls that are answered without leaving the connection's loop |
//! | [`answer`] | what goes back: bytes prepared before the request |
//! | [`app`] | what all requests share, and what every answer gets |
//! | [`handlers`] | one file per endpoint |
//! | [`public`] | objects and lists that everybody may read, as Kinto shows them |
//! | [`versions`] | follows the publication watermark and loads what changed |
//! | [`snapshot`] | what is served: verified, rendered and compressed before anybody asks |
//! | [`operators`] | a port of its own for metrics |
//! | [`polish`] | makes the forms of bodies that take long |
//! | [`disk`] | the last good snapshot, from which a reader starts without its database |
//! | [`link`] | which database server is followed, as operators see it |
//! | [`cache`] | answers to `_since`, prepared when first asked for |
//! | [`budget`] | memory for bodies that are made when somebody asks |
//! | [`gate`] | what is done by few at once, and refused to more |
//! | [`config`], [`metrics`] | what operators set, and what they watch |
//! | [`cli`], [`verify`] | the commands |

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod answer;
pub mod app;
pub mod budget;
pub mod cache;
pub mod cli;
pub mod config;
pub mod disk;
pub mod gate;
pub mod handlers;
pub mod hot;
pub mod link;
pub mod metrics;
pub mod operators;
pub mod polish;
pub mod public;
pub mod routes;
pub mod server;
pub mod snapshot;
pub mod verify;
pub mod versions;
