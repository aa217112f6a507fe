//! A document of a provider, fetched when it is needed and kept for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Mutex;

/// How long a failure is remembered while there is nothing to go on with.
const PAUSE: Duration = Duration::from_secs(5);
/// The same while there is an older document.
const LONG_PAUSE: Duration = Duration::from_mins(1);

/// A document; whoever asks while it is fetched waits for that one request.
#[derive(Debug)]
pub(super) struct Document<T>(Mutex<State<T>>);

#[derive(Debug)]
struct State<T> {
    value: Option<Arc<T>>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
}

impl<T> Document<T> {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { value: None, fetched: None, tried: None }))
    }

    /// The document, fetched if it is older than `oldest`. While the provider is away, an older
    /// one has to do; `None` when there is none.
    pub(super) async fn get(
        &self,
        oldest: Duration,
        fetch: impl Future<Output = Option<T>> + Send,
    ) -> Option<Arc<T>> {
        let mut state = self.0.lock().await;
        if state.is_due(oldest, Instant::now()) {
            // Noted beforehand: whoever gives up waiting has tried, too.
            state.tried = Some(Instant::now());
            if let Some(value) = fetch.await {
                state.fetched = Some(Instant::now());
                state.value = Some(Arc::new(value));
            }
        }
        state.value.clone()
    }
}

impl<T> State<T> {
    fn is_due(&self, oldest: Duration, now: Instant) -> bool {
        let age = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let pause = if self.value.is_some() { LONG_PAUSE } else { PAUSE };
        let tried_lately = age(self.tried).is_some_and(|age| age < pause);
        let is_young = age(self.fetched).is_some_and(|age| age < oldest);
        !tried_lately && !is_young
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_document_is_fetched_again_when_it_is_old_but_not_at_every_request() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let failed = State::<()> { value: None, fetched: None, tried: Some(start) };
        assert!(!failed.is_due(HOUR, after(4)));
        assert!(failed.is_due(HOUR, after(6)));

        let known = State { value: Some(Arc::new(())), fetched: Some(start), tried: Some(start) };
        assert!(!known.is_due(HOUR, after(3_599)));
        assert!(known.is_due(HOUR, after(3_601)));
        let minute = Duration::from_mins(1);
        assert!(!known.is_due(minute, after(59)), "an unknown key is looked for once a minute");
        assert!(known.is_due(minute, after(61)));

        let old = State { tried: Some(after(3_601)), ..known };
        assert!(!old.is_due(HOUR, after(3_650)), "the provider is away");
        assert!(old.is_due(HOUR, after(3_662)));
    }

    #[tokio::test]
    async fn an_older_document_does_while_the_provider_is_away() {
        let document = Document::new();
        assert_eq!(document.get(HOUR, async { Some(1) }).await.as_deref(), Some(&1));

        let mut state = document.0.lock().await;
        let long_ago = Instant::now().checked_sub(HOUR * 2);
        (state.fetched, state.tried) = (long_ago, long_ago);
        drop(state);

        assert_eq!(document.get(HOUR, async { None }).await.as_deref(), Some(&1));
    }
}
