//! A database with collections, a reader on a port of its own, and a client.

use std::{net::SocketAddr, time::Duration};

use aws_lc_rs::{
    encoding::AsDer as _,
    rand::SystemRandom,
    signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use reader::{app::App, config::Config, polish::polish, server::serve, versions};
use serde_json::{Value, json};
use shared::{canonical, model::Timestamp, testing::TestDatabase};
use tokio::{net::TcpListener, task::JoinHandle, time::sleep};

/// Writes what a writer would.
pub(crate) struct Database {
    pub(crate) test: TestDatabase,
    pub(crate) owner: tokio_postgres::Client,
}

impl Database {
    /// An empty bucket `main` that everybody may read.
    pub(crate) async fn create() -> Self {
        let test = TestDatabase::create().await;
        let owner = test.owner().await;
        let database = Self { test, owner };
        database
            .run(
                "insert into bucket (bucket_id, id, last_modified, data)
                     values ('main', 'main', 1, '{}');
                 insert into ace values ('main', '/buckets/main', 'read', 'system.Everyone')",
            )
            .await;
        database
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.owner.batch_execute(sql).await.unwrap();
    }

    /// Creates or replaces a collection's metadata and its records timestamp.
    pub(crate) async fn collection(&self, id: &str, stamp: i64, metadata: &Value, timestamp: i64) {
        let metadata = metadata.to_string().replace('\'', "''");
        self.run(&format!(
            "insert into collection (bucket_id, id, last_modified, data)
                 values ('main', '{id}', {stamp}, '{metadata}')
                 on conflict (bucket_id, collection_id, id) do update
                 set last_modified = excluded.last_modified, data = excluded.data;
             insert into resource_timestamp values ('main', '{id}', 'record', {timestamp})
                 on conflict (bucket_id, collection_id, resource_name) do update
                 set last_modified = excluded.last_modified"
        ))
        .await;
    }

    /// Creates or replaces a record.
    pub(crate) async fn record(&self, collection: &str, id: &str, stamp: i64, data: &Value) {
        let data = data.to_string().replace('\'', "''");
        self.run(&format!(
            "insert into record (bucket_id, collection_id, id, last_modified, data)
                 values ('main', '{collection}', '{id}', {stamp}, '{data}')
                 on conflict (bucket_id, collection_id, id) do update
                 set last_modified = excluded.last_modified, data = excluded.data"
        ))
        .await;
    }

    pub(crate) async fn tombstone(&self, collection: &str, id: &str, stamp: i64) {
        self.record(collection, id, stamp, &json!({})).await;
        self.run(&format!(
            "update record set deleted = true where collection_id = '{collection}' and id = '{id}'"
        ))
        .await;
    }

    /// Moves the watermark: readers look.
    pub(crate) async fn publish(&self, watermark: i64) {
        self.run(&format!("update publication_clock set last_modified = {watermark}")).await;
    }

    /// A collection with one record, signed by `signer`.
    pub(crate) async fn signed(&self, id: &str, signer: &Signer, title: &str, timestamp: i64) {
        let record = json!({"id": "r", "last_modified": timestamp, "title": title});
        let signature = signer.sign(&[record], timestamp);
        let metadata = json!({"signature": signature, "signatures": [signature]});
        self.record(id, "r", timestamp, &json!({"title": title})).await;
        self.collection(id, timestamp + 1, &metadata, timestamp).await;
    }
}

/// A key that signs.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    x5u: String,
}

impl Signer {
    pub(crate) fn new() -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { key, x5u: String::new() }
    }

    /// A signer whose certificate chain is at `x5u`.
    pub(crate) fn certified(pkcs8: &[u8], x5u: String) -> Self {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, pkcs8).unwrap();
        Self { key, x5u }
    }

    /// The public key as DER.
    fn der(&self) -> Vec<u8> {
        self.key.public_key().as_der().unwrap().as_ref().to_vec()
    }

    /// The public key as PEM.
    pub(crate) fn pem(&self) -> String {
        let text = STANDARD.encode(self.der());
        format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
    }

    /// A signature's entry over `records`.
    pub(crate) fn sign(&self, records: &[Value], timestamp: i64) -> Value {
        let document = canonical::document(records, Timestamp::from_millis(timestamp));
        let message = [canonical::PREFIX, &document].concat();
        let signature = self.key.sign(&SystemRandom::new(), &message).unwrap();
        json!({
            "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
            "x5u": self.x5u,
            "mode": "p384ecdsa",
            "public_key": STANDARD.encode(self.der()),
        })
    }
}

/// A running reader; stops with the value.
pub(crate) struct Reader {
    pub(crate) address: SocketAddr,
    app: Option<App>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Reader {
    /// A reader in another process.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, app: None, tasks: Vec::new() }
    }

    /// What the server in this process shares.
    pub(crate) fn app(&self) -> App {
        self.app.clone().unwrap()
    }

    /// Starts a reader with these settings beside the defaults.
    pub(crate) async fn start(url: &str, settings: &[(&str, &str)]) -> Self {
        let mut layers = Config::layers(None, std::iter::empty(), Some("127.0.0.1:0"));
        for (key, value) in [
            ("storage_url", url),
            ("changes.resources", "/buckets/main"),
            ("watermark.poll_interval_ms", "20"),
            ("watermark.recheck_interval_seconds", "1"),
        ]
        .iter()
        .chain(settings)
        {
            layers.set(key, *value);
        }
        let config = Config::read(&mut layers).unwrap();
        let limits = config.limits.clone();
        let app = App::new(config).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = serve(listener, app.clone(), limits, None, std::future::pending());
        let tasks = vec![
            tokio::spawn(versions::follow(app.clone())),
            tokio::spawn(polish(app.clone())),
            tokio::spawn(async move { serving.await.unwrap() }),
        ];
        Self { address, app: Some(app), tasks }
    }

    /// A reader of `database` that has loaded it.
    pub(crate) async fn of(database: &Database, settings: &[(&str, &str)]) -> Self {
        let reader = Self::start(&database.test.url("countersign_reader"), settings).await;
        reader.until("/v1/__heartbeat__", |got| got.status == StatusCode::OK).await;
        reader
    }

    pub(crate) async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address))
            .body(Empty::<Bytes>::new())
            .unwrap();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().unwrap();
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Got { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(Method::GET, path, &[]).await
    }

    /// Asks again until the answer satisfies `is_good`; fails after 20 s.
    pub(crate) async fn until(&self, path: &str, is_good: impl Fn(&Got) -> bool) -> Got {
        for _ in 0..1_000 {
            let got = self.get(path).await;
            if is_good(&got) {
                return got;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never became what was expected: {:?}", self.get(path).await);
    }
}

impl Reader {
    /// Asks until the answer is encoded so: some forms are made after a body is shown.
    pub(crate) async fn until_encoded(&self, path: &str, encoding: &str) -> Got {
        for _ in 0..500 {
            let got = self.send(Method::GET, path, &[("accept-encoding", encoding)]).await;
            if got.header("content-encoding") == Some(encoding) {
                return got;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{path} never had a form of {encoding}");
    }
}

/// The path of a changeset.
pub(crate) fn changeset(collection: &str, query: &str) -> String {
    format!("/v1/buckets/main/collections/{collection}/changeset?{query}")
}

/// The path of the monitor.
pub(crate) fn monitor(query: &str) -> String {
    format!("/v1/buckets/monitor/collections/changes/changeset?{query}")
}
