//! Which signer signs what, and keys of our own (`remote-settings.md` §1.1, §1.3, §2.5, §2.8).

use std::{path::PathBuf, time::Duration};

use serde_json::json;
use shared::{config::Layers, model::Timestamp, signature::PublicKey};
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
};

const MAIN: &str = "/buckets/main/collections/c";

/// Key pairs in a directory that goes with the value.
pub(crate) struct Keys(pub(crate) PathBuf);

impl Drop for Keys {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Keys {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("keys-test-{}", uuid::Uuid::new_v4())))
    }

    /// Makes the pair `name`; the private key's path.
    pub(crate) fn make(&self, name: &str) -> String {
        signer::generate(&self.0.join(name)).unwrap();
        self.file(name, "private-key.pem")
    }

    pub(crate) fn file(&self, name: &str, file: &str) -> String {
        self.0.join(name).join(file).to_str().unwrap().to_owned()
    }

    pub(crate) fn public(&self, name: &str) -> PublicKey {
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
        ("outgoing.allowed_hosts", "127.0.0.1"),
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
        (local(&[("signer.local.x5u", "relative")]), "should be an absolute URL"),
        (local(&[("signer.local.x5u", "https://x/a?b")]), "should be an absolute URL"),
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
        (service(&[("signer.autograph.root_hashes", "C8:A8")]), "a root hash is 32 bytes"),
    ] {
        assert!(found.contains(expected), "{expected}: {found}");
        assert!(!found.contains("s3cr3t") && !found.contains(&key_text), "{found}");
    }
    assert_eq!(local(&[("signer.local.x5u", "https://x/a.chain")]), "");
    assert_eq!(problems(&[("signer.ecdsa.private_key", &two)]), "");
}

/// Told before anything is published, which would fail.
#[test]
fn two_keys_have_no_chain_in_common() {
    let keys = Keys::new();
    let two = format!("{}\n{}", keys.make("a"), keys.make("b"));
    let with = |x5u: &str| {
        problems(&[("signer.ecdsa.private_key", two.as_str()), ("signer.local.x5u", x5u)])
    };

    assert_eq!(with("https://x/a https://x/b"), "");
    let found = with("https://x/a https://x/a");
    assert!(found.contains("two keys have the chain https://x/a"), "{found}");
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
