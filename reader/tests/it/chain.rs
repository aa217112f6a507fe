//! Signatures that a certificate chain vouches for.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{Method, StatusCode, request::Parts};
use prometheus::Registry;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P384_SHA384, SanType,
};
use serde_json::json;
use shared::{
    chain::DOMAIN,
    config::{Layers, Listen},
    http::{Answer, Reply, Service, serve},
    telemetry::HttpMetrics,
};
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;

use crate::{
    fixture::{Database, Reader, Signer, changeset},
    verify::verify,
};

const HOST: &str = "remote-settings.content-signature.mozilla.org";
const T: i64 = 1_700_000_000_000;

/// Answers everything with one text.
struct Text(String);

impl Service for Text {
    async fn call(&self, _head: Parts, _body: Bytes) -> Answer {
        Answer::new("text", Reply::text(StatusCode::OK, self.0.clone()))
    }
}

/// Serves `text`, and returns a URL of it.
async fn publish(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chain", listener.local_addr().unwrap());
    let mut layers = Layers::new(reader::config::DEFAULTS);
    let limits = Listen::read(&mut layers).limits;
    let metrics = HttpMetrics::new(&Registry::new()).unwrap().into();
    tokio::spawn(serve(listener, Text(text), limits, metrics, std::future::pending()));
    url
}

/// A chain in PEM, its root's hash, and the end entity's key.
struct Made {
    pem: String,
    pin: String,
    key: KeyPair,
}

impl Made {
    fn new() -> Self {
        Self::with(|_| ())
    }

    /// A chain whose end entity is different.
    fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let params = |name: &str, names: &[&str], is_authority: bool| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
            if is_authority {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }
            params
        };
        let (root_key, middle_key, leaf_key) = (key(), key(), key());
        let root_params = params("root", &[], true);
        let root = root_params.self_signed(&root_key).unwrap();
        let root_issuer = Issuer::new(root_params, root_key);
        let mut middle_params = params("intermediate", &[], true);
        middle_params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(format!(".{DOMAIN}"))],
            excluded_subtrees: Vec::new(),
        });
        let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
        let middle_issuer = Issuer::new(middle_params, middle_key);
        let mut leaf_params = params(HOST, &[HOST], false);
        change(&mut leaf_params);
        let leaf = leaf_params.signed_by(&leaf_key, &middle_issuer).unwrap();
        let hash = digest(&SHA256, root.der());
        let hash = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
        let pem = [leaf.pem(), middle.pem(), root.pem()].concat();
        Self { pem, pin: hash.join(":"), key: leaf_key }
    }

    fn signer(&self, x5u: &str) -> Signer {
        Signer::certified(&self.key.serialize_der(), x5u.to_owned())
    }
}

impl Database {
    async fn chain(&self, path: &str, pem: &str) {
        self.run(&format!("insert into certificate_chain values ('{path}', '{pem}', 0)")).await;
    }
}

#[tokio::test]
async fn a_chain_counts_when_its_root_is_pinned() {
    let made = Made::new();
    let signer = made.signer(&publish(made.pem.clone()).await);
    let database = Database::create().await;
    database.signed("cfr", &signer, "ours", T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[]).await;
    let url = format!("http://{}/v1/", reader.address);
    let pinned = [url.as_str(), "--allow-http", "--root-hash", &made.pin];
    let and = |more: &[&'static str]| [&pinned, more].concat();

    assert_eq!(verify(&pinned).await, 0);
    assert_eq!(verify(&[&url, "--allow-http"]).await, 1, "the root is not one of Mozilla's");
    assert_eq!(verify(&[&url, "--root-hash", &made.pin]).await, 1, "http is for development");
    assert_eq!(verify(&[&url, "--allow-unpinned"]).await, 1, "a chain that fails is a failure");
    assert_eq!(verify(&and(&["--host", "other"])).await, 1);
    assert_eq!(verify(&and(&["--domain", "example.net"])).await, 1);
    assert_eq!(verify(&and(&["--host", HOST])).await, 0);
}

#[tokio::test]
async fn what_some_client_could_not_verify_is_a_failure() {
    let made = Made::new();
    let signer = made.signer(&publish(made.pem.clone()).await);
    for (poison, why) in [
        (json!({"n": 1.5}), "Firefox writes floats in another way"),
        (json!({"n": 9_007_199_254_740_993_i64}), "Firefox rounds it"),
        (json!({"\u{1f600}": 1}), "Firefox sorts it elsewhere"),
        (json!({"attachment": null}), "the Rust client leaves it out"),
        (json!({"attachment": {"filename": "f"}}), "the Rust client cannot read it"),
    ] {
        let database = Database::create().await;
        let mut record = poison.clone();
        record["id"] = "r".into();
        record["last_modified"] = T.into();
        let signature = signer.sign(&[record], T);
        let metadata = json!({"signature": signature, "signatures": [signature]});
        database.record("cfr", "r", T, &poison).await;
        database.collection("cfr", T + 1, &metadata, T).await;
        database.publish(T).await;
        let reader = Reader::of(&database, &[]).await;
        let url = format!("http://{}/v1", reader.address);

        let got = reader.get(&changeset("cfr", "_expected=0")).await;
        assert_eq!(got.status, StatusCode::OK, "its signature is good");
        let code = verify(&[&url, "--allow-http", "--root-hash", &made.pin]).await;
        assert_eq!(code, 1, "{why}");
    }
}

#[tokio::test]
async fn a_leaf_that_clients_would_refuse_is_a_failure() {
    let outside = "remote-settings.example.org";
    let named = |name: &'static str, common: &'static str| {
        Made::with(|leaf| {
            leaf.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
            leaf.distinguished_name.push(DnType::CommonName, common);
        })
    };
    let days = |days| OffsetDateTime::now_utc() + Duration::days(days);
    for (made, host, code) in [
        (Made::new(), HOST, 0),
        (named(outside, outside), outside, 1),
        (named(HOST, "another"), HOST, 1),
        (named("another.content-signature.mozilla.org", HOST), HOST, 1),
        (Made::with(|leaf| leaf.not_after = days(-1)), HOST, 1),
        (Made::with(|leaf| leaf.not_before = days(1)), HOST, 1),
        (Made::with(|leaf| leaf.extended_key_usages.clear()), HOST, 1),
        (Made::with(|leaf| leaf.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)), HOST, 1),
        (Made::with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::KeyAgreement]), HOST, 1),
        (Made::with(|leaf| leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature]), HOST, 0),
    ] {
        let signer = made.signer(&publish(made.pem.clone()).await);
        let database = Database::create().await;
        database.signed("cfr", &signer, "ours", T).await;
        database.publish(T).await;
        let reader = Reader::of(&database, &[]).await;
        let url = format!("http://{}/v1", reader.address);

        let options = [&url, "--allow-http", "--root-hash", &made.pin, "--host", host];
        assert_eq!(verify(&options).await, code, "{host}");
    }
}

#[tokio::test]
async fn every_chain_must_be_there_and_the_first_signature_good() {
    let (made, other) = (Made::new(), Made::new());
    let signer = made.signer(&publish(made.pem.clone()).await);
    let second = other.signer(&publish(other.pem.clone()).await);
    let gone = other.signer("http://127.0.0.1:9/chain");
    for (signers, expected) in
        [([&signer, &second], 0), ([&second, &signer], 1), ([&signer, &gone], 1)]
    {
        let database = Database::create().await;
        let signatures = signers.map(|signer| signer.sign(&[], T));
        let metadata = json!({"signature": signatures[0], "signatures": signatures});
        database.collection("cfr", T + 1, &metadata, T).await;
        database.publish(T).await;
        let reader = Reader::of(&database, &[]).await;
        let url = format!("http://{}/v1", reader.address);

        let code = verify(&[&url, "--allow-http", "--root-hash", &made.pin]).await;
        assert_eq!(code, expected);
    }
}

#[tokio::test]
async fn chains_are_served_from_memory_for_ever() {
    let made = Made::new();
    let database = Database::create().await;
    database.chain("g/chains/a.chain", &made.pem).await;
    database.chain("broken.chain", "no chain").await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[]).await;
    database.run("drop table certificate_chain").await;
    let path = "/v1/cert-chains/g/chains/a.chain";

    let got = reader.get(path).await;

    assert_eq!((got.status, got.body.as_ref()), (StatusCode::OK, made.pem.as_bytes()));
    assert_eq!(got.header("content-type"), Some("application/pem-certificate-chain"));
    assert_eq!(got.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(got.header("access-control-allow-origin"), Some("*"));
    let etag = got.header("etag").unwrap();
    let list = format!("\"x\", W/{etag}");
    for known in [etag, &list, "*"] {
        let same = reader.send(Method::GET, path, &[("if-none-match", known)]).await;
        assert_eq!((same.status, same.header("etag")), (StatusCode::NOT_MODIFIED, Some(etag)));
        assert!(same.body.is_empty());
    }
    let other = reader.send(Method::GET, path, &[("if-none-match", "\"x\"")]).await;
    assert_eq!(other.status, StatusCode::OK);
    let head = reader.send(Method::HEAD, path, &[]).await;
    assert_eq!(head.header("content-length"), Some(made.pem.len().to_string().as_str()));

    for unknown in ["broken.chain", "b.chain", "g/chains/", "..%2Fa", "a.chain"] {
        let got = reader.get(&format!("/v1/cert-chains/{unknown}")).await;
        let is_redirect = unknown.ends_with('/');
        if !is_redirect {
            assert_eq!((got.status, &got.json()["errno"]), (StatusCode::NOT_FOUND, &json!(111)));
            assert_eq!(got.header("cache-control"), Some("max-age=5"));
        }
    }
    let posted = reader.send(Method::POST, path, &[]).await;
    assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn d24_urls_of_chains_are_rewritten_each_with_its_own_path() {
    let (made, other) = (Made::new(), Made::new());
    let first = made.signer("https://signer.example/g/chains/1/a.chain");
    let second = other.signer("https://reader.example/v1/cert-chains/b.chain");
    let database = Database::create().await;
    let signatures = [first.sign(&[], T), second.sign(&[], T)];
    let metadata = json!({"signature": signatures[0], "signatures": signatures});
    database.collection("cfr", T + 1, &metadata, T).await;
    database.publish(T).await;

    let base = ("signer.certs_chains_base_url", "https://cdn.example/v1/cert-chains/");
    let reader = Reader::of(&database, &[base]).await;
    let plain = Reader::of(&database, &[]).await;

    let path = changeset("cfr", "_expected=0");
    let shown = &reader.get(&path).await.json()["metadata"];
    let cdn = "https://cdn.example/v1/cert-chains";
    assert_eq!(shown["signature"]["x5u"], format!("{cdn}/g/chains/1/a.chain"));
    assert_eq!(shown["signatures"][0]["x5u"], format!("{cdn}/g/chains/1/a.chain"));
    assert_eq!(shown["signatures"][1]["x5u"], format!("{cdn}/b.chain"));
    let stored = &plain.get(&path).await.json()["metadata"];
    assert_eq!(stored["signatures"], json!(signatures));
}

#[tokio::test]
async fn a_reader_may_pin_roots_instead_of_keys() {
    let (made, forged) = (Made::new(), Made::new());
    let x5u = |name: &str| format!("https://reader.example/v1/cert-chains/{name}");
    let database = Database::create().await;
    database.chain("a.chain", &made.pem).await;
    database.chain("forged.chain", &forged.pem).await;
    let unknown = Made::new();
    database.signed("cfr", &made.signer(&x5u("a.chain")), "ours", T).await;
    database.signed("forged", &forged.signer(&x5u("forged.chain")), "theirs", T + 9).await;
    database.signed("other-key", &forged.signer(&x5u("a.chain")), "theirs", T + 18).await;
    database.signed("gone", &unknown.signer(&x5u("unknown.chain")), "theirs", T + 27).await;
    database.publish(T).await;

    let reader = Reader::of(&database, &[("signature.root_hashes", &made.pin)]).await;
    let elsewhere = [("signature.root_hashes", made.pin.as_str()), ("signature.domain", "a.b")];
    let other = Reader::start(&database.test.url("countersign_reader"), &elsewhere).await;
    let refuses_all = |got: &crate::fixture::Got| {
        got.json()["rejected"].as_array().is_some_and(|rejected| rejected.len() == 4)
    };
    let heartbeat = other.until("/v1/__heartbeat__", refuses_all).await;
    assert_eq!(heartbeat.status, StatusCode::SERVICE_UNAVAILABLE);

    let status = async |reader: &Reader, id| reader.get(&changeset(id, "_expected=0")).await.status;
    assert_eq!(status(&reader, "cfr").await, StatusCode::OK);
    for refused in ["forged", "other-key", "gone"] {
        let got = status(&reader, refused).await;
        assert_eq!(got, StatusCode::SERVICE_UNAVAILABLE, "{refused}");
    }
    assert_eq!(status(&other, "cfr").await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_ends_soon_is_told_and_what_has_ended_is_served_still() {
    let days = |days| OffsetDateTime::now_utc() + Duration::days(days);
    let soon = Made::with(|leaf| leaf.not_after = days(3));
    let over = Made::with(|leaf| leaf.not_after = days(-1));
    let x5u = |name: &str| format!("https://reader.example/v1/cert-chains/{name}");
    for (made, is_over) in [(soon, false), (over, true)] {
        let database = Database::create().await;
        database.chain("a.chain", &made.pem).await;
        // Nothing that is served names it.
        database.chain("unused.chain", &Made::with(|leaf| leaf.not_after = days(-9)).pem).await;
        database.signed("cfr", &made.signer(&x5u("a.chain")), "ours", T).await;
        database.publish(T).await;
        let reader = Reader::of(&database, &[("signature.root_hashes", &made.pin)]).await;

        let got = reader.get(&changeset("cfr", "_expected=0")).await;
        assert_eq!(got.status, StatusCode::OK);
        let heartbeat = reader.get("/v1/__heartbeat__").await;
        let told = &heartbeat.json()["certificates"];
        assert_eq!((heartbeat.status, told.as_array().unwrap().len()), (StatusCode::OK, 1));
        assert_eq!((&told[0]["host"], &told[0]["warning"]), (&json!(HOST), &json!(true)));
        assert_eq!(told[0]["leaf_seconds"].as_i64().unwrap() < 0, is_over);
        let metrics = reader.get("/v1/__metrics__").await;
        let line = "countersign_certificate_expiry_seconds{certificate=\"leaf\"";
        assert!(String::from_utf8_lossy(&metrics.body).contains(line));

        let quiet = [("certificates.leaf_warning_days", "1")];
        let quiet = Reader::of(&database, &quiet).await;
        let told = &quiet.get("/v1/__heartbeat__").await.json()["certificates"][0]["warning"];
        assert_eq!(told, &json!(is_over));
    }
}
