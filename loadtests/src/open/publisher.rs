//! An editor and a reviewer who publish one collection again and again.

use std::time::{Duration, Instant};

use rand::RngExt as _;
use serde_json::json;

use super::catalogue::MONITOR;
use crate::{
    cli::People,
    client::Client,
    failure::Failure,
    workspace::{DESTINATION, Workspace, destination},
};

/// The collection that is published.
const COLLECTION: &str = "load-published";
/// So many records it has.
const RECORDS: usize = 50;
/// Longest time until a publication is at a reader.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at a server.
const PAUSE: Duration = Duration::from_millis(2);

/// Both people, and their collection.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    workspace: Workspace,
    run: u32,
}

impl Publisher {
    /// Makes the collection unless it is there, and publishes it, so that a reader has it.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses, or the reader does not follow.
    pub(crate) async fn open(people: &People, reader: &Client) -> Result<Self, Failure> {
        let workspace = Workspace::open(&people.writer, &people.editor, &people.reviewer).await?;
        workspace.create_collection(COLLECTION).await?;
        // Another run than the last one: each publication changes something.
        let publisher = Self { workspace, run: rand::rng().random() };
        let before = newest(reader).await?;
        publisher.propose(0).await?;
        publisher.approve().await?;
        publisher.seen_at(reader, before).await?;
        Ok(publisher)
    }

    /// The path of the published collection.
    pub(crate) fn path() -> String {
        destination(COLLECTION)
    }

    /// The bucket and the id of the published collection.
    pub(crate) const fn name() -> (&'static str, &'static str) {
        (DESTINATION, COLLECTION)
    }

    /// Changes a record (the first time: writes all), and asks for review.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn propose(&self, round: usize) -> Result<(), Failure> {
        let changed = if round == 0 { 0..RECORDS } else { round % RECORDS..round % RECORDS + 1 };
        let records: Vec<_> = changed
            .map(|number| json!({"id": format!("r{number}"), "run": self.run, "round": round}))
            .collect();
        self.workspace.write(COLLECTION, &records).await?;
        self.workspace.request_review(COLLECTION).await
    }

    /// Approves: afterwards it is published.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn approve(&self) -> Result<(), Failure> {
        self.workspace.approve(COLLECTION).await
    }

    /// The timestamp of what the writer has published.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(crate) async fn timestamp(&self) -> Result<i64, Failure> {
        let path = format!("{}/records", destination(COLLECTION));
        let answer = self.workspace.editor.send(hyper::Method::HEAD, &path, &[], None).await?;
        let timestamp = answer.success()?.number("etag");
        timestamp.ok_or_else(|| Failure::failed(format!("{path}: no ETag")))
    }

    /// Waits until a server lists a version later than `before`, and returns its timestamp.
    ///
    /// # Errors
    ///
    /// [`Failure::Failed`] when it never does.
    pub(crate) async fn seen_at(&self, server: &Client, before: i64) -> Result<i64, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = newest(server).await?;
            if now > before {
                return Ok(now);
            }
            if Instant::now() > deadline {
                let base = server.base();
                let text = format!("{base} did not show a publication within {PATIENCE:?}");
                return Err(Failure::Failed(text));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The timestamp of the collection that a server lists; 0 without any.
///
/// # Errors
///
/// [`Failure`] when it does not answer.
pub(crate) async fn newest(server: &Client) -> Result<i64, Failure> {
    listed(server, 0).await
}

/// Asks as a client that was told of a new version: its URL is new to caches.
///
/// # Errors
///
/// [`Failure::Failed`] when an older version is listed.
pub(crate) async fn told(server: &Client, now: i64) -> Result<(), Failure> {
    let listed = listed(server, now).await?;
    if listed >= now {
        return Ok(());
    }
    let base = server.base();
    Err(Failure::Failed(format!("{base} lists {listed} to who expects {now}")))
}

async fn listed(server: &Client, expected: i64) -> Result<i64, Failure> {
    let monitor = server.get_json(&format!("{MONITOR}?_expected={expected}")).await?;
    let entries = monitor["changes"].as_array().map_or(&[] as &[_], Vec::as_slice);
    let ours = entries
        .iter()
        .find(|entry| entry["bucket"] == DESTINATION && entry["collection"] == COLLECTION);
    Ok(ours.and_then(|entry| entry["last_modified"].as_i64()).unwrap_or(0))
}
