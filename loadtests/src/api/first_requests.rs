//! `api first-requests`: a new user's default bucket, asked for many times at once.

use std::{sync::Arc, time::Instant};

use hyper::Method;
use rand::RngExt as _;
use serde_json::json;
use tokio::{sync::Barrier, task::JoinSet};

use super::{arguments::FirstRequestsArguments, report::Report};
use crate::{client::Client, failure::Failure, stats::Latencies};

const BUCKET: &str = "/buckets/default";
const COLLECTION: &str = "/buckets/default/collections/first";

/// Sends the requests and checks what they made.
///
/// # Errors
///
/// [`Failure::Failed`] when one was refused, or there is not exactly one bucket and collection.
pub(crate) async fn run(arguments: &FirstRequestsArguments) -> Result<(), Failure> {
    let FirstRequestsArguments { server, clients, json } = arguments;
    let user = format!("first-{:08x}:first", rand::rng().random::<u32>());
    // All connections are open before the first request is sent.
    let ready = Arc::new(Barrier::new(usize::try_from(*clients).unwrap_or(1)));
    let mut running = JoinSet::new();
    for _ in 0..*clients {
        let client = Client::new(server)?.with_user(&user);
        let ready = Arc::clone(&ready);
        running.spawn(async move { create(&client, &ready).await });
    }
    let mut latencies = Latencies::new()?;
    while let Some(one) = running.join_next().await {
        latencies.add(&one.map_err(|error| Failure::failed(error.to_string()))??);
    }
    let client = Client::new(server)?.with_user(&user);
    one(&client, "/buckets").await?;
    one(&client, &format!("{BUCKET}/collections")).await?;
    let records = format!("{COLLECTION}/records");
    let made = client.send(Method::HEAD, &records, &[], None).await?.success()?;
    if made.number("total-objects") != Some(i64::from(*clients)) {
        return Err(Failure::Failed(format!("{records}: not {clients} records")));
    }
    client.send(Method::DELETE, BUCKET, &[], None).await?.success()?;
    let report = Report::new("first-requests").with("clients", *clients).with("buckets", 1);
    report.with_latencies(&latencies).print(*json);
    Ok(())
}

async fn create(client: &Client, ready: &Barrier) -> Result<Latencies, Failure> {
    let mut latencies = Latencies::new()?;
    let opened = client.get("/__lbheartbeat__").await;
    // Everybody waits for everybody: whoever cannot connect must not keep the others.
    ready.wait().await;
    opened?;
    let start = Instant::now();
    let body = json!({"data": {"first": true}});
    let path = format!("{COLLECTION}/records");
    client.send(Method::POST, &path, &[], Some(&body)).await?.success()?;
    latencies.record(start);
    Ok(latencies)
}

/// A list must have exactly one object.
async fn one(client: &Client, list: &str) -> Result<(), Failure> {
    let body = client.get_json(list).await?;
    match body["data"].as_array().map(Vec::len) {
        Some(1) => Ok(()),
        found => Err(Failure::Failed(format!("{list} has {found:?} objects, not one"))),
    }
}
