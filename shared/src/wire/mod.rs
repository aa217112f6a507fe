//! What clients and CDNs see of changesets: parameters, redirects, entries, lifetimes.
//!
//! # Source
//!
//! `remote-settings.md` §3.

mod chains;
mod changeset;
mod lifetime;
mod monitor;

pub use chains::{CHAINS, ChainsBase, chain_path, chain_url};
pub use changeset::ChangesetQuery;
pub use lifetime::{is_stale, lifetime};
pub use monitor::{Detour, detour, entry_id};
