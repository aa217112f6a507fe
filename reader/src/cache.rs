//! Answers to `_since`, prepared when first asked for.
//!
//! A key names the very list it was made of, so that nothing has to expire; one task prepares an
//! answer however many clients wait for it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use moka::future::Cache;
use prometheus::IntCounter;
use tokio::{sync::Semaphore, task::spawn_blocking};

use crate::{
    answer::{
        Accepted, Encoding, Prepared,
        compress::{Pace, compress},
    },
    snapshot::{Collection, List, Part},
};

/// Parts of lists smaller than this are made where they are asked for.
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

/// Parts that are prepared at once: whoever asks for many different ones waits, and the threads that
/// serve do not.
static PREPARING: Semaphore = Semaphore::const_new(4);

async fn prepare<L: AsList>(owner: Arc<L>, part: Part, encoding: Encoding) -> Arc<Prepared> {
    let is_small = owner.list().full().plain().len() < INLINE_BYTES;
    if is_small {
        return Arc::new(render(owner.list(), part, encoding));
    }
    // The semaphore is never closed.
    let _permit = PREPARING.acquire().await;
    let kept = owner.clone();
    let made = spawn_blocking(move || render(kept.list(), part, encoding)).await;
    Arc::new(made.unwrap_or_else(|_| render(owner.list(), part, Encoding::Identity)))
}

fn render(list: &List, part: Part, encoding: Encoding) -> Prepared {
    let plain = list.render(part);
    match compress(&plain, encoding, Pace::Quick) {
        Some(small) => Prepared::new(small, encoding, list.dress()),
        None => Prepared::new(plain, Encoding::Identity, list.dress()),
    }
}
