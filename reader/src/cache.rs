//! Answers to `_since`, prepared when first asked for.
//!
//! A key names the very list it was made of, so that nothing has to expire; one task prepares an
//! answer however many clients wait for it.

use bytes::Bytes;
use moka::future::Cache;
use prometheus::IntCounter;
use tokio::task::spawn_blocking;

use std::sync::Arc;

use crate::snapshot::{Collection, Encoding, List, Part, gzip};

/// Bodies smaller than this are compressed where they are asked for.
const INLINE_BYTES: usize = 16 * 1024;

/// Which answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    serial: u64,
    part: Part,
    encoding: Encoding,
}

/// Prepared answers, by what they were made of.
#[derive(Debug, Clone)]
pub struct Deltas {
    cache: Cache<Key, (Bytes, Encoding)>,
    hits: IntCounter,
    misses: IntCounter,
}

impl Deltas {
    /// A cache of at most `max_bytes`.
    pub fn new(max_bytes: u64, hits: IntCounter, misses: IntCounter) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, (body, _): &(Bytes, Encoding)| {
                u32::try_from(body.len() + size_of::<Key>() + 128).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, hits, misses }
    }

    /// The body of a part, and how it is encoded.
    pub async fn body<L: AsList>(
        &self,
        owner: &Arc<L>,
        part: Part,
        encoding: Encoding,
    ) -> (Bytes, Encoding) {
        let list = owner.list();
        if part == Part::Full {
            return list.full().get(encoding);
        }
        let key = Key { serial: list.serial(), part, encoding };
        if let Some(body) = self.cache.get(&key).await {
            self.hits.inc();
            return body;
        }
        self.misses.inc();
        self.cache.get_with(key, prepare(owner.clone(), part, encoding)).await
    }

    /// Memory that the answers take, nearly.
    pub fn bytes(&self) -> u64 {
        self.cache.weighted_size()
    }
}

/// What owns a list, so that a task of its own can render it.
pub trait AsList: Send + Sync + 'static {
    /// The list.
    fn list(&self) -> &List;
}

impl AsList for Collection {
    fn list(&self) -> &List {
        &self.list
    }
}

impl AsList for crate::snapshot::Published {
    fn list(&self) -> &List {
        &self.monitor.list
    }
}

async fn prepare<L: AsList>(owner: Arc<L>, part: Part, encoding: Encoding) -> (Bytes, Encoding) {
    let plain = owner.list().render(part);
    if encoding == Encoding::Identity {
        return (plain, Encoding::Identity);
    }
    let zipped = if plain.len() < INLINE_BYTES {
        gzip(&plain)
    } else {
        let input = plain.clone();
        spawn_blocking(move || gzip(&input)).await.ok().flatten()
    };
    zipped.map_or((plain, Encoding::Identity), |zipped| (zipped, Encoding::Gzip))
}
