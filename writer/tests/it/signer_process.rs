//! Signers of the binary itself: keys that change while it runs, and a service behind TLS.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};
use shared::{
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

use crate::{
    autograph::Autograph, pki::Place, signers::Keys, signing::check_signed, start::Running,
};

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
        ("COUNTERSIGN_OUTGOING_ALLOWED_HOSTS", "127.0.0.1".to_owned()),
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
