//! Answers to `_since`, and parts of the monitor, prepared when first asked for.
//!
//! A key names the very list it was made of, so that nothing has to expire; one task prepares an
//! answer however many clients wait for it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use moka::future::Cache;
use prometheus::IntCounter;
use shared::{error::ApiError, wire::ChangesetQuery};
use tokio::task::spawn_blocking;

use crate::{
    answer::{
        Accepted, Encoding, Prepared,
        compress::{Pace, compress},
    },
    budget::{Budget, Share},
    gate::{Gate, busy},
    snapshot::{Collection, List, Part, Published},
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

/// What an answer needs that is not prepared yet: few are made at once, and all of them together take
/// so much memory.
#[derive(Debug, Clone)]
pub struct Preparing {
    /// For the time.
    pub gate: Gate,
    /// For the memory.
    pub budget: Budget,
}

/// Prepared answers, by what they were made of.
#[derive(Debug, Clone)]
pub struct Deltas {
    cache: Cache<Key, Arc<Prepared>>,
    preparing: Preparing,
    hits: IntCounter,
    misses: IntCounter,
}

impl Deltas {
    /// A cache of at most `max_bytes`.
    pub fn new(max_bytes: u64, preparing: Preparing, hits: IntCounter, misses: IntCounter) -> Self {
        let cache = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|_, form: &Arc<Prepared>| {
                u32::try_from(form.weight() + size_of::<Key>() + 128).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, preparing, hits, misses }
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
    ///
    /// # Errors
    ///
    /// 503 when it would have to be prepared, and too many others are, or are being sent.
    pub async fn form<L: AsList>(
        &self,
        owner: &Arc<L>,
        part: Part,
        accepted: Accepted,
    ) -> Result<Arc<Prepared>, ApiError> {
        let list = owner.list();
        if part == Part::Full {
            return Ok(list.best(accepted).clone());
        }
        let key = key(list, part, accepted);
        if let Some(form) = self.cache.get(&key).await {
            self.hits.inc();
            return Ok(form);
        }
        self.misses.inc();
        if self.preparing.budget.is_spent() {
            // What was pushed out may still wait for being forgotten.
            self.cache.run_pending_tasks().await;
        }
        let making = prepare(owner.clone(), part, key.encoding, &self.preparing);
        // The only kind of error there is, for all who waited.
        self.cache.try_get_with(key, making).await.map_err(|_| busy())
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

async fn prepare<L: AsList>(
    owner: Arc<L>,
    part: Part,
    encoding: Encoding,
    preparing: &Preparing,
) -> Result<Arc<Prepared>, ApiError> {
    let share = || preparing.budget.take(owner.list().length(part));
    let is_small = owner.list().full().plain().len() < INLINE_BYTES;
    if is_small {
        return Ok(Arc::new(render(owner.list(), part, encoding, share()?)));
    }
    // The place first: who waits for one takes no memory yet.
    let (place, first) = (preparing.gate.enter().await?, share()?);
    let kept = owner.clone();
    let made = spawn_blocking(move || {
        // Held until it is done, also when nobody waits for it any more.
        let _place = place;
        render(kept.list(), part, encoding, first)
    });
    if let Ok(made) = made.await {
        return Ok(Arc::new(made));
    }
    Ok(Arc::new(render(owner.list(), part, Encoding::Identity, share()?)))
}

fn render(list: &List, part: Part, encoding: Encoding, share: Share) -> Prepared {
    let plain = list.render(part);
    match compress(&plain, encoding, Pace::Quick) {
        Some(small) => Prepared::part(share.hold(small), encoding, list.dress()),
        None => Prepared::part(share.hold(plain), Encoding::Identity, list.dress()),
    }
}

/// Memory for the parts of monitors that were asked for by bucket or collection, in bytes.
pub const FILTERED_BYTES: u64 = 4 * 1024 * 1024;

/// Which part of which monitor.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wanted {
    serial: u64,
    bucket: Option<String>,
    collection: Option<String>,
    /// Of all that the monitor lists; filters come after it, and the limit after them.
    part: Part,
    limit: usize,
}

/// Parts of the monitor by bucket or collection.
#[derive(Debug, Clone)]
pub struct Filtered {
    cache: Cache<Wanted, Arc<Prepared>>,
    preparing: Preparing,
}

impl Filtered {
    /// Nothing is prepared yet.
    pub fn new(preparing: Preparing) -> Self {
        let cache = Cache::builder()
            .max_capacity(FILTERED_BYTES)
            .weigher(|wanted: &Wanted, form: &Arc<Prepared>| {
                let names = wanted.bucket.iter().chain(&wanted.collection).map(String::len);
                let bytes = form.weight() + names.sum::<usize>() + size_of::<Wanted>() + 128;
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .build();
        Self { cache, preparing }
    }

    /// The part of the monitor that `query` selects.
    ///
    /// # Errors
    ///
    /// 503 when it would have to be prepared, and too many others are, or are being sent.
    pub async fn form(
        &self,
        published: &Published,
        query: &ChangesetQuery,
    ) -> Result<Arc<Prepared>, ApiError> {
        let (monitor, list) = (&published.monitor, &published.monitor.list);
        let make = || Bytes::from(monitor.entries.changeset(query, published.watermark));
        let dressed = |body| Arc::new(Prepared::part(body, Encoding::Identity, list.dress()));
        // Names without end could be asked for: of those that nobody published, nothing is kept.
        if !monitor.entries.has(query) {
            return Ok(dressed(make()));
        }
        let wanted = Wanted {
            serial: list.serial(),
            bucket: query.bucket.clone(),
            collection: query.collection.clone(),
            part: list.part(query.since, None),
            limit: query.limit.unwrap_or(usize::MAX).min(monitor.entries.iter().count()),
        };
        let making = async {
            let _place = self.preparing.gate.enter().await?;
            let share = self.preparing.budget.take(list.full().plain().len())?;
            Ok(dressed(share.hold(make())))
        };
        if self.preparing.budget.is_spent() {
            self.cache.run_pending_tasks().await;
        }
        self.cache.try_get_with(wanted, making).await.map_err(|_: Arc<ApiError>| busy())
    }
}
