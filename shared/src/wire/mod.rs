//! What clients and CDNs see of changesets: parameters, redirects, entries, lifetimes; and what
//! push services see.
//!
//! # Source
//!
//! `remote-settings.md` §3 and §4.

mod broadcasts;
mod capability;
mod chains;
mod changeset;
mod entries;
mod lifetime;
mod monitor;
mod records;
mod surrogate;
mod v2;

pub use broadcasts::{MONITOR_BROADCAST, broadcasts, candidate, debounce, is_young};
pub use capability::capability;
pub use chains::{CHAINS, ChainsBase, chain_path, chain_url};
pub use changeset::ChangesetQuery;
pub use entries::{Entries, Entry, changeset_body, changeset_head, changeset_metadata, entry_id};
pub use lifetime::{is_stale, lifetime};
pub use monitor::{Asked, Detour, about_since, detour, records_detour};
pub use records::records;
pub use surrogate::{SurrogateKey, cache_tag_header, surrogate_key_header};
pub use v2::{default_lifetime, is_too_old};
