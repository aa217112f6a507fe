//! Looks at the other database servers now and then: one of them may be the better one to follow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use shared::{
    model::Timestamp,
    store::{
        Connected, Hosts,
        published::{self, Look},
    },
    wire::MONITOR_BROADCAST,
};
use tokio::{task::JoinSet, time::timeout};

/// Where a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its place in the URL.
    pub(super) index: usize,
    pub(super) is_standby: bool,
    pub(super) watermark: Timestamp,
}

impl Standing {
    pub(super) fn new(index: usize, look: &Look) -> Self {
        Self { index, is_standby: look.is_standby, watermark: look.watermark }
    }

    /// Smaller is better.
    fn rank(self, prefers_standby: bool) -> (bool, usize) {
        (prefers_standby && !self.is_standby, self.index)
    }
}

/// A server that answers.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) connected: Connected,
    pub(super) standing: Standing,
}

/// Asks the other servers, without anybody waiting for it.
#[derive(Debug)]
pub(super) struct Prober {
    hosts: Arc<Hosts>,
    interval: Duration,
    patience: Duration,
    last: Option<Instant>,
    task: JoinSet<Vec<Candidate>>,
    /// What another server had at the last look, and ours had not.
    ahead: Option<Timestamp>,
}

impl Prober {
    pub(super) fn new(hosts: Arc<Hosts>, interval: Duration, patience: Duration) -> Self {
        Self { hosts, interval, patience, last: None, task: JoinSet::new(), ahead: None }
    }

    /// Begins a look when it is time, and ends one that is ready: perhaps with a server that is
    /// better than `ours`.
    pub(super) fn better(&mut self, ours: Standing) -> Option<Candidate> {
        if let Some(ended) = self.task.try_join_next() {
            return self.choose(ours, ended.unwrap_or_default());
        }
        let is_due = self.last.is_none_or(|last| last.elapsed() >= self.interval);
        if self.hosts.len() > 1 && self.task.is_empty() && is_due {
            self.last = Some(Instant::now());
            self.task.spawn(ask_others(self.hosts.clone(), ours.index, self.patience));
        }
        None
    }

    fn choose(&mut self, ours: Standing, mut candidates: Vec<Candidate>) -> Option<Candidate> {
        let standings: Vec<Standing> =
            candidates.iter().map(|candidate| candidate.standing).collect();
        let chosen = choose(ours, &standings, self.ahead, self.hosts.prefers_standby());
        let newest = standings.iter().map(|other| other.watermark).max();
        self.ahead = newest.filter(|newest| *newest > ours.watermark);
        chosen.map(|place| candidates.swap_remove(place))
    }
}

/// The place of the server that should be followed instead of `ours`, if any.
///
/// It is one that is preferred and no older, or one that is newer when `ours` lags: when it still
/// lacks what another one had a whole interval ago.
fn choose(
    ours: Standing,
    others: &[Standing],
    ahead: Option<Timestamp>,
    prefers_standby: bool,
) -> Option<usize> {
    let lags = ahead.is_some_and(|ahead| ours.watermark < ahead);
    let is_better = |other: &Standing| {
        let is_preferred = other.rank(prefers_standby) < ours.rank(prefers_standby);
        if lags {
            other.watermark > ours.watermark
        } else {
            is_preferred && other.watermark >= ours.watermark
        }
    };
    others
        .iter()
        .enumerate()
        .filter(|(_, other)| is_better(other))
        .min_by_key(|(_, other)| other.rank(prefers_standby))
        .map(|(place, _)| place)
}

async fn ask_others(hosts: Arc<Hosts>, ours: usize, patience: Duration) -> Vec<Candidate> {
    let mut asked = JoinSet::new();
    for index in (0..hosts.len()).filter(|index| *index != ours) {
        asked.spawn(ask(hosts.clone(), index, patience));
    }
    asked.join_all().await.into_iter().flatten().collect()
}

async fn ask(hosts: Arc<Hosts>, index: usize, patience: Duration) -> Option<Candidate> {
    let connected = match hosts.connect_to(index).await {
        Ok(connected) => connected,
        Err(error) => {
            tracing::debug!(address = hosts.name(index), %error, "a database server is away");
            return None;
        }
    };
    let look = timeout(patience, published::look(&connected.client, MONITOR_BROADCAST));
    let look = look.await.ok()?.ok()?;
    Some(Candidate { connected, standing: Standing::new(index, &look) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(index: usize, is_standby: bool, watermark: i64) -> Standing {
        Standing { index, is_standby, watermark: Timestamp::from_millis(watermark) }
    }

    #[test]
    fn the_first_of_the_url_is_taken_again_when_it_is_no_older() {
        let ours = server(1, false, 100);

        assert_eq!(choose(ours, &[server(0, false, 100)], None, false), Some(0));
        assert_eq!(choose(ours, &[server(0, false, 99)], None, false), None, "it lags");
        assert_eq!(choose(ours, &[server(2, false, 100)], None, false), None, "later in the URL");
    }

    #[test]
    fn a_standby_is_taken_where_standbys_are_preferred() {
        let ours = server(0, false, 100);

        let others = [server(1, false, 100), server(2, true, 100)];
        assert_eq!(choose(ours, &others, None, true), Some(1));
        assert_eq!(choose(ours, &others, None, false), None);
        assert_eq!(choose(server(1, true, 100), &[server(0, false, 100)], None, true), None);
    }

    #[test]
    fn a_server_that_stays_behind_is_left() {
        let (ours, fresh) = (server(0, true, 100), server(1, false, 105));

        assert_eq!(choose(ours, &[fresh], None, true), None, "it may be a moment behind");
        let before = Timestamp::from_millis(103);
        assert_eq!(choose(ours, &[fresh], Some(before), true), Some(0), "it still lacks that");
        let caught_up = server(0, true, 103);
        assert_eq!(choose(caught_up, &[fresh], Some(before), true), None);
    }
}
