//! `api mixed`: reads and conditional writes from many clients, none of which may get lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{Method, StatusCode};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    arguments::MixedArguments,
    ensure_collection,
    report::{Report, rate},
};
use crate::{
    client::{Answer, Client},
    failure::Failure,
    stats::Latencies,
};

/// Records that all clients count up.
const COUNTERS: usize = 16;
/// So many requests try to create the same id.
const RIVALS: u64 = 4;

/// What all clients share.
#[derive(Debug)]
struct Scene {
    /// The path of the list.
    records: String,
    /// The successful writes of each counter.
    counted: Vec<AtomicU64>,
    /// Requests that create, so far.
    creations: AtomicU64,
}

/// What one client did, or all.
#[derive(Debug)]
struct Done {
    latencies: Latencies,
    requests: u64,
    counted: u64,
    conflicts: u64,
    created: u64,
}

/// Runs the load, then checks what is left of it.
///
/// # Errors
///
/// [`Failure::Failed`] when a promise was broken.
pub(crate) async fn run(arguments: &MixedArguments) -> Result<(), Failure> {
    let MixedArguments { target, clients, seconds } = arguments;
    let client = target.client()?;
    let bucket = format!("mixed-{:08x}", rand::rng().random::<u32>());
    let collection = ensure_collection(&client, &bucket, "mixed").await?;
    let scene = Arc::new(Scene {
        records: format!("{collection}/records"),
        counted: std::iter::repeat_with(AtomicU64::default).take(COUNTERS).collect(),
        creations: AtomicU64::default(),
    });
    for number in 0..COUNTERS {
        let path = scene.counter(number);
        client.send(Method::PUT, &path, &[], Some(&count(0))).await?.success()?;
    }
    let start = Instant::now();
    let deadline = start + Duration::from_secs(*seconds);
    let mut running = JoinSet::new();
    for _ in 0..*clients {
        let (client, scene) = (target.client()?, Arc::clone(&scene));
        running.spawn(async move { scene.play(&client, deadline).await });
    }
    let mut done = Done::new()?;
    while let Some(one) = running.join_next().await {
        done.add(&one.map_err(|error| Failure::failed(error.to_string()))??);
    }
    let elapsed = start.elapsed();
    scene.check(&client, &done).await?;
    client.send(Method::DELETE, &format!("/buckets/{bucket}"), &[], None).await?.success()?;
    Report::new("mixed")
        .with("clients", *clients)
        .with("per_second", rate(done.requests, elapsed))
        .with_latencies(&done.latencies)
        .with("counted", done.counted)
        .with("conflicts", done.conflicts)
        .with("created", done.created)
        .print(target.json);
    Ok(())
}

impl Scene {
    fn counter(&self, number: usize) -> String {
        format!("{}/counter-{number}", self.records)
    }

    async fn play(&self, client: &Client, deadline: Instant) -> Result<Done, Failure> {
        let mut done = Done::new()?;
        while Instant::now() < deadline {
            let (choice, number) = {
                let mut random = rand::rng();
                (random.random_range(0..10), random.random_range(0..COUNTERS))
            };
            match choice {
                0..3 => done.read(client, Method::GET, &self.counter(number)).await?,
                3 => done.read(client, Method::GET, &format!("{}?_limit=20", self.records)).await?,
                4 => {
                    let path = format!("{}?kind=counter&_sort=-count&_limit=5", self.records);
                    done.read(client, Method::GET, &path).await?;
                }
                5 => done.read(client, Method::HEAD, &self.records).await?,
                6..9 => self.count_up(client, number, &mut done).await?,
                _ => self.create(client, &mut done).await?,
            }
        }
        Ok(done)
    }

    /// Adds one to a counter, unless somebody else does so meanwhile.
    async fn count_up(
        &self,
        client: &Client,
        number: usize,
        done: &mut Done,
    ) -> Result<(), Failure> {
        let path = self.counter(number);
        let answer = done.ask(client, Method::GET, &path, &[], None).await?.success()?;
        let etag = answer.headers.get("etag").and_then(|etag| etag.to_str().ok());
        let etag = etag.ok_or_else(|| Failure::Failed(format!("{path}: no ETag")))?.to_owned();
        let next = count(counted(&answer.json()?)? + 1);
        let condition = [("If-Match", etag.as_str())];
        let answer = done.ask(client, Method::PUT, &path, &condition, Some(&next)).await?;
        if answer.status == StatusCode::PRECONDITION_FAILED {
            done.conflicts += 1;
            return Ok(());
        }
        answer.success()?;
        self.counted[number].fetch_add(1, Ordering::Relaxed);
        done.counted += 1;
        Ok(())
    }

    /// Creates a record that others try to create as well.
    async fn create(&self, client: &Client, done: &mut Done) -> Result<(), Failure> {
        let number = self.creations.fetch_add(1, Ordering::Relaxed) / RIVALS;
        let path = format!("{}/once-{number}", self.records);
        let body = json!({"data": {"kind": "once"}});
        let only_new = [("If-None-Match", "*")];
        let answer = done.ask(client, Method::PUT, &path, &only_new, Some(&body)).await?;
        match answer.status {
            StatusCode::CREATED => done.created += 1,
            StatusCode::PRECONDITION_FAILED => done.conflicts += 1,
            _ => return Err(answer.unexpected()),
        }
        Ok(())
    }

    /// Every counter must be at its successful writes; every id must have been created once.
    async fn check(&self, client: &Client, done: &Done) -> Result<(), Failure> {
        for (number, writes) in self.counted.iter().enumerate() {
            let path = self.counter(number);
            let (found, writes) =
                (counted(&client.get_json(&path).await?)?, writes.load(Ordering::Relaxed));
            if found != writes {
                let text = format!("{path} is {found} after {writes} successful writes");
                return Err(Failure::Failed(text));
            }
        }
        let ids = self.creations.load(Ordering::Relaxed).div_ceil(RIVALS);
        if done.created != ids {
            let text = format!("{ids} ids were created {} times", done.created);
            return Err(Failure::Failed(text));
        }
        let answer = client.send(Method::HEAD, &self.records, &[], None).await?.success()?;
        let found = answer.number("total-objects").and_then(|found| u64::try_from(found).ok());
        let expected = ids + u64::try_from(COUNTERS).unwrap_or(0);
        if found != Some(expected) {
            let text = format!("{found:?} records are there, not {expected}");
            return Err(Failure::Failed(text));
        }
        Ok(())
    }
}

impl Done {
    fn new() -> Result<Self, Failure> {
        let latencies = Latencies::new()?;
        Ok(Self { latencies, requests: 0, counted: 0, conflicts: 0, created: 0 })
    }

    fn add(&mut self, other: &Self) {
        self.latencies.add(&other.latencies);
        self.requests += other.requests;
        self.counted += other.counted;
        self.conflicts += other.conflicts;
        self.created += other.created;
    }

    /// Any answer but a 5xx, which no client may ever see.
    async fn ask(
        &mut self,
        client: &Client,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Failure> {
        let start = Instant::now();
        let answer = client.send(method, path, headers, body).await?;
        self.latencies.record(start);
        self.requests += 1;
        if answer.status.is_server_error() { Err(answer.unexpected()) } else { Ok(answer) }
    }

    async fn read(&mut self, client: &Client, method: Method, path: &str) -> Result<(), Failure> {
        self.ask(client, method, path, &[], None).await?.success()?;
        Ok(())
    }
}

fn count(value: u64) -> Value {
    json!({"data": {"kind": "counter", "count": value}})
}

fn counted(body: &Value) -> Result<u64, Failure> {
    body["data"]["count"].as_u64().ok_or_else(|| Failure::Failed(format!("no count in {body}")))
}
