//! A writer of its own for each test.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use shared::{
    config::Layers,
    http::serve,
    model::Timestamp,
    signature::PublicKey,
    store::{Tx, published},
    testing::{TestClient, TestDatabase},
};
use tokio::net::TcpListener;
use writer::{
    Writer,
    app::App,
    config::{Config, DEFAULTS},
    outbox, signer,
    signoff::auto_create,
};

/// A running writer.
pub(crate) struct Harness {
    pub(crate) database: TestDatabase,
    /// An anonymous client.
    pub(crate) anonymous: TestClient,
    /// A user who makes buckets.
    pub(crate) alice: TestClient,
    /// Another user.
    pub(crate) bob: TestClient,
    /// The key that verifies.
    pub(crate) key: PublicKey,
    pub(crate) directory: PathBuf,
}

impl Drop for Harness {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Harness {
    /// A writer with sign-off and review.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// A writer with some settings changed.
    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::create().await;
        let directory = std::env::temp_dir().join(format!("writer-test-{}", uuid::Uuid::new_v4()));
        signer::generate(&directory).unwrap();
        let anonymous = serve_with(&database, &directory, settings).await;
        let key =
            PublicKey::from_pem(&std::fs::read(directory.join("public-key.pem")).unwrap()).unwrap();
        Self {
            database,
            alice: anonymous.as_user("alice"),
            bob: anonymous.as_user("bob"),
            anonymous,
            key,
            directory,
        }
    }

    /// An anonymous client of another writer of the same database, with these settings.
    pub(crate) async fn again(&self, settings: &[(&str, &str)]) -> TestClient {
        serve_with(&self.database, &self.directory, settings).await
    }

    /// What another process of the same database shares, with these settings.
    pub(crate) fn app(&self, settings: &[(&str, &str)]) -> Arc<App> {
        app(&self.database, &self.directory, settings)
    }

    /// A writer with `/buckets/b/collections/c` of alice's.
    pub(crate) async fn with_collection() -> Self {
        let harness = Self::start().await;
        harness.alice.put("/buckets/b", json!({})).await.expect(201);
        harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
        harness
    }

    /// A writer with the source collection `/buckets/work/collections/c`: alice is its editor, bob
    /// a reviewer.
    pub(crate) async fn with_source() -> Self {
        let harness = Self::start().await;
        harness.alice.put("/buckets/work", json!({})).await.expect(201);
        harness.make_source("c").await;
        harness
    }

    /// Makes a source collection in `/buckets/work`, likewise.
    pub(crate) async fn make_source(&self, id: &str) {
        self.alice.put(&format!("/buckets/work/collections/{id}"), json!({})).await.expect(201);
        let bob = user_id(&self.bob).await;
        let reviewers = format!("/buckets/work/groups/{id}-reviewers");
        self.alice.patch(&reviewers, json!({"members": [bob]})).await.expect(200);
    }

    /// Checks that each list's number of live objects, which is kept, is the one that is counted.
    pub(crate) async fn check_live_counts(&self) {
        const SQL: &str = "
            with counted as (
                select '' as b, '' as c, 'bucket' as r, count(*) as n from bucket where not deleted
                union all
                select bucket_id, '', 'group', count(*) from \"group\" where not deleted group by 1
                union all
                select bucket_id, '', 'collection', count(*) from collection
                where not deleted group by 1
                union all
                select bucket_id, collection_id, 'record', count(*) from record
                where not deleted group by 1, 2)
            select t.resource_name, t.bucket_id, t.collection_id, t.live, coalesce(n, 0)
            from resource_timestamp t
            left join counted
              on (b, c, r) = (t.bucket_id, t.collection_id, t.resource_name)
            where resource_name in ('bucket', 'group', 'collection', 'record')
              and live <> coalesce(n, 0)";

        let wrong = self.database.owner().await.query(SQL, &[]).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    /// Up to when readers take a collection that is not there for deleted.
    pub(crate) async fn deleted(&self, bucket: &str, collection: &str) -> Timestamp {
        let mut client = self.database.pool("countersign_reader").get().await.unwrap();
        let tx = Tx::reading(&mut client);
        tx.begin().await.unwrap();
        published::deletions(&tx, &[bucket], &[collection]).await.unwrap()[0]
    }

    /// The source collection's status.
    pub(crate) async fn status(&self) -> Value {
        self.alice.get(SOURCE).await.expect(200).json["data"]["status"].clone()
    }

    /// Asks for a review as alice and approves as bob.
    pub(crate) async fn publish(&self) {
        self.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
        self.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
    }
}

/// Another writer of the same database, with these settings.
async fn serve_with(
    database: &TestDatabase,
    directory: &Path,
    settings: &[(&str, &str)],
) -> TestClient {
    let app = app(database, directory, settings);
    auto_create(&app).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, metrics) = (app.config.listen.limits.clone(), app.metrics.http.clone());
    tokio::spawn(outbox::run(app.clone(), std::future::pending()));
    tokio::spawn(serve(listener, Writer::new(app), limits, metrics, std::future::pending()));
    TestClient::new(address)
}

fn app(database: &TestDatabase, directory: &Path, settings: &[(&str, &str)]) -> Arc<App> {
    let private = directory.join("private-key.pem");
    let resources = "/buckets/work -> /buckets/preview -> /buckets/main";
    let mut layers = Layers::new(DEFAULTS);
    for (key, value) in [
        ("storage_url", database.url("countersign_writer").as_str()),
        ("listen", "127.0.0.1:0"),
        ("userid_hmac_secret", "some-secret"),
        ("multiauth.policies", "basicauth"),
        ("signer.resources", resources),
        ("signer.to_review_enabled", "true"),
        ("signer.ecdsa.private_key", private.to_str().unwrap()),
        ("changes.resources", "/buckets/main /buckets/preview"),
        ("http.grace_seconds", "1"),
        ("log.requests", "errors"),
    ]
    .into_iter()
    .chain(settings.iter().copied())
    {
        layers.set(key, value);
    }
    let config = Config::read(&mut layers).unwrap();
    Arc::new(App::new(config).unwrap())
}

/// The source collection of [`Harness::with_source`].
pub(crate) const SOURCE: &str = "/buckets/work/collections/c";

/// The id under which access control entries know a client.
pub(crate) async fn user_id(client: &TestClient) -> String {
    client.get("/").await.json["user"]["id"].as_str().unwrap().to_owned()
}

/// The objects' ids in a list's reply.
pub(crate) fn ids(list: &Value) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|object| object["id"].as_str().unwrap()).collect()
}
