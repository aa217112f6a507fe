//! Many publications, one after the other, under a full load of polls.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::{number, stack::Stack};

/// Publications a second.
const PACE: u32 = 10;
/// Clients, each of which asks without a pause worth naming.
const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn ten_publications_a_second_are_seen_whole_and_in_order() {
    let duration = Duration::from_secs(number("DRILL_DURATION", 5));
    let stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&[]).await;
    let reader = stack.reader(&[&standby, &stack.primary], &[]).await;
    let watches: Vec<_> = (0..CLIENTS).map(|_| reader.watch()).collect();

    let mut ticks = interval(Duration::from_secs(1) / PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = Instant::now();
    let (mut count, mut last) = (0, 0);
    while start.elapsed() < duration {
        ticks.tick().await;
        count += 1;
        last = stack.publish(count).await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    reader.has(last).await;
    println!("{count} publications in {seconds:.0} s");
    for watch in watches {
        let seen = watch.end().await;
        assert!(seen.versions > 2, "{seen}");
    }
}
