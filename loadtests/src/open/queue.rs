//! Clients that have arrived, and wait for a connection.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::sync::Semaphore;

use super::plan::Plan;

/// A client that wants something.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// When it came: all its waiting counts from here.
    pub(crate) intended: Instant,
    /// What it wants is a visit of this plan,
    pub(crate) plan: Arc<Plan>,
    /// with this number.
    pub(crate) visit: usize,
    /// No connection was free when it came.
    pub(crate) is_queued: bool,
}

/// First come, first served; never full, because arrivals are bounded by rate and time.
#[derive(Debug)]
pub(crate) struct Queue {
    waiting: Mutex<VecDeque<Arrival>>,
    /// One for each arrival, and for each worker that is to end.
    permits: Semaphore,
    /// Workers that wait for an arrival.
    idle: AtomicUsize,
}

impl Queue {
    /// Nobody is there.
    pub(crate) fn new() -> Self {
        Self { waiting: Mutex::default(), permits: Semaphore::new(0), idle: AtomicUsize::new(0) }
    }

    /// A client arrives.
    pub(crate) fn push(&self, mut arrival: Arrival) {
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            arrival.is_queued = waiting.len() >= self.idle.load(Ordering::Relaxed);
            waiting.push_back(arrival);
        }
        self.permits.add_permits(1);
    }

    /// No client comes any more: as many workers end, after those who wait have been served.
    pub(crate) fn end(&self, workers: usize) {
        self.permits.add_permits(workers);
    }

    /// The next client; `None` when the worker is to end.
    pub(crate) async fn take(&self) -> Option<Arrival> {
        self.idle.fetch_add(1, Ordering::Relaxed);
        let permit = self.permits.acquire().await;
        let arrival = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        self.idle.fetch_sub(1, Ordering::Relaxed);
        permit.ok()?.forget();
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(visit: usize) -> Arrival {
        let plan = Arc::new(Plan::new("/v1"));
        Arrival { intended: Instant::now(), plan, visit, is_queued: false }
    }

    #[tokio::test]
    async fn workers_end_after_the_last_client() {
        let queue = Arc::new(Queue::new());
        (0..5).for_each(|visit| queue.push(arrival(visit)));
        queue.end(2);
        let mut served = Vec::new();
        for _ in 0..2 {
            while let Some(arrival) = queue.take().await {
                served.push(arrival.visit);
            }
        }
        assert_eq!(served, [0, 1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn it_is_known_who_found_no_free_connection() {
        let queue = Arc::new(Queue::new());
        let worker = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.take().await.unwrap() }
        });
        while queue.idle.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        queue.push(arrival(0));
        queue.push(arrival(1));
        assert!(!worker.await.unwrap().is_queued);
        assert!(queue.take().await.unwrap().is_queued);
    }
}
