//! A server of PostgreSQL, a writer that publishes in it, and readers of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::json;
use shared::{
    signature::PublicKey,
    store::migrate,
    testing::{TestClient, TestReply},
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{client::Watch, cluster::Cluster, servers};

const SOURCE: &str = "/buckets/work/collections/drill";
pub(crate) const CHANGESET: &str = "/buckets/main/collections/drill/changeset?_expected=0";
/// Longest time until what was published must be at the reader, after a fault ended.
const RECOVERY: Duration = Duration::from_secs(15);

/// All but the readers.
pub(crate) struct Stack {
    pub(crate) primary: Cluster,
    pub(crate) key: PublicKey,
    writer: TestClient,
    tasks: JoinSet<()>,
    keys: PathBuf,
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.keys);
    }
}

impl Stack {
    /// A primary with one publication.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        Self::over(Cluster::create(settings).await).await
    }

    /// The same over a server that is there.
    pub(crate) async fn over(primary: Cluster) -> Self {
        let mut owner = primary.connect("drill").await;
        migrate::migrate(&mut owner).await.unwrap();
        let keys = std::env::temp_dir().join(format!("countersign-drill-keys-{}", primary.port));
        writer::signer::generate(&keys).unwrap();
        let pem = fs::read(keys.join("public-key.pem")).unwrap();
        let key = PublicKey::from_pem(&pem).unwrap();
        let mut tasks = JoinSet::new();
        let writer = start_writer(&url("countersign_writer", &[&primary]), &keys, &mut tasks).await;
        writer.put("/buckets/work", json!({})).await;
        writer.put(SOURCE, json!({})).await;
        let stack = Self { primary, key, writer, tasks, keys };
        stack.publish(0).await.unwrap();
        stack
    }

    /// A writer of the primary and a standby takes the place of the one there is.
    pub(crate) async fn restart_writer(&mut self, standby: &Cluster) {
        let mut tasks = JoinSet::new();
        let url = url("countersign_writer", &[&self.primary, standby]);
        self.writer = start_writer(&url, &self.keys, &mut tasks).await;
        self.tasks = tasks;
    }

    /// Publishes a record with this number; the timestamp of the publication.
    pub(crate) async fn publish(&self, number: usize) -> Result<i64, String> {
        let record = format!("{SOURCE}/records/r{}", number % 50);
        let good = |what: &str, reply: &TestReply| {
            let is_good = reply.status < 300;
            is_good.then_some(()).ok_or_else(|| format!("{what}: {}", reply.json))
        };
        let patience = Duration::from_secs(20);
        let put = timeout(patience, self.writer.put(&record, json!({"number": number})));
        good("put", &put.await.map_err(|_| "put: no answer")?)?;
        let patch = timeout(patience, self.writer.patch(SOURCE, json!({"status": "to-sign"})));
        good("publish", &patch.await.map_err(|_| "publish: no answer")?)?;
        let served = self.writer.get(CHANGESET).await;
        good("look", &served)?;
        served.json["timestamp"].as_i64().ok_or_else(|| served.json.to_string())
    }

    /// Publishes, trying again while the database recovers.
    pub(crate) async fn publish_at_last(&self, number: usize) -> i64 {
        let deadline = Instant::now() + RECOVERY;
        loop {
            match self.publish(number).await {
                Ok(timestamp) => return timestamp,
                Err(problem) => assert!(Instant::now() < deadline, "{problem}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// A reader of these servers that has loaded.
    pub(crate) async fn reader(&self, servers: &[&Cluster], settings: &[(&str, &str)]) -> Reader {
        let reader = Reader::start(&url("countersign_reader", servers), self, settings).await;
        reader.until("ready", |got| got.status == 200).await;
        reader
    }

    /// The file with the key that readers trust.
    pub(crate) fn key_file(&self) -> String {
        self.keys.join("public-key.pem").to_str().unwrap().to_owned()
    }
}

/// A URL of several servers.
pub(crate) fn url(role: &str, servers: &[&Cluster]) -> String {
    let hosts: Vec<String> = servers.iter().map(|server| server.host()).collect();
    url_of(role, &hosts)
}

pub(crate) fn url_of(role: &str, hosts: &[String]) -> String {
    format!("postgresql://{role}@{}/drill", hosts.join(","))
}

/// A reader; ends with the value.
pub(crate) struct Reader {
    pub(crate) client: TestClient,
    key: PublicKey,
    tasks: JoinSet<()>,
}

impl Reader {
    /// A reader that may not have loaded yet.
    pub(crate) async fn start(url: &str, stack: &Stack, settings: &[(&str, &str)]) -> Self {
        let key_file = stack.key_file();
        let common = [
            ("storage_connect_timeout_ms", "1000"),
            ("storage_probe_interval_seconds", "1"),
            ("changes.resources", "/buckets/main"),
            ("signature.public_keys", &*key_file),
            ("watermark.poll_interval_ms", "50"),
        ];
        let settings = common.into_iter().chain(settings.iter().copied());
        let mut tasks = JoinSet::new();
        let client = servers::start_reader(url, settings, &mut tasks).await;
        Self { client, key: stack.key.clone(), tasks }
    }

    /// Ends it, as far as its directory can be used by the next one.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    /// A client that polls it.
    pub(crate) fn watch(&self) -> Watch {
        Watch::start(self.client.clone(), self.key.clone())
    }

    pub(crate) async fn heartbeat(&self) -> TestReply {
        self.client.get("/__heartbeat__").await
    }

    /// A metric's value.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let got = self.client.get("/__metrics__").await;
        let text = String::from_utf8(got.bytes.to_vec()).unwrap();
        let start = format!("countersign_{name} ");
        let line = text.lines().find(|line| line.starts_with(&start));
        line.unwrap_or_else(|| panic!("no {name}"))[start.len()..].parse().unwrap()
    }

    /// Waits for a heartbeat.
    pub(crate) async fn until(&self, what: &str, is_good: impl Fn(&TestReply) -> bool) {
        let deadline = Instant::now() + RECOVERY;
        loop {
            let got = self.heartbeat().await;
            if is_good(&got) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}: {}", got.json);
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for a publication; how long it took.
    pub(crate) async fn has(&self, timestamp: i64) -> Duration {
        let start = Instant::now();
        loop {
            let got = self.client.get(CHANGESET).await;
            if got.json["timestamp"].as_i64() == Some(timestamp) {
                return start.elapsed();
            }
            assert!(
                start.elapsed() < RECOVERY,
                "{timestamp} never came: {}",
                got.json["timestamp"]
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn timestamp(&self) -> i64 {
        self.client.get(CHANGESET).await.json["timestamp"].as_i64().unwrap()
    }
}

async fn start_writer(url: &str, keys: &Path, tasks: &mut JoinSet<()>) -> TestClient {
    let settings = [
        ("storage_connect_timeout_ms", "1000"),
        ("signer.resources", "/buckets/work -> /buckets/main"),
        ("signer.to_review_enabled", "false"),
        ("changes.resources", "/buckets/main"),
    ];
    servers::start_writer(url, keys, settings, tasks).await.0.as_user("editor")
}
