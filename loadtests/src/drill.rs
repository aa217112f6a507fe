//! `drill`: steps that `deploy/dev/drill.sh` puts around crashes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    cli::{DrillCommand, People, Round},
    client::Client,
    failure::Failure,
    workspace::{Workspace, destination, set_status},
};

/// In this time, the servers must have recovered.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Runs one step.
///
/// # Errors
///
/// [`Failure`] when the writer refuses or dies, or a promise was broken.
pub(crate) async fn run(command: &DrillCommand) -> Result<(), Failure> {
    match command {
        DrillCommand::Batch { people, collection, count } => {
            batch(people, collection, *count).await
        }
        DrillCommand::Propose(round) => propose(round).await,
        DrillCommand::Approve(round) => {
            // One request and no other, so that a crash at random meets it.
            let people = &round.people;
            let reviewer = Client::new(&people.writer)?.with_user(&people.reviewer);
            set_status(&reviewer, &round.collection, "to-sign").await
        }
        DrillCommand::CheckApproval { round, reader, acknowledged } => {
            let reader = Client::new(reader)?;
            check_approval(round, &reader, *acknowledged).await
        }
    }
}

async fn open(people: &People) -> Result<Workspace, Failure> {
    Workspace::open(&people.writer, &people.editor, &people.reviewer).await
}

async fn batch(people: &People, collection: &str, count: u32) -> Result<(), Failure> {
    let workspace = open(people).await?;
    if usize::try_from(count).is_ok_and(|count| count > workspace.batch_size) {
        let text = format!("the writer allows batches of {} only", workspace.batch_size);
        return Err(Failure::Usage(text));
    }
    let records: Vec<Value> =
        (0..count).map(|n| json!({"id": format!("r{n:05}"), "title": "written"})).collect();
    let start = Instant::now();
    workspace.write(collection, &records).await?;
    println!("{}", start.elapsed().as_millis());
    Ok(())
}

async fn propose(round: &Round) -> Result<(), Failure> {
    let workspace = open(&round.people).await?;
    workspace.create_collection(&round.collection).await?;
    let records: Vec<Value> = (0..round.records)
        .map(|n| json!({"id": format!("r{n:05}"), "title": "record", "round": round.number}))
        .collect();
    workspace.write(&round.collection, &records).await?;
    workspace.request_review(&round.collection).await
}

/// Either the review is still open and nothing was published, or all of it was. Then finishes the
/// approval for the next round.
async fn check_approval(round: &Round, reader: &Client, acknowledged: bool) -> Result<(), Failure> {
    let start = Instant::now();
    let workspace = recovered(&round.people).await?;
    let recovery = start.elapsed().as_millis();
    let status = workspace.status(&round.collection).await?;
    let is_published = match status.as_str() {
        "signed" => true,
        "to-review" if !acknowledged => false,
        _ => {
            let what = if acknowledged { ", though the approval was acknowledged" } else { "" };
            return Err(Failure::Failed(format!("the status is {status:?}{what}")));
        }
    };
    let expected = if is_published { round.number } else { round.number - 1 };
    published(&workspace, reader, round, expected).await?;
    let outcome = if is_published { "happened" } else { "did not happen" };
    let followed = start.elapsed().as_millis();
    println!("the approval {outcome}; writer back after {recovery} ms, reader after {followed} ms");
    if !is_published {
        workspace.approve(&round.collection).await?;
        published(&workspace, reader, round, round.number).await?;
    }
    Ok(())
}

/// Waits until the writer has found its database again.
async fn recovered(people: &People) -> Result<Workspace, Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match open(people).await {
            Err(failure) if Instant::now() > deadline => return Err(failure),
            Err(_) => tokio::time::sleep(PAUSE).await,
            Ok(workspace) => return Ok(workspace),
        }
    }
}

/// The writer must have published exactly this round; soon the reader has the same.
async fn published(
    workspace: &Workspace,
    reader: &Client,
    round: &Round,
    expected: i64,
) -> Result<(), Failure> {
    let path = destination(&round.collection);
    let answer = workspace.editor.get(&format!("{path}/records")).await?.success()?;
    let timestamp = answer.number("etag");
    let mut body = answer.json()?;
    let records = sorted(body["data"].take())?;
    let count = round.records;
    if records.len() != usize::try_from(count).unwrap_or(usize::MAX) {
        return Err(Failure::Failed(format!("{path} has {} records, not {count}", records.len())));
    }
    if let Some(other) = records.iter().find(|record| record["round"] != json!(expected)) {
        return Err(Failure::Failed(format!("round {expected} was published, but not in {other}")));
    }
    let changeset = format!("{path}/changeset?_expected=0");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut body = reader.get_json(&changeset).await?;
        if body["timestamp"].as_i64() == timestamp {
            let served = sorted(body["changes"].take())?;
            if served == records {
                return Ok(());
            }
            return Err(Failure::Failed(format!("{changeset} is not what the writer published")));
        }
        if Instant::now() > deadline {
            return Err(Failure::Failed(format!(
                "{changeset} is still another than {timestamp:?}"
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn sorted(list: Value) -> Result<Vec<Value>, Failure> {
    let Value::Array(mut records) = list else {
        return Err(Failure::failed("no list of records in the answer"));
    };
    records.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    Ok(records)
}
