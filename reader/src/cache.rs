//! Answers to `_since`, prepared when first asked for.
//!
//! A key names the very list it was made of, so that nothing has to expire; one task prepares an
//! answer however many clients wait for it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use moka::future::Cache;
use prometheus::IntCounter;
use tokio::task::spawn_blocking;

use crate::{
    answer::{
        Accepted, Encoding, Prepared,
        compress::{Pace, compress},
    },
    snapshot::{Collection, List, Part},
};

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
    cache: Cache<Key, Arc<Prepared>>,
    hits: IntCounter,
    misses: IntCounter,
}

impl Deltas {
    /// A cache of at most `max_bytes`.
    pub fn new(max_bytes: u64, hits: IntCounter, misses: IntCounter) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, form: &Arc<Prepared>| {
                u32::try_from(form.weight() + size_of::<Key>() + 128).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, hits, misses }
    }

    /// A part in the form that the client prefers, if it is prepared.
    pub fn ready(&self, list: &List, part: Part, accepted: Accepted) -> Option<Arc<Prepared>> {
        if part == Part::Full {
            return Some(list.best(accepted).clone());
        }
        let form = self.cache.get(&key(list, part, accepted)).now_or_never().flatten();
        if form.is_some() {
            self.hits.inc();
        }
        form
    }

    /// A part in the form that the client prefers.
    pub async fn form<L: AsList>(
        &self,
        owner: &Arc<L>,
        part: Part,
        accepted: Accepted,
    ) -> Arc<Prepared> {
        let list = owner.list();
        if part == Part::Full {
            return list.best(accepted).clone();
        }
        let key = key(list, part, accepted);
        if let Some(form) = self.cache.get(&key).await {
            self.hits.inc();
            return form;
        }
        self.misses.inc();
        self.cache.get_with(key, prepare(owner.clone(), part, key.encoding)).await
    }

    /// Memory that the answers take, nearly.
    pub fn bytes(&self) -> u64 {
        self.cache.weighted_size()
    }
}

fn key(list: &List, part: Part, accepted: Accepted) -> Key {
    let encoding = accepted.preferred().next().unwrap_or(Encoding::Identity);
    Key { serial: list.serial(), part, encoding }
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

async fn prepare<L: AsList>(owner: Arc<L>, part: Part, encoding: Encoding) -> Arc<Prepared> {
    let plain = owner.list().render(part);
    let small = if plain.len() < INLINE_BYTES {
        compress(&plain, encoding, Pace::Quick)
    } else {
        let input = plain.clone();
        spawn_blocking(move || compress(&input, encoding, Pace::Quick)).await.ok().flatten()
    };
    let dress = owner.list().dress();
    Arc::new(match small {
        Some(small) => Prepared::new(small, encoding, dress),
        None => Prepared::new(plain, Encoding::Identity, dress),
    })
}
