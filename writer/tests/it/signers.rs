//! Which signer signs what, and keys of our own (`remote-settings.md` §1.1, §1.3, §2.5, §2.8).

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use shared::{
    config::Layers,
    model::Timestamp,
    signature::PublicKey,
    testing::{TestClient, TestDatabase},
};
use time::OffsetDateTime;
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::aws_lc_rs, pki_types::PrivateKeyDer},
};
use writer::{
    app::App,
    config::{Config, DEFAULTS},
    signer,
};

use crate::{
    autograph::{Autograph, Mood},
    harness::Harness,
    pki::Place,
    signing::{check_signed, expect_unavailable},
    start::Running,
};

const MAIN: &str = "/buckets/main/collections/c";

/// Key pairs in a directory that goes with the value.
struct Keys(PathBuf);

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Keys {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("keys-test-{}", uuid::Uuid::new_v4())))
    }

    /// Makes the pair `name`; the private key's path.
    fn make(&self, name: &str) -> String {
        signer::generate(&self.0.join(name)).unwrap();
        self.file(name, "private-key.pem")
    }

    fn file(&self, name: &str, file: &str) -> String {
        self.0.join(name).join(file).to_str().unwrap().to_owned()
    }

    fn public(&self, name: &str) -> PublicKey {
        PublicKey::from_pem(&std::fs::read(self.file(name, "public-key.pem")).unwrap()).unwrap()
    }
}

/// What is wrong with these settings, of which `/buckets/work -> /buckets/main` is one.
fn problems(settings: &[(&str, &str)]) -> String {
    let mut layers = Layers::new(DEFAULTS);
    layers.set("signer.resources", "/buckets/work -> /buckets/main".to_owned());
    for (key, text) in settings {
        layers.set(key, (*text).to_owned());
    }
    match Config::read(&mut layers) {
        Err(problems) => problems.to_string(),
        Ok(config) => {
            App::new(config).map_or_else(|problems| problems.to_string(), |_| String::new())
        }
    }
}

#[tokio::test]
async fn each_of_our_keys_signs_in_the_order_of_the_settings() {
    let keys = Keys::new();
    let paths = format!("{}\n{}", keys.make("new"), keys.make("old"));
    let harness = Harness::with(&[("signer.ecdsa.private_key", &paths)]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.make_source("c").await;

    let expected = [keys.public("new"), keys.public("old")];
    let signatures = check_signed(&harness.anonymous, MAIN, &expected).await;

    assert_eq!(signatures[0]["x5u"], "");
    assert_eq!(signatures[0]["mode"], "p384ecdsa");
}

#[tokio::test]
async fn a_bucket_or_a_collection_may_have_a_signer_of_its_own() {
    let (autograph, keys) = (Autograph::start().await, Keys::new());
    let (of_bucket, of_legacy) = (keys.make("bucket"), keys.make("legacy"));
    let url = autograph.url.clone();
    let resources = "/buckets/work -> /buckets/preview -> /buckets/main\n\
        /buckets/other -> /buckets/public\n/buckets/x/collections/y -> /buckets/public-x/collections/y";
    let harness = Harness::with(&[
        ("signer.resources", resources),
        ("signer.to_review_enabled", "false"),
        ("signer.autograph.server_url", &url),
        ("signer.autograph.hawk_id", crate::autograph::HAWK.0),
        ("signer.autograph.hawk_secret", crate::autograph::HAWK.1),
        ("signer.work.special.signer_backend", "autograph"),
        ("signer.work.special.autograph.key_ids", "next"),
        ("signer.work.alike.signer_backend", "kinto_signer.signer.autograph"),
        ("signer.other.ecdsa.private_key", &of_bucket),
        ("signer.x_y.ecdsa.private_key", &of_legacy),
    ])
    .await;
    for bucket in ["work", "other", "x"] {
        harness.alice.put(&format!("/buckets/{bucket}"), json!({})).await.expect(201);
    }

    for (source, target, key) in [
        ("/buckets/work/collections/c", MAIN, harness.key.clone()),
        (
            "/buckets/work/collections/special",
            "/buckets/main/collections/special",
            autograph.key("next"),
        ),
        (
            "/buckets/work/collections/alike",
            "/buckets/main/collections/alike",
            autograph.key("remote-settings"),
        ),
        ("/buckets/other/collections/c", "/buckets/public/collections/c", keys.public("bucket")),
        ("/buckets/x/collections/y", "/buckets/public-x/collections/y", keys.public("legacy")),
    ] {
        harness.alice.put(source, json!({})).await.expect(201);
        check_signed(&harness.anonymous, target, &[key]).await;
    }
}

/// §1.20: each distinct signer, once in ten seconds.
#[tokio::test]
async fn a_heartbeat_asks_each_signer_once() {
    let autograph = Autograph::start().await;
    let settings = autograph.settings();
    let mut settings: Vec<(&str, &str)> =
        settings.iter().map(|(key, text)| (*key, text.as_str())).collect();
    settings.push(("signer.work.a.autograph.key_ids", "remote-settings"));
    settings.push(("signer.work.b.autograph.key_ids", "next"));
    let harness = Harness::with(&settings).await;

    for _ in 0..3 {
        let healthy = harness.anonymous.get("/__heartbeat__").await.expect(200);
        assert_eq!(healthy.json["signer"], true);
    }
    assert_eq!(autograph.asked(), 2, "`a` has the same signer as all others");

    autograph.will(&[Mood::Status(401)]);
    let another = harness.again(&settings).await;
    let ill = another.get("/__heartbeat__").await.expect(503);
    assert_eq!((&ill.json["signer"], &ill.json["storage"]), (&json!(false), &json!(true)));

    autograph.will(&[Mood::Late(30_000)]);
    let another = harness.again(&settings).await;
    let started = tokio::time::Instant::now();
    another.get("/__heartbeat__").await.expect(503);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_public_key_alone_signs_nothing() {
    let keys = Keys::new();
    keys.make("k");
    let public = keys.file("k", "public-key.pem");
    let settings = [("signer.ecdsa.private_key", ""), ("signer.ecdsa.public_key", &public)];
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);

    let reply = harness.alice.put("/buckets/work/collections/c", json!({})).await;

    expect_unavailable(&reply, "no private key");
    harness.anonymous.get("/__heartbeat__").await.expect(503);
}

#[test]
fn what_is_wrong_with_a_signer_is_told_at_the_start() {
    let (keys, place) = (Keys::new(), Place::new());
    let (key, other) = (keys.make("k"), keys.make("other"));
    let other_public = keys.file("other", "public-key.pem");
    place.run("dev", Timestamp::now()).unwrap();
    let chain = place.path("remote-settings/current/chain.pem").to_str().unwrap().to_owned();
    let two = format!("{key}\n{other}");
    let local = |more: &[(&'static str, &str)]| {
        problems(&[&[("signer.ecdsa.private_key", key.as_str())], more].concat())
    };
    let service = |more: &[(&'static str, &str)]| {
        let all = [
            ("signer.signer_backend", "autograph"),
            ("signer.autograph.server_url", "http://127.0.0.1:8000/"),
            ("signer.autograph.hawk_id", "alice"),
            ("signer.autograph.hawk_secret", "s3cr3t"),
        ];
        problems(&[&all, more].concat())
    };

    assert_eq!(local(&[]), "");
    assert_eq!(service(&[]), "");
    assert_eq!(local(&[("signer.resources", "")]), "", "nothing is signed, so no key is read");
    let key_text = std::fs::read_to_string(&key).unwrap();
    for (found, expected) in [
        (problems(&[]), "signer.ecdsa.private_key is not set"),
        (problems(&[("signer.ecdsa.private_key", "/nowhere")]), "/nowhere: No such file"),
        (problems(&[("signer.ecdsa.private_key", &other_public)]), "not a P-384 private key"),
        (local(&[("signer.ecdsa.public_key", &other_public)]), "not the public key of a private"),
        (local(&[("signer.signer_backend", "kinto.x.local_ecdsa")]), "known are local_ecdsa and"),
        (local(&[("signer.work.signer_backend", "x")]), "signer.work.signer_backend is `x`"),
        (local(&[("signer.nowhere.ecdsa.private_key", &key)]), "is not a setting"),
        (local(&[("signer.local.x5u", "relative")]), "expected an absolute URL"),
        (local(&[("signer.local.x5u", "https://x/chains/")]), "signer.local.chain_path is needed"),
        (local(&[("signer.local.x5u", "https://x/a https://x/b")]), "has 2, and there are 1"),
        (local(&[("signer.local.chain_path", &chain)]), "is not for the key of"),
        (local(&[("signer.local.chain_path", &key)]), "something else is beside them"),
        (problems(&[("signer.ecdsa.private_key", &format!("{two}\n/no"))]), "/no: No such file"),
        (service(&[("signer.autograph.server_url", "")]), "expected the service's http(s) URL"),
        (
            service(&[("signer.autograph.server_url", "file:///x")]),
            "expected the service's http(s)",
        ),
        (service(&[("signer.autograph.server_url", "http://u:p@x/")]), "expected the service's"),
        (service(&[("signer.autograph.hawk_id", "")]), "signer.autograph.hawk_id is not set"),
        (service(&[("signer.autograph.hawk_id", "a\"")]), "no header can carry"),
        (service(&[("signer.autograph.hawk_secret", "")]), "hawk_secret is not set"),
        (service(&[("signer.autograph.key_ids", "")]), "key_ids is not set"),
        (service(&[("signer.autograph.timeout_seconds", "0")]), "from 1 to 30"),
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains("s3cr3t") && !found.contains(&key_text), "{found}");
    }
    assert_eq!(local(&[("signer.local.x5u", "https://x/a.chain")]), "");
    assert_eq!(problems(&[("signer.ecdsa.private_key", &two)]), "");
}

/// Clients would refuse what such a chain vouches for, so it is not published.
#[tokio::test]
async fn nothing_is_signed_with_a_chain_that_has_ended() {
    let place = Place::new();
    place.run("dev", Timestamp::from_millis(1_600_000_000_000)).unwrap();
    let path = |file| place.path(&format!("remote-settings/current/{file}")).display().to_string();
    let harness = Harness::with(&[
        ("signer.ecdsa.private_key", &path("private-key.pem")),
        ("signer.local.chain_path", &path("chain.pem")),
        ("signer.local.x5u", "https://x/chains/"),
    ])
    .await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);

    let reply = harness.alice.put("/buckets/work/collections/c", json!({})).await;

    expect_unavailable(&reply, "an old chain");
}

/// A binary with a certified key of its own, whose key and chain are read again on SIGHUP.
struct Certified {
    place: Place,
    keys: Keys,
    running: Running,
    alice: TestClient,
}

impl Certified {
    async fn start(database: &TestDatabase) -> Self {
        let (place, keys) = (Place::new(), Keys::new());
        place.run("dev", Timestamp::now()).unwrap();
        std::fs::create_dir_all(&keys.0).unwrap();
        let path =
            |file| place.path(&format!("remote-settings/current/{file}")).display().to_string();
        let environment = [
            ("KINTO_USERID_HMAC_SECRET", "x".to_owned()),
            ("KINTO_MULTIAUTH_POLICIES", "basicauth".to_owned()),
            ("KINTO_SIGNER_RESOURCES", "/buckets/work -> /buckets/main".to_owned()),
            ("KINTO_SIGNER_ECDSA_PRIVATE_KEY", path("private-key.pem")),
            ("COUNTERSIGN_SIGNER_LOCAL_CHAIN_PATH", path("chain.pem")),
            ("COUNTERSIGN_SIGNER_LOCAL_X5U", "https://x/v1/cert-chains/".to_owned()),
        ];
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let (running, client) = Running::serve(database, &environment, &keys.0.join("log")).await;
        let alice = client.as_user("alice");
        alice.put("/buckets/work", json!({})).await.expect(201);
        Self { place, keys, running, alice }
    }

    fn current(&self, file: &str) -> PathBuf {
        self.place.path(&format!("remote-settings/current/{file}"))
    }

    fn public_key(&self) -> PublicKey {
        PublicKey::from_pem(&std::fs::read(self.current("public-key.pem")).unwrap()).unwrap()
    }

    /// Sends SIGHUP, and waits until the log tells of it once more.
    async fn hang_up(&self, told: &str) {
        let count = |log: &str| log.matches(told).count();
        let log = || std::fs::read_to_string(self.keys.0.join("log")).unwrap();
        let before = count(&log());
        self.running.signal("HUP");
        for _ in 0..500 {
            if count(&log()) > before {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        unreachable!("{told} is not told: {}", log());
    }

    /// The signature of a new collection.
    async fn sign(&self, id: &str, key: &PublicKey) -> Value {
        let source = format!("/buckets/work/collections/{id}");
        self.alice.put(&source, json!({})).await.expect(201);
        let main = format!("/buckets/main/collections/{id}");
        check_signed(&self.alice, &main, std::slice::from_ref(key)).await[0].clone()
    }

    async fn old_keys(&self) -> String {
        let metrics = self.alice.root("GET", "/__metrics__").await.bytes;
        let metrics = String::from_utf8(metrics.to_vec()).unwrap();
        let line = metrics.lines().find(|line| line.starts_with("countersign_signer_keys_old "));
        line.unwrap().split(' ').next_back().unwrap().to_owned()
    }
}

#[tokio::test]
async fn keys_and_chains_are_read_again_on_sighup_and_bad_ones_are_not_taken() {
    let database = TestDatabase::create().await;
    let certified = Certified::start(&database).await;
    let first = certified.public_key();
    let first_x5u = certified.sign("a", &first).await["x5u"].clone();
    let name = "https://x/v1/cert-chains/remote-settings.content-signature.mozilla.org-20";
    assert!(first_x5u.as_str().unwrap().starts_with(name), "{first_x5u}");

    // Another key and chain, later than the first.
    certified.place.run("renew --days 40", Timestamp::now()).unwrap();
    certified.hang_up("the signers' keys are read again").await;
    let second = certified.public_key();
    assert_ne!(first, second);
    let second_x5u = certified.sign("b", &second).await["x5u"].clone();
    assert_ne!(first_x5u, second_x5u);
    assert_eq!(certified.old_keys().await, "0");

    let good = std::fs::read(certified.current("private-key.pem")).unwrap();
    certified.keys.make("stray");
    let stray = std::fs::read(certified.keys.file("stray", "private-key.pem")).unwrap();
    for (id, bad) in [("c", b"garbage".as_slice()), ("d", &stray)] {
        std::fs::write(certified.current("private-key.pem"), bad).unwrap();
        certified.hang_up("a signer keeps its old keys").await;
        assert_eq!(certified.sign(id, &second).await["x5u"], second_x5u);
        assert_eq!(certified.old_keys().await, "1");
    }

    std::fs::write(certified.current("private-key.pem"), good).unwrap();
    certified.hang_up("the signers' keys are read again").await;
    assert_eq!(certified.old_keys().await, "0");
}

/// The key's text in the environment, and a service behind TLS whose certificate ends in 5 days.
#[tokio::test]
async fn a_certificate_that_ends_soon_is_told_in_the_log() {
    let (autograph, keys, database) =
        (Autograph::start().await, Keys::new(), TestDatabase::create().await);
    let key = std::fs::read_to_string(keys.make("k")).unwrap();
    let authority = keys.0.join("tls.pem");
    let port = behind_tls(&autograph, &authority).await;
    let log = keys.0.join("log");
    let environment = [
        ("SSL_CERT_FILE", authority.to_str().unwrap().to_owned()),
        ("KINTO_MULTIAUTH_POLICIES", "basicauth".to_owned()),
        (
            "KINTO_SIGNER_RESOURCES",
            "/buckets/work -> /buckets/main\n/buckets/own -> /buckets/public".to_owned(),
        ),
        ("KINTO_SIGNER_SIGNER_BACKEND", "autograph".to_owned()),
        ("KINTO_SIGNER_AUTOGRAPH_SERVER_URL", format!("https://localhost:{port}")),
        ("KINTO_SIGNER_AUTOGRAPH_HAWK_ID", crate::autograph::HAWK.0.to_owned()),
        ("KINTO_SIGNER_AUTOGRAPH_HAWK_SECRET", crate::autograph::HAWK.1.to_owned()),
        ("KINTO_SIGNER_OWN_SIGNER_BACKEND", "local_ecdsa".to_owned()),
        ("KINTO_SIGNER_OWN_ECDSA_PRIVATE_KEY", key.clone()),
    ];
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let (_running, client) = Running::serve(&database, &environment, &log).await;

    client.root("GET", "/__heartbeat__").await.expect(200);

    let alice = client.as_user("alice");
    for (source, target, key) in
        [("work", "main", autograph.key("remote-settings")), ("own", "public", keys.public("k"))]
    {
        alice.put(&format!("/buckets/{source}"), json!({})).await.expect(201);
        alice.put(&format!("/buckets/{source}/collections/c"), json!({})).await.expect(201);
        check_signed(&alice, &format!("/buckets/{target}/collections/c"), &[key]).await;
    }
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("Only 4 days before Autograph certificate expires"), "{log}");
    assert!(!log.contains(crate::autograph::HAWK.1) && !log.contains(&key), "{log}");
}

/// Puts TLS before the service, with a certificate that ends in less than 5 days, whose PEM is
/// written to `authority`. Returns the port.
async fn behind_tls(autograph: &Autograph, authority: &Path) -> u16 {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = OffsetDateTime::now_utc() - time::Duration::days(20);
    params.not_after = OffsetDateTime::now_utc() + time::Duration::hours(4 * 24 + 12);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(authority, certificate.pem()).unwrap();
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let address = autograph.url.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let mut server = TcpStream::connect(address).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    port
}
