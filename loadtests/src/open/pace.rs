//! The clock of a run: a thread that lets clients arrive when the schedule says so.
//!
//! Not a task: timers of the runtime tick in milliseconds, and wait while requests are served.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, TryRecvError},
    },
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};

use super::{
    plan::Plan,
    process::Meter,
    queue::{Arrival, Queue},
    record::Recorder,
    schedule::Schedule,
};

/// Longest sleep, so that a burst begins in time.
const NAP: Duration = Duration::from_millis(5);

/// Clients that come beside the others, from an instant on.
#[derive(Debug)]
pub(crate) struct Burst {
    /// When it begins.
    pub(crate) begins: Instant,
    /// What they want.
    pub(crate) plan: Arc<Plan>,
    /// When they come, from the beginning.
    pub(crate) schedule: Schedule,
}

/// A burst, and its next arrival.
struct Stream {
    burst: Burst,
    next: Instant,
}

impl Stream {
    fn new(mut burst: Burst) -> Option<Self> {
        let next = burst.begins + burst.schedule.next()?;
        Some(Self { burst, next })
    }

    /// Moves on; false at the end.
    fn advance(&mut self) -> bool {
        let offset = self.burst.schedule.next();
        self.next = self.burst.begins + offset.unwrap_or_default();
        offset.is_some()
    }
}

/// Lets everybody arrive, then ends the workers.
///
/// A burst that comes after `ends` is ignored: every run has an end.
pub(crate) fn run(
    base: Burst,
    bursts: &Receiver<Burst>,
    ends: Instant,
    seed: u64,
    queue: &Queue,
    recorder: &Recorder,
) {
    let mut rng = StdRng::seed_from_u64(seed ^ 0x5eed);
    let mut streams: Vec<Stream> = Stream::new(base).into_iter().collect();
    let mut is_more_possible = true;
    let mut meter = Meter::start();
    loop {
        if let Some(percent) = meter.percent() {
            recorder.busy(percent);
        }
        match bursts.try_recv() {
            Ok(burst) => streams.extend(Stream::new(burst)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => is_more_possible = false,
        }
        let now = Instant::now();
        let next = streams.iter().map(|stream| stream.next).min();
        if next.is_none() && (!is_more_possible || now >= ends) {
            return;
        }
        let wait = next.unwrap_or(now + NAP).saturating_duration_since(now).min(NAP);
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        release(&mut streams, &mut rng, queue, recorder);
    }
}

/// Lets all arrive that are due.
fn release(streams: &mut Vec<Stream>, rng: &mut StdRng, queue: &Queue, recorder: &Recorder) {
    let now = Instant::now();
    while let Some(number) = earliest(streams).filter(|number| streams[*number].next <= now) {
        let stream = &mut streams[number];
        let plan = Arc::clone(&stream.burst.plan);
        let visit = plan.draw(rng);
        recorder.arrived(stream.next, plan.calls_of(visit).len());
        queue.push(Arrival { intended: stream.next, plan, visit, is_queued: false });
        if !stream.advance() {
            streams.swap_remove(number);
        }
    }
}

fn earliest(streams: &[Stream]) -> Option<usize> {
    (0..streams.len()).min_by_key(|number| streams[*number].next)
}
