//! A client of the monitor that only ever asks for what is new.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::Value;

use crate::{client::Client, failure::Failure};

const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";
/// Later than any timestamp, so that the reader never says that we are ahead.
const FIRST_EXPECTED: u64 = 9_000_000_000_000;
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(5);

/// `bucket/collection`, and its timestamp.
type Entries = BTreeMap<String, i64>;

/// What a client has learnt from `_since` alone.
#[derive(Debug, Default)]
pub(crate) struct Follower {
    /// The latest timestamp of each collection that was delivered.
    pub(crate) delivered: Entries,
    /// How many entries were delivered.
    pub(crate) deliveries: u64,
    /// How often it asked.
    pub(crate) polls: u64,
    cursor: i64,
}

/// One answer of the monitor.
struct Answer {
    timestamp: i64,
    entries: Entries,
}

impl Follower {
    /// Polls until `is_over`, and once more after it.
    ///
    /// # Errors
    ///
    /// [`Failure`] at the first answer that hides something, or is an error.
    pub(crate) async fn follow(
        mut self,
        reader: Client,
        is_over: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        loop {
            let is_last = is_over.load(Ordering::SeqCst);
            self.poll(&reader).await?;
            if is_last {
                return Ok(self);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Compares the whole list with what was delivered and what is delivered next: the whole is
    /// asked for first, so that the delta, being later, must contain all that is new in it.
    async fn poll(&mut self, reader: &Client) -> Result<(), Failure> {
        let whole = self.ask(reader, None).await?;
        if self.cursor == 0 {
            self.cursor = whole.timestamp;
            self.delivered = whole.entries;
            return Ok(());
        }
        let delta = self.ask(reader, Some(self.cursor)).await?;
        self.accept(&whole, delta)
    }

    fn accept(&mut self, whole: &Answer, delta: Answer) -> Result<(), Failure> {
        let cursor = self.cursor;
        for (name, timestamp) in &whole.entries {
            let is_new = *timestamp > cursor;
            let known = if is_new { delta.entries.get(name) } else { self.delivered.get(name) };
            // With a timestamp behind the cursor, a later one may have come since.
            if known.is_none_or(|known| known < timestamp) {
                let text = format!("{name} at {timestamp} is hidden from who asks since {cursor}");
                return Err(Failure::Failed(text));
            }
        }
        if let Some((name, timestamp)) = delta.entries.iter().find(|(_, time)| **time <= cursor) {
            let text = format!("{name} at {timestamp} was sent to who asked since {cursor}");
            return Err(Failure::Failed(text));
        }
        if delta.timestamp < cursor {
            let text = format!("the monitor went back from {cursor} to {}", delta.timestamp);
            return Err(Failure::Failed(text));
        }
        self.cursor = delta.timestamp;
        self.deliveries += u64::try_from(delta.entries.len()).unwrap_or_default();
        self.delivered.extend(delta.entries);
        Ok(())
    }

    async fn ask(&mut self, reader: &Client, since: Option<i64>) -> Result<Answer, Failure> {
        self.polls += 1;
        let expected = FIRST_EXPECTED + self.polls;
        let since = since.map(|since| format!("&_since=%22{since}%22")).unwrap_or_default();
        let answer = reader.get(&format!("{MONITOR}?_expected={expected}{since}")).await?;
        if answer.status.as_u16() != 200 {
            return Err(answer.unexpected());
        }
        let body = answer.json()?;
        let timestamp = body["timestamp"].as_i64();
        let changes = body["changes"].as_array();
        let (Some(timestamp), Some(changes)) = (timestamp, changes) else {
            return Err(Failure::failed("the monitor's changeset lacks timestamp or changes"));
        };
        let entries = changes.iter().filter_map(entry).collect();
        Ok(Answer { timestamp, entries })
    }
}

fn entry(change: &Value) -> Option<(String, i64)> {
    let (bucket, collection) = (change["bucket"].as_str()?, change["collection"].as_str()?);
    Some((format!("{bucket}/{collection}"), change["last_modified"].as_i64()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(entries: &[(&str, i64)]) -> Answer {
        let entries: Entries = entries.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
        Answer { timestamp: entries.values().copied().max().unwrap_or(5), entries }
    }

    #[test]
    fn what_appears_behind_the_cursor_is_found() {
        let follower = || Follower {
            delivered: answer(&[("a", 3), ("b", 5)]).entries,
            cursor: 5,
            ..Follower::default()
        };

        let late = answer(&[("a", 4), ("b", 5)]);
        assert!(follower().accept(&late, answer(&[])).is_err(), "never delivered");
        let new = answer(&[("a", 7), ("b", 5)]);
        assert!(follower().accept(&new, answer(&[])).is_err(), "missing in the delta");
        assert!(follower().accept(&new, answer(&[("a", 7)])).is_ok());
        assert!(follower().accept(&new, answer(&[("a", 8)])).is_ok(), "later in the delta");
    }
}
