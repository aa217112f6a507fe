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
    jobs::Job,
    pki::{self, publication::publish},
};

use crate::pair::{start_reader, start_writer};

/// The source collection, with its destination `/buckets/main/collections/c`.
pub(crate) const SOURCE: &str = "/buckets/work/collections/c";

/// Not the default one: what forgets it fails.
pub(crate) const DOMAIN: &str = "content-signature.example.net";

#[derive(Parser)]
struct Pki {
    #[command(subcommand)]
    command: pki::Command,
}

/// A directory of certificates, which goes with the value.
pub(crate) struct Certificates {
    place: PathBuf,
    /// Below the place of chains.
    folder: &'static str,
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.place);
    }
}

impl Certificates {
    /// Made by `pki dev`.
    pub(crate) fn new() -> Self {
        Self::in_folder("")
    }

    /// Whose chains are in a folder of their own: those of two roots may have one name.
    pub(crate) fn in_folder(folder: &'static str) -> Self {
        let place = std::env::temp_dir().join(format!("pki-e2e-{}", uuid::Uuid::new_v4()));
        let made = Self { place, folder };
        made.run(&format!("dev --domain {DOMAIN}"), Timestamp::now());
        made
    }

    /// Runs `pki {words} --dir …`.
    pub(crate) fn run(&self, words: &str, now: Timestamp) {
        let dir = self.place.to_str().unwrap();
        let words = ["pki"].into_iter().chain(words.split(' ')).chain(["--dir", dir]);
        pki::run(&Pki::try_parse_from(words).unwrap().command, now).unwrap();
    }

    /// The root's hash, as `pki pin` prints it.
    pub(crate) fn pin(&self) -> String {
        let root = self.path("root.pem");
        let words = ["pki", "pin", &root];
        pki::run(&Pki::try_parse_from(words).unwrap().command, Timestamp::now()).unwrap().remove(0)
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.place.join(name).to_str().unwrap().to_owned()
    }
}

/// A writer that signs with certificates, and a reader that pins their root.
pub(crate) struct Certified {
    pub(crate) database: TestDatabase,
    pub(crate) writer: TestClient,
    pub(crate) app: Arc<App>,
    pub(crate) reader: TestClient,
    x5u: String,
    tasks: JoinSet<()>,
}

impl Certified {
    /// Without review: one person publishes.
    pub(crate) async fn start(certificates: &Certificates) -> Self {
        let database = TestDatabase::create().await;
        let mut tasks = JoinSet::new();
        let reader = pinning(&database, &[certificates], &mut tasks).await;
        let x5u = format!("http://{}/v1/cert-chains/", reader.address());
        let (writer, app) = signing(&database, &[certificates], &x5u, &mut tasks).await;
        writer.put("/buckets/work", json!({})).await.expect(201);
        writer.put(SOURCE, json!({})).await.expect(201);
        Self { database, writer, app, reader, x5u, tasks }
    }

    /// From now on the writer is one that signs with these, in this order.
    pub(crate) async fn sign_with(&mut self, certificates: &[&Certificates]) {
        let Self { database, x5u, tasks, .. } = self;
        (self.writer, self.app) = signing(database, certificates, x5u, tasks).await;
    }

    /// From now on the reader is one that pins the roots of these.
    pub(crate) async fn pin(&mut self, certificates: &[&Certificates]) {
        self.reader = pinning(&self.database, certificates, &mut self.tasks).await;
    }

    /// `refresh-signatures --force`: the changeset, when the reader has the new signatures.
    pub(crate) async fn refresh(&self) -> Value {
        let signatures = |changeset: &Value| changeset["metadata"]["signatures"].clone();
        let before = signatures(&self.until(|got| got["metadata"].is_object()).await);
        let job = Job::RefreshSignatures { max_age_days: 7, force: true };
        let report = job.run(&self.app, false).await.unwrap().unwrap();
        assert_eq!((report.done.len(), report.failed.len()), (1, 0), "{report:?}");
        self.until(|got| got["metadata"].is_object() && signatures(got) != before).await
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
        let words = ["countersign-reader", "verify", &url, "--allow-http", "--domain", DOMAIN];
        let words = words.iter().chain(options);
        let arguments = reader::cli::Arguments::try_parse_from(words).unwrap();
        reader::cli::run(arguments, std::iter::empty()).await
    }
}

/// A writer of alice's, which has published its chains.
async fn signing(
    database: &TestDatabase,
    certificates: &[&Certificates],
    x5u: &str,
    tasks: &mut JoinSet<()>,
) -> (TestClient, Arc<App>) {
    let paths = |file: &str| {
        let path = |certificates: &&Certificates| {
            certificates.path(&format!("remote-settings/current/{file}"))
        };
        certificates.iter().map(path).collect::<Vec<_>>().join("\n")
    };
    let urls: Vec<String> =
        certificates.iter().map(|certificates| format!("{x5u}{}", certificates.folder)).collect();
    let settings = [
        ("changes.resources", "/buckets/main"),
        ("signer.resources", "/buckets/work -> /buckets/main"),
        ("signer.ecdsa.private_key", &paths("private-key.pem")),
        ("signer.local.chain_path", &paths("chain.pem")),
        ("signer.local.x5u", &urls.join("\n")),
    ];
    let (writer, app) = start_writer(database, &certificates[0].place, &settings, tasks).await;
    publish(&app, Timestamp::now()).await.unwrap();
    (writer.as_user("alice"), app)
}

async fn pinning(
    database: &TestDatabase,
    certificates: &[&Certificates],
    tasks: &mut JoinSet<()>,
) -> TestClient {
    let pins: Vec<String> = certificates.iter().map(|certificates| certificates.pin()).collect();
    let settings = [
        ("changes.resources", "/buckets/main"),
        ("signature.root_hashes", &pins.join(" ")),
        ("signature.domain", DOMAIN),
    ];
    start_reader(database, &settings, tasks).await
}
