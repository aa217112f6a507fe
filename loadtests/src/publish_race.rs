//! `publish-race`: collections published at the same time, and a client that must see them all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use rand::RngExt as _;
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    cli::PublishRaceArguments,
    client::Client,
    failure::Failure,
    follower::Follower,
    stats::Latencies,
    workspace::{DESTINATION, Workspace, destination},
};

/// Most publications of one collection.
const MAX_PUBLICATIONS: usize = 10_000;
/// In this time, what was published must be at the reader.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one writer published.
#[derive(Debug)]
struct Published {
    collection: String,
    timestamps: Vec<i64>,
    latencies: Latencies,
}

/// Runs the race and checks the promises.
///
/// # Errors
///
/// [`Failure::Failed`] when one was broken.
pub(crate) async fn run(arguments: &PublishRaceArguments) -> Result<(), Failure> {
    let people = &arguments.people;
    let workspace = Workspace::open(&people.writer, &people.editor, &people.reviewer).await?;
    let reader = Client::new(&arguments.reader)?;
    let run = rand::rng().random::<u32>();
    let collections: Vec<String> =
        (0..arguments.collections).map(|n| format!("race-{run:08x}-{n}")).collect();
    for collection in &collections {
        workspace.create_collection(collection).await?;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let follower = tokio::spawn(Follower::default().follow(reader.clone(), Arc::clone(&is_over)));
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let published = publish_all(&workspace, collections, deadline).await;
    // The reader asks the database a few times a second.
    if let Ok(published) = &published {
        wait_for_reader(&reader, published).await?;
    }
    is_over.store(true, Ordering::SeqCst);
    let follower = follower.await.map_err(|error| Failure::failed(error.to_string()))??;
    check(&published?, &follower, arguments.seconds)
}

async fn publish_all(
    workspace: &Workspace,
    collections: Vec<String>,
    deadline: Instant,
) -> Result<Vec<Published>, Failure> {
    let mut writers = JoinSet::new();
    for collection in collections {
        writers.spawn(publish_often(workspace.clone(), collection, deadline));
    }
    let mut all = Vec::new();
    while let Some(one) = writers.join_next().await {
        all.push(one.map_err(|error| Failure::failed(error.to_string()))??);
    }
    Ok(all)
}

async fn publish_often(
    workspace: Workspace,
    collection: String,
    deadline: Instant,
) -> Result<Published, Failure> {
    let mut published =
        Published { collection, timestamps: Vec::new(), latencies: Latencies::new()? };
    let collection = published.collection.as_str();
    while Instant::now() < deadline && published.timestamps.len() < MAX_PUBLICATIONS {
        let round = published.timestamps.len();
        workspace.write(collection, &[json!({"id": "edited", "round": round})]).await?;
        workspace.request_review(collection).await?;
        let start = Instant::now();
        workspace.approve(collection).await?;
        published.latencies.record(start);
        let path = format!("{}/records", destination(collection));
        let answer = workspace.editor.send(Method::HEAD, &path, &[], None).await?.success()?;
        let timestamp = answer.number("etag").unwrap_or_default();
        if published.timestamps.last().is_some_and(|last| *last >= timestamp) {
            return Err(Failure::Failed(format!("{path}: the timestamp {timestamp} goes back")));
        }
        published.timestamps.push(timestamp);
    }
    Ok(published)
}

async fn wait_for_reader(reader: &Client, published: &[Published]) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    for one in published {
        let path = format!("{}/changeset?_expected=0", destination(&one.collection));
        while reader.get_json(&path).await?["timestamp"].as_i64() < one.timestamps.last().copied() {
            if Instant::now() > deadline {
                return Err(Failure::Failed(format!("{path}: still old after {PATIENCE:?}")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

fn check(published: &[Published], follower: &Follower, seconds: u64) -> Result<(), Failure> {
    let mut latencies = Latencies::new()?;
    let mut count = 0_u64;
    for one in published {
        let name = format!("{DESTINATION}/{}", one.collection);
        let (last, seen) = (one.timestamps.last(), follower.delivered.get(&name));
        if last.is_none() || last != seen {
            let text = format!("{name} was last published at {last:?}, the client saw {seen:?}");
            return Err(Failure::Failed(text));
        }
        latencies.add(&one.latencies);
        count += u64::try_from(one.timestamps.len()).unwrap_or_default();
    }
    println!(
        "publish-race: {} collections, {count} publications, {}/s, approval {}; no error; {} \
         polls, {} entries delivered, none hidden",
        published.len(),
        count / seconds,
        latencies.shown(),
        follower.polls,
        follower.deliveries,
    );
    Ok(())
}
