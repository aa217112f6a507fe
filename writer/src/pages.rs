//! Pages of lists that nobody has changed since they were read.
//!
//! A page is kept with the state that its list was in: who asks again in the same state, which the
//! transaction has just seen, gets the same bytes. Nothing is ever invalidated, and writers need
//! not know of each other: in another state of the list the page is not found, and what is not
//! asked for any more makes room.

use bytes::Bytes;
use moka::future::Cache;
use shared::{listing::token::Cursor, model::ListPath};

use crate::store::lookup::ListState;

/// Most bytes of all pages that are kept.
const MAX_BYTES: u64 = 16 << 20;
/// Most numbers of objects that are kept.
const MAX_COUNTS: u64 = 10_000;

/// What a page, or a number of objects, is kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// Of which list, shown whole.
    pub list: ListPath,
    /// In which state.
    pub state: ListState,
    /// The query string, as it was sent.
    pub query: String,
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct Page {
    /// The body of the reply.
    pub body: Bytes,
    /// The place of its last object in the order, if more follow.
    pub next: Option<Cursor>,
}

/// The pages and numbers that one process keeps.
#[derive(Debug)]
pub struct Pages {
    /// Pages.
    pub pages: Cache<Key, Page>,
    /// How many objects there are.
    pub counts: Cache<Key, i64>,
}

impl Default for Pages {
    fn default() -> Self {
        let weigh = |key: &Key, page: &Page| {
            u32::try_from(key.query.len() + page.body.len()).unwrap_or(u32::MAX)
        };
        Self {
            pages: Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).build(),
            counts: Cache::new(MAX_COUNTS),
        }
    }
}
