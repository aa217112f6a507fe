//! What clients and CDNs see of changesets: parameters, redirects, entries, lifetimes.
//!
//! # Source
//!
//! `remote-settings.md` §3.

mod changeset;
mod lifetime;
mod monitor;

pub use changeset::ChangesetQuery;
pub use lifetime::{is_stale, lifetime};
pub use monitor::{Detour, detour, entry_id};
