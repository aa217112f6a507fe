//! Who publishes: a collection after the other, a few records of each.

use std::{sync::atomic::Ordering, time::Duration};

use hyper::Method;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::Soak;
use crate::{
    cli::People,
    failure::Failure,
    workspace::{Workspace, source},
};

/// Records of a collection: some kilobytes of them.
const RECORDS: usize = 24;
/// How many change with a publication.
const CHANGES: usize = 3;

/// An editor and a reviewer at work.
#[derive(Debug)]
pub(super) struct Publisher {
    workspace: Workspace,
    collections: Vec<String>,
    round: usize,
}

impl Publisher {
    /// Makes the collections, and publishes each once.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the writer refuses.
    pub(super) async fn open(people: &People, count: u32) -> Result<Self, Failure> {
        let workspace = Workspace::open(&people.writer, &people.editor, &people.reviewer).await?;
        let collections: Vec<String> = (0..count).map(|number| format!("soak-{number}")).collect();
        for collection in &collections {
            workspace.create_collection(collection).await?;
            let records: Vec<Value> = (0..RECORDS).map(record).collect();
            workspace.write(collection, &records).await?;
            workspace.request_review(collection).await?;
            workspace.approve(collection).await?;
        }
        Ok(Self { workspace, collections, round: 0 })
    }

    /// The collections.
    pub(super) fn names(&self) -> Vec<String> {
        self.collections.clone()
    }

    /// Publishes until the time is over.
    pub(super) async fn run(&mut self, soak: &Soak, pause: Duration) {
        let mut ticks = tokio::time::interval(pause);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while soak.goes_on() {
            ticks.tick().await;
            match self.publish().await {
                Ok(()) => {
                    soak.publications.fetch_add(1, Ordering::Relaxed);
                }
                Err(failure) => soak.problem(format!("publication {}: {failure}", self.round)),
            }
            self.round += 1;
        }
    }

    /// One record goes, the one that went the time before comes again, and some change: what is
    /// published stays as large as it is.
    async fn publish(&self) -> Result<(), Failure> {
        let collection = &self.collections[self.round % self.collections.len()];
        let turn = self.round / self.collections.len();
        let gone = turn % RECORDS;
        let changed = (1..=CHANGES).map(|step| (gone + RECORDS - step) % RECORDS);
        let records: Vec<Value> = changed.map(record).collect();
        self.workspace.write(collection, &records).await?;
        let path = format!("{}/records/{}", source(collection), name(gone));
        self.workspace.editor.send(Method::DELETE, &path, &[], None).await?.success()?;
        self.workspace.request_review(collection).await?;
        self.workspace.approve(collection).await
    }
}

fn name(number: usize) -> String {
    format!("record-{number:02}")
}

fn record(number: usize) -> Value {
    let noise: u128 = rand::rng().random();
    json!({
        "id": name(number),
        "title": format!("What somebody wrote about number {number}, once, and changed again."),
        "enabled": noise.is_multiple_of(2),
        "hash": format!("{noise:032x}{noise:032x}"),
        "details": {"who": "somebody@example.com", "bug": format!("https://example.com/{number}")},
    })
}
