//! Who polls: of any age, in any encoding, and believing nothing that does not verify.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;
use rand::RngExt as _;
use serde_json::{Map, Value};
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
};

use super::{
    Soak,
    bodies::{ENCODINGS, plain},
    copies::{Known, Version},
};
use crate::{client::Client, workspace::destination};

/// The list of published collections.
pub(super) const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";

/// One of those who poll.
#[derive(Debug)]
pub(super) struct Poller {
    reader: Client,
    soak: Arc<Soak>,
}

impl Poller {
    /// A client of the reader.
    pub(super) fn new(reader: Client, soak: Arc<Soak>) -> Self {
        Self { reader, soak }
    }

    /// Polls until the time is over.
    pub(super) async fn run(self, pause: Duration) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while self.soak.goes_on() {
            ticks.tick().await;
            self.soak.polls.fetch_add(1, Ordering::Relaxed);
            let kind = rand::rng().random_range(0..10);
            let polled = match kind {
                0..4 => self.monitor().await,
                4..7 => self.whole().await,
                _ => self.delta().await,
            };
            if let Err(problem) = polled {
                self.soak.problem(problem);
            }
        }
    }

    /// What is published, all of it or what is new.
    async fn monitor(&self) -> Result<(), String> {
        let newest = &self.soak.copies.monitor;
        let known = newest.load(Ordering::Relaxed);
        let path = match rand::rng().random_range(0..3) {
            0 => format!("{MONITOR}?_expected=0"),
            1 => format!("{MONITOR}?_expected={known}"),
            _ => format!("{MONITOR}?_expected={known}&_since=%22{known}%22"),
        };
        let (_, changeset) = self.ask(&path, &[]).await?;
        let timestamp = timestamp(&path, &changeset, known)?;
        newest.fetch_max(timestamp, Ordering::Relaxed);
        Ok(())
    }

    /// A whole collection.
    async fn whole(&self) -> Result<(), String> {
        let Some(known) = self.soak.copies.any() else { return Ok(()) };
        let before = known.newest.load(Ordering::Relaxed);
        let expected = if rand::rng().random() { before } else { 0 };
        let path = format!("{}/changeset?_expected={expected}", destination(&known.id));
        let dictionary = known.any();
        let dictionary = dictionary.as_ref().map_or(&[][..], |version| &version.body);
        let (body, changeset) = self.ask(&path, dictionary).await?;
        let timestamp = timestamp(&path, &changeset, before)?;
        if !known.has(&body) {
            let records = merged(BTreeMap::new(), 0, &changeset);
            self.keep(&path, known, &changeset, records, timestamp, body)?;
        }
        Ok(())
    }

    /// What a client lacks who has one of the last versions.
    async fn delta(&self) -> Result<(), String> {
        let Some(known) = self.soak.copies.any() else { return Ok(()) };
        let Some(version) = known.any() else { return Ok(()) };
        let before = known.newest.load(Ordering::Relaxed);
        let since = version.timestamp;
        let quote = if rand::rng().random() { "%22" } else { "" };
        let path = format!(
            "{}/changeset?_expected={before}&_since={quote}{since}{quote}",
            destination(&known.id)
        );
        let (_, changeset) = self.ask(&path, &[]).await?;
        let timestamp = timestamp(&path, &changeset, before)?;
        let records = merged(version.records.clone(), since, &changeset);
        self.keep(&path, known, &changeset, records, timestamp, Vec::new())
    }

    /// Verifies what a client has now, and keeps it.
    fn keep(
        &self,
        path: &str,
        known: &Known,
        changeset: &Map<String, Value>,
        records: Result<BTreeMap<String, Value>, String>,
        timestamp: i64,
        body: Vec<u8>,
    ) -> Result<(), String> {
        let records = records.map_err(|problem| format!("{path}: {problem}"))?;
        verify(changeset, &records, timestamp, &self.soak.key)
            .map_err(|problem| format!("{path}: {problem}"))?;
        self.soak.verified.fetch_add(1, Ordering::Relaxed);
        known.keep(Version { timestamp, records, body });
        Ok(())
    }

    /// Asks in any encoding; the plain body, and what it says.
    async fn ask(
        &self,
        path: &str,
        dictionary: &[u8],
    ) -> Result<(Vec<u8>, Map<String, Value>), String> {
        let accepted = ENCODINGS[rand::rng().random_range(0..ENCODINGS.len())];
        let name = format!(":{}:", STANDARD.encode(digest(&SHA256, dictionary)));
        let mut headers = vec![("accept-encoding", accepted)];
        if accepted == "dcz" && !dictionary.is_empty() {
            headers.push(("available-dictionary", &name));
        }
        let answer = self
            .reader
            .send(Method::GET, path, &headers, None)
            .await
            .map_err(|failure| failure.to_string())?;
        if answer.status.as_u16() != 200 {
            return Err(answer.unexpected().to_string());
        }
        let encoding = answer.headers.get("content-encoding").map_or("", |value| {
            // What is no text is no encoding either.
            value.to_str().unwrap_or("?")
        });
        let body = plain(&answer.body, encoding, dictionary)
            .map_err(|problem| format!("{path}: {problem}"))?;
        let changeset =
            serde_json::from_slice(&body).map_err(|error| format!("{path}: {error}"))?;
        Ok((body, changeset))
    }
}

/// The timestamp of an answer, which must not be older than one that was known before it was asked.
fn timestamp(path: &str, changeset: &Map<String, Value>, known: i64) -> Result<i64, String> {
    let timestamp = changeset.get("timestamp").and_then(Value::as_i64);
    let timestamp = timestamp.ok_or_else(|| format!("{path}: no timestamp"))?;
    if timestamp < known {
        return Err(format!("{path}: the timestamp went back from {known} to {timestamp}"));
    }
    Ok(timestamp)
}

/// A client's records after it has applied the changes.
fn merged(
    mut records: BTreeMap<String, Value>,
    since: i64,
    changeset: &Map<String, Value>,
) -> Result<BTreeMap<String, Value>, String> {
    let changes = changeset.get("changes").and_then(Value::as_array).ok_or("no changes")?;
    for change in changes {
        let id = change["id"].as_str().ok_or("a record without an id")?;
        if change["last_modified"].as_i64().is_none_or(|at| at <= since) {
            return Err(format!("{id} was known already"));
        }
        if change["deleted"] == true {
            records.remove(id);
        } else {
            records.insert(id.to_owned(), change.clone());
        }
    }
    Ok(records)
}

fn verify(
    changeset: &Map<String, Value>,
    records: &BTreeMap<String, Value>,
    timestamp: i64,
    key: &PublicKey,
) -> Result<(), String> {
    let metadata = changeset.get("metadata").ok_or("no metadata")?;
    let signatures: Vec<ContentSignature> = serde_json::from_value(metadata["signatures"].clone())
        .map_err(|error| error.to_string())?;
    let document = canonical::document(records.values(), Timestamp::from_millis(timestamp));
    let is_good = signatures.iter().any(|signature| signature.verify(key, &document).is_ok());
    is_good.then_some(()).ok_or_else(|| format!("{timestamp}: no signature is good"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn changeset(changes: &Value) -> Map<String, Value> {
        json!({"timestamp": 9, "changes": changes}).as_object().unwrap().clone()
    }

    #[test]
    fn changes_go_on_top_of_what_a_client_has() {
        let whole = json!([{"id": "a", "last_modified": 1}, {"id": "b", "last_modified": 2}]);
        let first = merged(BTreeMap::new(), 0, &changeset(&whole)).unwrap();
        let delta = json!([{"id": "b", "last_modified": 4, "deleted": true},
            {"id": "c", "last_modified": 3}]);

        let second = merged(first.clone(), 2, &changeset(&delta)).unwrap();

        assert_eq!(second.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert!(merged(first, 3, &changeset(&delta)).is_err(), "c is known");
    }

    #[test]
    fn nobody_gets_an_older_answer_than_was_known() {
        let changeset = changeset(&json!([]));
        assert_eq!(timestamp("/", &changeset, 9), Ok(9));
        assert!(timestamp("/", &changeset, 10).is_err());
    }
}
