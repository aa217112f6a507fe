//! A writer and a reader of one database, with the same settings.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::json;
use shared::testing::{TestClient, TestDatabase, TestReply};
use tokio::{task::JoinSet, time::sleep};
use writer::app::App;

use crate::servers::{self, Setting};

/// Both, until the end of the test.
pub(crate) struct Pair {
    pub(crate) database: TestDatabase,
    pub(crate) writer: TestClient,
    pub(crate) reader: TestClient,
    _tasks: JoinSet<()>,
    directory: PathBuf,
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Pair {
    /// Both, with some settings beside those that they need.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let name = format!("pair-{}-{}", std::process::id(), database.url("").len());
        let directory = std::env::temp_dir().join(format!("{name}-{:p}", &raw const database));
        writer::signer::generate(&directory).unwrap();
        let mut tasks = JoinSet::new();
        let common = [("changes.resources", "/buckets/main /buckets/main-preview")];
        let settings: Vec<_> = common.iter().chain(settings).copied().collect();
        let (writer, _) = start_writer(&database, &directory, &settings, &mut tasks).await;
        let reader = start_reader(&database, &settings, &mut tasks).await;
        let writer = writer.as_user("editor");
        Self { database, writer, reader, _tasks: tasks, directory }
    }

    /// A collection with a record, published without review, which the reader has.
    pub(crate) async fn publish(&self, collection: &str, title: &str) -> i64 {
        let source = format!("/buckets/work/collections/{collection}");
        self.writer.put("/buckets/work", json!({})).await;
        self.writer.put(&source, json!({"flags": ["startup"]})).await;
        let record = format!("{source}/records/r");
        let written = self.writer.put(&record, json!({"title": title})).await;
        assert!([200, 201].contains(&written.status), "{}", written.json);
        self.writer.patch(&source, json!({"status": "to-sign"})).await.expect(200);
        self.settle(collection).await
    }

    /// Waits until the reader serves what the writer has, and returns its timestamp.
    pub(crate) async fn settle(&self, collection: &str) -> i64 {
        let path = format!("/buckets/main/collections/{collection}/changeset?_expected=0");
        for _ in 0..500 {
            let (ours, theirs) = (self.writer.get(&path).await, self.reader.get(&path).await);
            if ours.status == 200 && ours.bytes == theirs.bytes {
                return ours.json["timestamp"].as_i64().unwrap();
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("the reader never had {collection}");
    }

    /// Both answers to one request: the writer's, then the reader's.
    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (TestReply, TestReply) {
        let writer = TestClient::new(self.writer.address().parse().unwrap());
        (
            writer.raw(method, path, headers, "").await,
            self.reader.raw(method, path, headers, "").await,
        )
    }
}

/// A writer that signs with the key in `directory`, unless settings name another.
pub(crate) async fn start_writer(
    database: &TestDatabase,
    directory: &std::path::Path,
    settings: &[Setting<'_>],
    tasks: &mut JoinSet<()>,
) -> (TestClient, Arc<App>) {
    let resources = "/buckets/work -> /buckets/main-preview -> /buckets/main";
    let common = [("signer.resources", resources), ("log.requests", "errors")];
    let settings = common.into_iter().chain(settings.iter().copied());
    servers::start_writer(&database.url("countersign_writer"), directory, settings, tasks).await
}

/// A reader.
pub(crate) async fn start_reader(
    database: &TestDatabase,
    settings: &[Setting<'_>],
    tasks: &mut JoinSet<()>,
) -> TestClient {
    // What only readers say, because only they stand behind caches, is not compared.
    let common = [
        ("watermark.poll_interval_ms", "20"),
        ("cache.stale_while_revalidate_seconds", "0"),
        ("cache.stale_if_error_seconds", "0"),
    ];
    let settings = common.into_iter().chain(settings.iter().copied());
    servers::start_reader(&database.url("countersign_reader"), settings, tasks).await
}
