//! `fleet`: many browsers behind one cache, each with its own spelling of the same questions.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::RngExt as _;
use serde_json::{Map, Value};
use shared::{model::Timestamp, signature::PublicKey};
use tokio::task::JoinSet;

use crate::{cli::FleetArguments, client::Client, failure::Failure, watch::verify};

const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";

/// What all clients share.
struct Fleet {
    cache: Client,
    key: PublicKey,
    end: Instant,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    requests: u64,
    bodies: HashSet<u64>,
}

/// `bucket/collection`, and its timestamp, as a client last heard.
type Known = BTreeMap<String, i64>;

/// Polls until the time is over.
///
/// # Errors
///
/// [`Failure::Failed`] when any answer was wrong.
pub(crate) async fn run(arguments: &FleetArguments) -> Result<(), Failure> {
    let file = &arguments.public_key;
    let key = fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|pem| PublicKey::from_pem(&pem).map_err(|error| error.to_string()))
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let fleet = Arc::new(Fleet {
        cache: Client::new(&arguments.cache)?,
        key,
        end: Instant::now() + Duration::from_secs(arguments.seconds),
        seen: Mutex::default(),
    });
    let mut clients = JoinSet::new();
    for _ in 0..arguments.clients {
        let fleet = fleet.clone();
        clients.spawn(async move { fleet.client().await });
    }
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| Failure::failed(error.to_string()))??;
    }
    let seen = fleet.seen.lock().unwrap_or_else(PoisonError::into_inner);
    println!("requests={} bodies={}", seen.requests, seen.bodies.len());
    Ok(())
}

impl Fleet {
    /// Most polls find nothing new; then a client asks for what has changed.
    async fn client(&self) -> Result<(), Failure> {
        let mut known = Known::new();
        while Instant::now() < self.end {
            let heard = self.poll().await?;
            for (name, timestamp) in heard {
                let before = known.insert(name.clone(), timestamp);
                if before != Some(timestamp) {
                    self.sync(&name, timestamp).await?;
                }
            }
            for _ in 0..4 {
                self.poll().await?;
            }
        }
        Ok(())
    }

    async fn poll(&self) -> Result<Known, Failure> {
        let body = self.ask(MONITOR, &["_expected=0".to_owned()]).await?;
        let changeset = parse(&body)?;
        let entries = changeset.get("changes").and_then(Value::as_array);
        let entries = entries.ok_or_else(|| Failure::failed("the monitor lists no changes"))?;
        let entry = |entry: &Value| {
            let name = format!("{}/{}", entry["bucket"].as_str()?, entry["collection"].as_str()?);
            Some((name, entry["last_modified"].as_i64()?))
        };
        Ok(entries.iter().filter_map(entry).collect())
    }

    /// The whole collection, which must be as new as the monitor says, and verify.
    async fn sync(&self, name: &str, promised: i64) -> Result<(), Failure> {
        let (bucket, collection) = name.split_once('/').unwrap_or_default();
        let path = format!("/buckets/{bucket}/collections/{collection}/changeset");
        let quoted = if flip() { "%22" } else { "" };
        let body = self.ask(&path, &[format!("_expected={quoted}{promised}{quoted}")]).await?;
        let changeset = parse(&body)?;
        let timestamp = changeset.get("timestamp").and_then(Value::as_i64).unwrap_or_default();
        if timestamp < promised {
            let text = format!("{name} is of {timestamp}, and {promised} was promised");
            return Err(Failure::Failed(text));
        }
        if self.is_new(&body) {
            verify(&changeset, Timestamp::from_millis(timestamp), &self.key)
                .map_err(|problem| Failure::Failed(format!("{name}: {problem}")))?;
        }
        Ok(())
    }

    /// Asks with the parameters among others that mean nothing, in any order.
    async fn ask(&self, path: &str, parameters: &[String]) -> Result<Bytes, Failure> {
        let noise = format!("noise={}", rand::rng().random_range(0..1_000_000));
        let mut parameters = parameters.to_vec();
        let place = if flip() { 0 } else { parameters.len() };
        parameters.insert(place, noise);
        let encodings = ["gzip", "gzip, deflate, br", "br, gzip, zstd", "gzip, br;q=0.9"];
        let encoding = encodings[rand::rng().random_range(0..encodings.len())];
        // What is compressed is not read here: one in four asks for it, and throws it away.
        let encoding = (rand::rng().random_range(0..4) == 0).then_some(encoding);
        let query = parameters.join("&");
        let url = format!("{path}?{query}");
        if let Some(encoding) = encoding {
            let headers = [("accept-encoding", encoding)];
            self.cache.send(hyper::Method::GET, &url, &headers, None).await?.success()?;
            self.count();
        }
        let answer = self.cache.get(&url).await?;
        self.count();
        if answer.status.as_u16() == 200 { Ok(answer.body) } else { Err(answer.unexpected()) }
    }

    fn count(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).requests += 1;
    }

    fn is_new(&self, body: &Bytes) -> bool {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let digest = hasher.finish();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).bodies.insert(digest)
    }
}

fn flip() -> bool {
    rand::rng().random_range(0..2) == 0
}

fn parse(body: &Bytes) -> Result<Map<String, Value>, Failure> {
    serde_json::from_slice(body).map_err(|error| Failure::Failed(format!("no JSON: {error}")))
}
