//! `watch`: a client that polls a reader through every crash, and believes only signatures.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{cli::WatchArguments, client::Client, failure::Failure};

const MONITOR: &str = "monitor/changes";
/// So many problems are shown.
const SHOWN: usize = 10;

/// What was seen.
#[derive(Debug, Default)]
struct Watch {
    last: BTreeMap<String, (Timestamp, Bytes)>,
    polls: u64,
    versions: u64,
    problems: Vec<String>,
}

/// Polls until SIGTERM, SIGINT or the end of the time.
///
/// # Errors
///
/// [`Failure::Failed`] when anything was ever wrong.
pub(crate) async fn run(arguments: &WatchArguments) -> Result<(), Failure> {
    let reader = Client::new(&arguments.reader)?;
    let file = &arguments.public_key;
    let key = fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|pem| PublicKey::from_pem(&pem).map_err(|error| error.to_string()))
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let mut stop = [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?];
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut ticks = tokio::time::interval(Duration::from_millis(arguments.every_ms));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut watch = Watch::default();
    let [terminate, interrupt] = &mut stop;
    while Instant::now() < deadline {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = ticks.tick() => watch.poll(&reader, &key, &arguments.collection).await,
        }
    }
    watch.finish()
}

fn listen(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::failed(error.to_string()))
}

impl Watch {
    async fn poll(&mut self, reader: &Client, key: &PublicKey, collections: &[String]) {
        for name in collections.iter().map(String::as_str).chain([MONITOR]) {
            self.polls += 1;
            if let Err(problem) = self.look(reader, key, name).await {
                self.problems.push(format!("{name}: {problem}"));
            }
        }
    }

    async fn look(&mut self, reader: &Client, key: &PublicKey, name: &str) -> Result<(), String> {
        let (bucket, collection) = name.split_once('/').unwrap_or(("main", name));
        let path = format!("/buckets/{bucket}/collections/{collection}/changeset?_expected=0");
        let answer = reader.get(&path).await.map_err(|failure| failure.to_string())?;
        if answer.status.as_u16() != 200 {
            return Err(answer.unexpected().to_string());
        }
        let last = self.last.get(name);
        if last.is_some_and(|(_, body)| *body == answer.body) {
            return Ok(());
        }
        let changeset: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        let timestamp = changeset.get("timestamp").and_then(Value::as_i64).unwrap_or_default();
        let timestamp = Timestamp::from_millis(timestamp);
        if let Some((last, _)) = last.filter(|(last, _)| *last > timestamp) {
            return Err(format!("the timestamp went back from {last} to {timestamp}"));
        }
        if name != MONITOR {
            verify(&changeset, timestamp, key)?;
        }
        self.versions += 1;
        self.last.insert(name.to_owned(), (timestamp, answer.body));
        Ok(())
    }

    fn finish(&self) -> Result<(), Failure> {
        let (polls, versions) = (self.polls, self.versions);
        if self.problems.is_empty() && polls > 0 {
            println!("watch: {polls} answers, {versions} of them new, all of them good");
            return Ok(());
        }
        for problem in self.problems.iter().take(SHOWN) {
            eprintln!("{problem}");
        }
        let text = format!("watch: {} of {polls} answers were bad", self.problems.len());
        Err(Failure::Failed(text))
    }
}

/// Whether the changeset of a whole collection is signed by the key.
pub(crate) fn verify(
    changeset: &Map<String, Value>,
    timestamp: Timestamp,
    key: &PublicKey,
) -> Result<(), String> {
    let records = changeset.get("changes").and_then(Value::as_array).ok_or("no changes")?;
    let metadata = changeset.get("metadata").ok_or("no metadata")?;
    let signatures: Vec<ContentSignature> = serde_json::from_value(metadata["signatures"].clone())
        .map_err(|error| error.to_string())?;
    let document = canonical::document(records, timestamp);
    if signatures.iter().any(|signature| signature.verify(key, &document).is_ok()) {
        Ok(())
    } else {
        Err(format!("{timestamp}: no signature is good"))
    }
}
