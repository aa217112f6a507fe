//! A writer and a reader of one database, with certificates that `pki` made.

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::Parser;
use serde_json::{Value, json};
use shared::{
    model::Timestamp,
    testing::{TestClient, TestDatabase},
};
use tokio::{task::JoinSet, time::sleep};
use writer::{
    app::App,
    pki::{self, publication::publish},
};

use crate::pair::{start_reader, start_writer};

/// The source collection, with its destination `/buckets/main/collections/c`.
pub(crate) const SOURCE: &str = "/buckets/work/collections/c";

#[derive(Parser)]
struct Pki {
    #[command(subcommand)]
    command: pki::Command,
}

/// A directory of certificates, which goes with the value.
pub(crate) struct Certificates(PathBuf);

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Certificates {
    /// Made by `pki dev`.
    pub(crate) fn new() -> Self {
        let made = Self(std::env::temp_dir().join(format!("pki-e2e-{}", uuid::Uuid::new_v4())));
        made.run("dev", Timestamp::now());
        made
    }

    /// Runs `pki {words} --dir …`.
    pub(crate) fn run(&self, words: &str, now: Timestamp) {
        let dir = self.0.to_str().unwrap();
        let words = ["pki"].into_iter().chain(words.split(' ')).chain(["--dir", dir]);
        pki::run(&Pki::try_parse_from(words).unwrap().command, now).unwrap();
    }

    /// The root's hash, as `pki pin` prints it.
    pub(crate) fn pin(&self) -> String {
        let root = self.path("root.pem");
        let words = ["pki", "pin", &root];
        pki::run(&Pki::try_parse_from(words).unwrap().command, Timestamp::now()).unwrap().remove(0)
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

/// A writer that signs with certificates, and a reader that pins their root.
pub(crate) struct Certified {
    pub(crate) database: TestDatabase,
    pub(crate) writer: TestClient,
    pub(crate) app: Arc<App>,
    pub(crate) reader: TestClient,
    _tasks: JoinSet<()>,
}

impl Certified {
    /// Without review: one person publishes.
    pub(crate) async fn start(certificates: &Certificates) -> Self {
        let database = TestDatabase::create().await;
        let mut tasks = JoinSet::new();
        let pin = certificates.pin();
        let common = ("changes.resources", "/buckets/main");
        let trust = [common, ("signature.root_hashes", pin.as_str())];
        let reader = start_reader(&database, &trust, &mut tasks).await;
        let x5u = format!("http://{}/v1/cert-chains/", reader.address());
        let current = certificates.0.join("remote-settings/current");
        let chain = current.join("chain.pem");
        let signing = [
            common,
            ("signer.resources", "/buckets/work -> /buckets/main"),
            ("signer.local.chain_path", chain.to_str().unwrap()),
            ("signer.local.x5u", &x5u),
        ];
        let (writer, app) = start_writer(&database, &current, &signing, &mut tasks).await;
        publish(&app, Timestamp::now()).await.unwrap();
        let writer = writer.as_user("alice");
        writer.put("/buckets/work", json!({})).await.expect(201);
        writer.put(SOURCE, json!({})).await.expect(201);
        Self { database, writer, app, reader, _tasks: tasks }
    }

    /// Publishes a record, and waits until the reader shows it.
    pub(crate) async fn publish(&self, title: &str) -> Value {
        self.writer.put(&format!("{SOURCE}/records/r"), json!({"title": title})).await;
        self.writer.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
        self.until(|changeset| changeset["changes"][0]["title"] == title).await
    }

    /// The changeset, when it is as expected.
    pub(crate) async fn until(&self, is_good: impl Fn(&Value) -> bool) -> Value {
        let path = "/buckets/main/collections/c/changeset?_expected=0";
        for _ in 0..1_000 {
            let got = self.reader.get(path).await.json;
            if is_good(&got) {
                return got;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the reader never showed it: {:?}", self.reader.get(path).await);
    }

    /// `countersign-reader verify`, and its exit code.
    pub(crate) async fn verify(&self, options: &[&str]) -> u8 {
        let url = format!("http://{}/v1", self.reader.address());
        let words = ["countersign-reader", "verify", &url, "--allow-http"];
        let words = words.iter().chain(options);
        let arguments = reader::cli::Arguments::try_parse_from(words).unwrap();
        reader::cli::run(arguments, std::iter::empty()).await
    }
}
