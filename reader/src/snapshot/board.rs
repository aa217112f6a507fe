//! Where the follower puts what it loaded, and handlers take it from.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;
use shared::{model::Timestamp, wire::debounce};
use tokio::{sync::watch, time::timeout};

use super::Published;

/// Of [`Board::confirmed`].
const NEVER: i64 = i64::MIN;

/// The present state, and how fresh it is.
#[derive(Debug)]
pub struct Board {
    published: ArcSwapOption<Published>,
    moves: watch::Sender<()>,
    begun: Instant,
    /// When the database last confirmed the state, in milliseconds after `begun`, or before it; or
    /// [`NEVER`]. Ages must not jump with the system's clock.
    confirmed: AtomicI64,
    /// The watermark that the database has, as last seen.
    seen: AtomicI64,
    reachable: AtomicBool,
    older: AtomicBool,
    broadcast: Mutex<Broadcast>,
}

/// What push services are told.
#[derive(Debug, Default)]
struct Broadcast {
    /// By the writer, for all readers.
    common: Option<Timestamp>,
    /// By this reader, while there is no common value.
    own: Option<Timestamp>,
    /// What was told last.
    told: Option<Timestamp>,
    /// Whether that was logged.
    is_lonely: bool,
}

impl Broadcast {
    fn value(
        &mut self,
        newest: impl FnOnce() -> Option<Timestamp>,
        now: Timestamp,
        interval_ms: i64,
    ) -> Option<Timestamp> {
        if self.common.is_some() {
            return self.common;
        }
        self.own = debounce(self.own, newest(), now, interval_ms);
        if self.own.is_some() && !std::mem::replace(&mut self.is_lonely, true) {
            tracing::warn!(
                "no writer has computed a broadcast; this reader's may differ from others'"
            );
        }
        self.own
    }
}

impl Default for Board {
    fn default() -> Self {
        Self {
            published: ArcSwapOption::empty(),
            moves: watch::Sender::new(()),
            begun: Instant::now(),
            confirmed: AtomicI64::new(NEVER),
            seen: AtomicI64::new(0),
            reachable: AtomicBool::new(false),
            older: AtomicBool::new(false),
            broadcast: Mutex::default(),
        }
    }
}

impl Board {
    /// What is served now; `None` until the first load.
    pub fn published(&self) -> Option<Arc<Published>> {
        self.published.load_full()
    }

    /// Serves `published` from now on.
    pub fn publish(&self, published: Published) {
        self.published.store(Some(Arc::new(published)));
        self.moves.send_replace(());
    }

    /// Tells of each state that is served from now on.
    pub fn moves(&self) -> watch::Receiver<()> {
        self.moves.subscribe()
    }

    /// The database answered with this watermark. Whether it had been away.
    pub fn saw(&self, watermark: Timestamp) -> bool {
        self.seen.store(watermark.as_millis(), Ordering::Relaxed);
        !self.reachable.swap(true, Ordering::Relaxed)
    }

    /// What is served is what the database has now.
    pub fn confirm(&self) {
        self.confirm_as_of(0);
    }

    /// What is served is what the database had so many milliseconds ago.
    pub fn confirm_as_of(&self, age_ms: i64) {
        self.confirmed.store(self.elapsed_ms() - age_ms.max(0), Ordering::Relaxed);
        self.older.store(false, Ordering::Relaxed);
    }

    fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// The value that the writer has computed for push services, if any, belongs to what is served.
    pub fn tell(&self, broadcast: Option<Timestamp>) {
        let mut state = self.broadcast.lock().unwrap_or_else(PoisonError::into_inner);
        // A standby may be behind the server that was asked before.
        state.common = broadcast.max(state.common);
    }

    /// The value for push services, which is `most` at the most: the writer's, or else one of our own,
    /// which other readers may not have (`remote-settings.md` §4.1). Where it is more, what was told
    /// last stays: browsers would ask for what they cannot get.
    pub fn broadcast(
        &self,
        newest: impl FnOnce() -> Option<Timestamp>,
        most: Option<Timestamp>,
        now: Timestamp,
        interval_ms: i64,
    ) -> Option<Timestamp> {
        let mut state = self.broadcast.lock().unwrap_or_else(PoisonError::into_inner);
        let value = state.value(newest, now, interval_ms);
        let is_servable = |value: &Timestamp| most.is_none_or(|most| *value <= most);
        state.told = value.filter(is_servable).or(state.told.filter(is_servable));
        state.told
    }

    /// The database is older than what was served. Whether this is news.
    pub fn refuse_older(&self) -> bool {
        !self.older.swap(true, Ordering::Relaxed)
    }

    /// The database did not answer. Whether this is news.
    pub fn lost(&self) -> bool {
        self.reachable.swap(false, Ordering::Relaxed)
    }

    /// Whether the database answered lately.
    pub fn is_reachable(&self) -> bool {
        self.reachable.load(Ordering::Relaxed)
    }

    /// Whether the database is older than what is served.
    pub fn is_database_older(&self) -> bool {
        self.older.load(Ordering::Relaxed)
    }

    /// Milliseconds since what is served was confirmed by the database.
    pub fn age_ms(&self) -> Option<i64> {
        let confirmed = self.confirmed.load(Ordering::Relaxed);
        (confirmed != NEVER).then(|| (self.elapsed_ms() - confirmed).max(0))
    }

    /// How much later the database's watermark is than the one that is served.
    pub fn lag_ms(&self) -> i64 {
        let served = self.published().map_or(0, |published| published.watermark.as_millis());
        (self.seen.load(Ordering::Relaxed) - served).max(0)
    }

    /// Waits until what is served satisfies `is_there`, `at_most` so long.
    pub async fn wait_for(&self, is_there: impl Fn(&Published) -> bool, at_most: Duration) {
        let mut moves = self.moves.subscribe();
        let arrival = async {
            while !self.published().is_some_and(|published| is_there(&published)) {
                if moves.changed().await.is_err() {
                    return;
                }
            }
        };
        // Late is no error: the answer says so by its lifetime.
        let _ = timeout(at_most, arrival).await;
    }
}
