//! What is done by few at once: the rest waits for a moment, few of them, and is refused otherwise.
//!
//! Overload is told before it is felt: an answer of 503 costs nothing, a queue without end costs
//! everybody. What is prepared already never comes here.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus::IntCounter;
use shared::error::ApiError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How many may be inside, how many may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Inside at once.
    pub places: usize,
    /// Waiting at once.
    pub seats: usize,
    /// How long one waits.
    pub patience: Duration,
}

/// A gate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Gate {
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    bounds: Bounds,
    refused: IntCounter,
}

impl Gate {
    /// A gate that counts whom it refuses.
    pub fn new(bounds: Bounds, refused: IntCounter) -> Self {
        let places = Arc::new(Semaphore::new(bounds.places));
        Self { places, waiting: Arc::default(), bounds, refused }
    }

    /// The right to be inside, for as long as it is held.
    ///
    /// # Errors
    ///
    /// 503 when too many wait already, at once; or after [`Bounds::patience`].
    pub async fn enter(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        if let Ok(place) = self.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let seat = Seat::take(&self.waiting, self.bounds.seats);
        let place = match seat {
            Some(_) => timeout(self.bounds.patience, self.places.clone().acquire_owned()).await,
            None => return Err(self.refuse()),
        };
        // The semaphore is never closed.
        place.ok().and_then(Result::ok).ok_or_else(|| self.refuse())
    }

    fn refuse(&self) -> ApiError {
        self.refused.inc();
        busy()
    }
}

/// Too many others want the same at this moment.
pub fn busy() -> ApiError {
    ApiError::backend("too many others ask for what takes long")
}

struct Seat<'a>(&'a AtomicUsize);

impl<'a> Seat<'a> {
    fn take(waiting: &'a AtomicUsize, seats: usize) -> Option<Self> {
        let seat = Self(waiting);
        // Given back at once where it is one too many.
        (waiting.fetch_add(1, Ordering::Relaxed) < seats).then_some(seat)
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(seats: usize, patience: Duration) -> (Gate, IntCounter) {
        let refused = IntCounter::new("refused", "refused").unwrap();
        (Gate::new(Bounds { places: 1, seats, patience }, refused.clone()), refused)
    }

    #[tokio::test]
    async fn who_finds_no_seat_is_refused_at_once_and_who_waits_too_long_then() {
        let (gate, refused) = gate(1, Duration::from_millis(50));
        let inside = gate.enter().await.unwrap();
        let other = gate.clone();
        let waiting = tokio::spawn(async move { other.enter().await.is_ok() });
        tokio::task::yield_now().await;

        assert!(gate.enter().await.is_err(), "no seat");
        assert_eq!(refused.get(), 1);
        assert!(!waiting.await.unwrap(), "no place in time");
        assert_eq!(refused.get(), 2);
        drop(inside);
        assert!(gate.enter().await.is_ok(), "seats and places are given back");
    }

    #[tokio::test]
    async fn who_waits_comes_next() {
        let (gate, refused) = gate(1, Duration::from_secs(20));
        let inside = gate.enter().await.unwrap();
        let other = gate.clone();
        let waiting = tokio::spawn(async move { other.enter().await.is_ok() });
        tokio::task::yield_now().await;

        drop(inside);

        assert!(waiting.await.unwrap());
        assert_eq!(refused.get(), 0);
    }
}
