//! `race`: many clients write to one collection, and one that polls must end up with the same.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Method;
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{cli::RaceArguments, client::Client, failure::Failure, stats::Latencies};

/// Ids that all clients share.
const IDS: u32 = 50;
/// Most writes of one client.
const MAX_WRITES: usize = 100_000;
/// Pause between two polls.
const POLL: Duration = Duration::from_millis(5);

/// What one client wrote.
#[derive(Debug)]
struct Written {
    timestamps: Vec<i64>,
    /// Of records that were not there.
    not_found: u64,
    latencies: Latencies,
}

/// A copy of the collection, kept up to date by `_since`.
#[derive(Debug, Default)]
struct Replica {
    records: BTreeMap<String, Value>,
    since: i64,
    polls: u64,
}

/// Runs the race and checks the promises.
///
/// # Errors
///
/// [`Failure::Failed`] when one was broken.
pub(crate) async fn run(arguments: &RaceArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.writer)?.with_user("race:race");
    let bucket = format!("/buckets/race-{:08x}", rand::rng().random::<u32>());
    let collection = format!("{bucket}/collections/race");
    for path in [&bucket, &collection] {
        client.send(Method::PUT, path, &[], Some(&json!({}))).await?.success()?;
    }
    let records = format!("{collection}/records");
    let is_over = Arc::new(AtomicBool::new(false));
    let poller = tokio::spawn(poll(client.clone(), records.clone(), Arc::clone(&is_over)));
    let start = Instant::now();
    let written = write(&client, &records, arguments).await;
    let elapsed = start.elapsed();
    is_over.store(true, Ordering::SeqCst);
    let copy = poller.await.map_err(|error| Failure::failed(error.to_string()))??;
    let written = written?;

    unique(&written.timestamps)?;
    same(&client, &records, &copy).await?;
    let deleted = client.send(Method::DELETE, &bucket, &[], None).await?;
    deleted.success()?;
    let (writes, clients) = (written.timestamps.len(), arguments.clients);
    #[expect(clippy::cast_precision_loss, reason = "a rate needs no more digits")]
    let rate = writes as f64 / elapsed.as_secs_f64();
    println!(
        "race: {clients} clients, {writes} writes and {} of records that were not there, {rate:.0} \
         writes/s, {}; no 409, no 5xx; {writes} distinct timestamps; {} polls, {} records and \
         tombstones, all as in the whole list",
        written.not_found,
        written.latencies.shown(),
        copy.polls,
        copy.records.len(),
    );
    Ok(())
}

async fn write(
    client: &Client,
    records: &str,
    arguments: &RaceArguments,
) -> Result<Written, Failure> {
    let deadline = Instant::now() + Duration::from_secs(arguments.seconds);
    let mut clients = JoinSet::new();
    for _ in 0..arguments.clients {
        clients.spawn(write_one(client.clone(), records.to_owned(), deadline));
    }
    let mut all = Written { timestamps: Vec::new(), not_found: 0, latencies: Latencies::new()? };
    while let Some(one) = clients.join_next().await {
        let one = one.map_err(|error| Failure::failed(error.to_string()))??;
        all.timestamps.extend(one.timestamps);
        all.not_found += one.not_found;
        all.latencies.add(&one.latencies);
    }
    Ok(all)
}

async fn write_one(client: Client, records: String, deadline: Instant) -> Result<Written, Failure> {
    let mut written =
        Written { timestamps: Vec::new(), not_found: 0, latencies: Latencies::new()? };
    while Instant::now() < deadline && written.timestamps.len() < MAX_WRITES {
        let (method, path, body) = random_write(&records);
        let is_create = method == Method::PUT;
        let start = Instant::now();
        let answer = client.send(method, &path, &[], body.as_ref()).await?;
        written.latencies.record(start);
        // Somebody else may have deleted it.
        if answer.status.as_u16() == 404 && !is_create {
            written.not_found += 1;
            continue;
        }
        if !answer.status.is_success() {
            return Err(answer.unexpected());
        }
        let timestamp = timestamp_of(&answer.json()?["data"])?;
        if let Some(last) = written.timestamps.last().filter(|last| **last >= timestamp) {
            let text = format!("{path}: timestamp {timestamp} after this client's {last}");
            return Err(Failure::Failed(text));
        }
        written.timestamps.push(timestamp);
    }
    Ok(written)
}

fn random_write(records: &str) -> (Method, String, Option<Value>) {
    let mut random = rand::rng();
    let path = format!("{records}/shared-{}", random.random_range(0..IDS));
    let body = json!({"data": {"value": random.random::<u32>(), "other": random.random::<u32>()}});
    match random.random_range(0..10) {
        0..6 => (Method::PUT, path, Some(body)),
        6..8 => (Method::PATCH, path, Some(body)),
        _ => (Method::DELETE, path, None),
    }
}

async fn poll(
    client: Client,
    records: String,
    is_over: Arc<AtomicBool>,
) -> Result<Replica, Failure> {
    let mut copy = Replica::default();
    loop {
        // Read before the poll: the last poll begins after the last write.
        let is_last = is_over.load(Ordering::SeqCst);
        copy.refresh(&client, &records).await?;
        if is_last {
            return Ok(copy);
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Replica {
    async fn refresh(&mut self, client: &Client, records: &str) -> Result<(), Failure> {
        let path = format!("{records}?_since=\"{}\"", self.since).replace('"', "%22");
        let answer = client.get(&path).await?.success()?;
        let etag = answer
            .number("etag")
            .filter(|etag| *etag >= self.since)
            .ok_or_else(|| Failure::failed(format!("{path}: the ETag is absent, or goes back")))?;
        for record in list(&answer.json()?)? {
            let timestamp = timestamp_of(&record)?;
            if timestamp <= self.since || timestamp > etag {
                let text = format!("{path}: {timestamp} is not after _since and until {etag}");
                return Err(Failure::Failed(text));
            }
            self.records.insert(record["id"].as_str().unwrap_or_default().to_owned(), record);
        }
        self.since = etag;
        self.polls += 1;
        Ok(())
    }
}

/// No timestamp may be given twice.
fn unique(timestamps: &[i64]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    match timestamps.iter().find(|timestamp| !seen.insert(**timestamp)) {
        None => Ok(()),
        Some(twice) => Err(Failure::Failed(format!("timestamp {twice} was given twice"))),
    }
}

/// The copy must be the whole list, tombstones included, and its live part the list of records.
async fn same(client: &Client, records: &str, copy: &Replica) -> Result<(), Failure> {
    let mut whole = Replica::default();
    whole.refresh(client, records).await?;
    for (id, record) in &whole.records {
        let ours = copy.records.get(id);
        if ours != Some(record) {
            let text = format!("{id}: the client that polled has {ours:?}, the list {record}");
            return Err(Failure::Failed(text));
        }
    }
    let live: BTreeSet<String> = list(&client.get_json(records).await?)?
        .iter()
        .map(|record| record["id"].as_str().unwrap_or_default().to_owned())
        .collect();
    let ours: BTreeSet<String> = copy
        .records
        .iter()
        .filter(|(_, record)| record["deleted"] != json!(true))
        .map(|(id, _)| id.clone())
        .collect();
    if live == ours && copy.records.len() == whole.records.len() {
        Ok(())
    } else {
        Err(Failure::failed("the client that polled has other records than the list"))
    }
}

fn list(body: &Value) -> Result<Vec<Value>, Failure> {
    body["data"].as_array().cloned().ok_or_else(|| Failure::failed("no list in the answer"))
}

fn timestamp_of(object: &Value) -> Result<i64, Failure> {
    object["last_modified"]
        .as_i64()
        .ok_or_else(|| Failure::Failed(format!("no last_modified in {object}")))
}
