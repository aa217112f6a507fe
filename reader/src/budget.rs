//! Memory for bodies that are made when somebody asks: parts of lists, pages, single objects.
//!
//! A cache forgets such a body, and the slowest client that is being sent it keeps it. So each counts
//! from when it is made until nobody holds any byte of it, once however many are sent it. Beyond the
//! bound nothing new is made: 503, while all that is there already is served.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use prometheus::IntCounter;
use shared::error::ApiError;

/// What a body takes besides its bytes.
const OVERHEAD: u64 = 1_024;

/// The bound, and what is taken of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    most: u64,
    /// From here on, clients must take faster what they were given.
    much: u64,
    used: AtomicU64,
    refused: IntCounter,
}

/// What one body takes, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: u64,
}

/// A body and its share.
struct Held {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Budget {
    /// So many bytes beside those that `caches` may keep. Counts whom it refuses.
    pub fn new(caches: u64, in_flight: u64, refused: IntCounter) -> Self {
        Self(Arc::new(Inner {
            most: caches.saturating_add(in_flight),
            much: caches.saturating_add(in_flight / 2),
            used: AtomicU64::new(0),
            refused,
        }))
    }

    /// A share for a body of so many bytes. The last one may be larger than what is left: else a body
    /// larger than the bound could never be sent.
    ///
    /// # Errors
    ///
    /// 503 when nothing is left.
    pub fn take(&self, bytes: usize) -> Result<Share, ApiError> {
        let bytes = weight(bytes);
        let taken = self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            (used < self.0.most).then(|| used.saturating_add(bytes))
        });
        if taken.is_err() {
            self.0.refused.inc();
            return Err(ApiError::backend("too many large answers are under way"));
        }
        Ok(Share { budget: self.clone(), bytes })
    }

    /// Whether nothing is left.
    pub fn is_spent(&self) -> bool {
        self.used() >= self.0.most
    }

    /// Whether half of what may be under way is.
    pub fn is_pressed(&self) -> bool {
        self.used() >= self.0.much
    }

    /// Bytes that are taken, those in caches included.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }
}

fn weight(bytes: usize) -> u64 {
    OVERHEAD.saturating_add(bytes as u64)
}

impl Share {
    /// The same bytes, which hold their share as long as anybody holds one of them. What was taken
    /// too much before the size was known is given back.
    pub fn hold(mut self, bytes: Bytes) -> Bytes {
        let needed = weight(bytes.len()).min(self.bytes);
        self.budget.0.used.fetch_sub(self.bytes - needed, Ordering::Relaxed);
        self.bytes = needed;
        Bytes::from_owner(Held { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_counts_until_its_last_byte_is_dropped() {
        let refused = IntCounter::new("refused", "refused").unwrap();
        let budget = Budget::new(1_000, 4_000, refused.clone());
        let whole = budget.take(9_000).unwrap().hold(Bytes::from(vec![b'x'; 3_000]));
        assert_eq!((budget.used(), budget.is_pressed(), budget.is_spent()), (4_024, true, false));
        let last = whole.slice(2_999..);
        drop(whole);
        assert_eq!(budget.used(), 4_024, "a slice holds all of it");

        let large = budget.take(1 << 20).unwrap();
        assert!(budget.is_spent(), "one may be larger than what is left");
        assert!(budget.take(0).is_err(), "and is the last one");
        assert_eq!(refused.get(), 1);

        drop((last, large));
        assert_eq!(budget.used(), 0);
        assert!(budget.take(1).is_ok());
    }
}
