//! Signing with a service, over HTTP (`remote-settings.md` §1.16, §2.7, §2.8).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
    testing::{TestClient, TestReply},
};
use tokio::net::TcpListener;

use crate::{
    autograph::{Autograph, Mood},
    harness::{Harness, SOURCE},
};

pub(crate) const MAIN: &str = "/buckets/main/collections/c";
const PREVIEW: &str = "/buckets/preview/collections/c";

/// A writer whose service is `autograph`, with more settings.
pub(crate) async fn harness(autograph: &Autograph, more: &[(&'static str, &str)]) -> Harness {
    let settings = autograph.settings();
    let settings: Vec<(&str, &str)> = settings
        .iter()
        .map(|(key, text)| (*key, text.as_str()))
        .chain(more.iter().copied())
        .collect();
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness
}

/// One with the source `c` under review: one record waits for its approval.
pub(crate) async fn under_review(autograph: &Autograph, more: &[(&'static str, &str)]) -> Harness {
    let harness = harness(autograph, more).await;
    harness.make_source("c").await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    autograph.asked();
    harness
}

pub(crate) async fn approve(harness: &Harness) -> TestReply {
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await
}

/// The signatures of a collection, each checked with its key over what is served.
pub(crate) async fn check_signed(
    client: &TestClient,
    collection: &str,
    keys: &[PublicKey],
) -> Value {
    let metadata = client.get(collection).await.expect(200).json["data"].clone();
    let list = client.get(&format!("{collection}/records")).await.expect(200);
    let timestamp = Timestamp::parse(list.header("etag")).unwrap();
    let document = canonical::document(list.json["data"].as_array().unwrap(), timestamp);
    let signatures: Vec<ContentSignature> =
        serde_json::from_value(metadata["signatures"].clone()).unwrap();
    assert_eq!(signatures.len(), keys.len());
    for (signature, key) in signatures.iter().zip(keys) {
        assert_eq!(signature.verify(key, &document), Ok(()), "{collection}");
    }
    assert_eq!(metadata["signature"], metadata["signatures"][0]);
    metadata["signatures"].clone()
}

/// All that a failed publication must leave as it is.
async fn state(harness: &Harness) -> Vec<(String, Value)> {
    let mut state = Vec::new();
    for path in [SOURCE, PREVIEW, MAIN, "/buckets/work/groups/c-editors"] {
        for path in [path.to_owned(), format!("{path}/records")] {
            let reply = harness.alice.get(&path).await;
            state.push((reply.header("etag").to_owned(), reply.json));
        }
    }
    state
}

pub(crate) fn expect_unavailable(reply: &TestReply, what: &str) {
    assert_eq!((reply.status, &reply.json["errno"]), (503, &json!(201)), "{what}: {}", reply.json);
    assert_eq!(reply.header("retry-after"), "3", "{what}");
}

#[tokio::test]
async fn a_service_signs_what_is_published() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;

    approve(&harness).await.expect(200);

    assert_eq!(autograph.asked(), 2, "once each target");
    let key = [autograph.key("remote-settings")];
    check_signed(&harness.anonymous, PREVIEW, &key).await;
    let signatures = check_signed(&harness.anonymous, MAIN, &key).await;
    let mut signature = signatures[0].as_object().unwrap().clone();
    assert_eq!(signature.remove("signature").unwrap().as_str().unwrap().len(), 128);
    assert!(signature.remove("public_key").is_some());
    let expected = json!({
        "mode": "p384ecdsa", "type": "contentsignaturepki", "signer_id": "remote-settings",
        "ref": "1881ks1du39bi26cfmfczu6pf3", "x5u": autograph.x5u("remote-settings"),
    });
    assert_eq!(json!(signature), expected, "and nothing else (§2.6)");
    assert!(autograph.state.refused.lock().unwrap().is_empty());
}

#[tokio::test]
async fn each_key_signs_in_the_order_of_the_settings() {
    let autograph = Autograph::start().await;
    let more = [("signer.autograph.key_ids", "next\nremote-settings")];
    let harness = under_review(&autograph, &more).await;

    approve(&harness).await.expect(200);

    assert_eq!(autograph.asked(), 4, "once each target and key");
    let keys = [autograph.key("next"), autograph.key("remote-settings")];
    let signatures = check_signed(&harness.anonymous, MAIN, &keys).await;
    assert_eq!(signatures[0]["signer_id"], "next");

    autograph.will(&[Mood::Good, Mood::Status(500)]);
    expect_unavailable(
        &harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await,
        "one of several is missing",
    );
}

/// Whatever of these the service does: 503, and nothing has changed.
async fn check_refused(moods: &[Mood]) {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let before = state(&harness).await;

    for mood in moods {
        autograph.will(&[*mood]);
        let started = Instant::now();
        expect_unavailable(&approve(&harness).await, &format!("{mood:?}"));

        let tries = if matches!(mood, Mood::Status(502..=504)) { 2 } else { 1 };
        assert!(autograph.asked() <= 2 * tries, "{mood:?}");
        assert!(started.elapsed() < Duration::from_secs(4), "{mood:?}");
        assert_eq!(state(&harness).await, before, "{mood:?}");
    }

    autograph.will(&[Mood::Good]);
    approve(&harness).await.expect(200);
    check_signed(&harness.anonymous, MAIN, &[autograph.key("remote-settings")]).await;
    assert!(autograph.state.refused.lock().unwrap().is_empty(), "each attempt has its nonce");
}

#[tokio::test]
async fn d11_a_service_that_fails_is_a_503_that_publishes_nothing() {
    let statuses = [400, 401, 404, 429, 500, 502, 503, 504, 301, 204];
    let moods: Vec<Mood> =
        statuses.into_iter().map(Mood::Status).chain([Mood::Late(30_000)]).collect();
    check_refused(&moods).await;
}

#[tokio::test]
async fn d13_what_does_not_verify_is_not_stored() {
    check_refused(&[
        Mood::OtherDocument,
        Mood::OtherKey,
        Mood::With("signature", ""),
        Mood::With("signature", "AAAA"),
        Mood::With("public_key", "AAAA"),
        Mood::With("mode", "p256ecdsa"),
        Mood::With("x5u", ""),
        Mood::With("x5u", "chains/relative"),
        Mood::Without("signature"),
        Mood::Without("x5u"),
        Mood::Without("public_key"),
        Mood::Without("mode"),
        Mood::Text("<html>"),
        Mood::Text(""),
        Mood::Text("[]"),
        Mood::Text("[{}]"),
        Mood::Text("{\"signature\": \"x\"}"),
    ])
    .await;
}

#[tokio::test]
async fn all_that_signs_fails_with_the_service() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let before = state(&harness).await;
    autograph.will(&[Mood::Status(500)]);

    let alice = &harness.alice;
    for (reply, what) in [
        (alice.patch(SOURCE, json!({"status": "to-resign"})).await, "a refresh"),
        (alice.patch(SOURCE, json!({"status": "to-rollback"})).await, "a rollback"),
        (alice.delete(SOURCE).await, "a deletion"),
        (alice.delete("/buckets/work").await, "a deletion of the bucket"),
        (alice.put("/buckets/work/collections/new", json!({})).await, "a creation"),
    ] {
        expect_unavailable(&reply, what);
    }

    assert_eq!(state(&harness).await, before);
    alice.get("/buckets/work/groups/new-editors").await.expect(404);
    let record = format!("{SOURCE}/records/r");
    alice.put(&record, json!({"n": 2})).await.expect(200);
    expect_unavailable(&alice.patch(SOURCE, json!({"status": "to-review"})).await, "a request");
    assert_eq!(harness.status().await, "work-in-progress");
}

#[tokio::test]
async fn a_gateway_s_refusal_is_tried_once_more() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;

    // One of the two targets meets it.
    autograph.will(&[Mood::Status(502), Mood::Good]);
    approve(&harness).await.expect(200);

    assert_eq!(autograph.asked(), 3);
    check_signed(&harness.anonymous, MAIN, &[autograph.key("remote-settings")]).await;
}

#[tokio::test]
async fn nobody_listens() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let before = state(&harness).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let mut settings = autograph.settings();
    settings.push(("signer.autograph.server_url", url));
    let settings: Vec<(&str, &str)> =
        settings.iter().map(|(key, text)| (*key, text.as_str())).collect();
    let cut_off = harness.again(&settings).await;

    let started = Instant::now();
    let reply = cut_off.as_user("bob").patch(SOURCE, json!({"status": "to-sign"})).await;

    expect_unavailable(&reply, "connection refused");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(state(&harness).await, before);
}

#[tokio::test]
async fn wrong_credentials_are_refused_by_the_service() {
    let autograph = Autograph::start().await;
    let more = [("signer.autograph.hawk_secret", "another")];
    let harness = harness(&autograph, &more).await;

    expect_unavailable(&harness.alice.put(SOURCE, json!({})).await, "another secret");

    assert_eq!(autograph.asked(), 0);
    assert!(autograph.state.refused.lock().unwrap().iter().all(|why| *why == "another MAC"));
}

/// One call to the service for each target, however often a batch publishes (§1.16).
#[tokio::test]
async fn a_batch_signs_each_target_once() {
    let autograph = Autograph::start().await;
    let harness = harness(&autograph, &[("signer.to_review_enabled", "false")]).await;
    harness.make_source("c").await;
    autograph.asked();
    let requests: Vec<Value> = (1..=3)
        .flat_map(|n| {
            let record = json!({"method": "PUT", "path": format!("{SOURCE}/records/r{n}")});
            let body = json!({"data": {"status": "to-sign"}});
            [record, json!({"method": "PATCH", "path": SOURCE, "body": body})]
        })
        .collect();

    let batch =
        harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    for response in batch.json["responses"].as_array().unwrap() {
        assert!([200, 201].contains(&response["status"].as_i64().unwrap()), "{response}");
    }
    assert_eq!(autograph.asked(), 2);
    check_signed(&harness.anonymous, MAIN, &[autograph.key("remote-settings")]).await;
    let list = harness.anonymous.get(&format!("{MAIN}/records")).await;
    assert_eq!(list.json["data"].as_array().unwrap().len(), 3);
}

/// Each run makes up another id, so that the service is asked under the locks in the end.
#[tokio::test]
async fn a_document_that_is_never_twice_the_same_is_signed_nevertheless() {
    let autograph = Autograph::start().await;
    let harness = harness(&autograph, &[("signer.to_review_enabled", "false")]).await;
    harness.make_source("c").await;
    autograph.asked();
    let requests = json!([
        {"method": "POST", "path": format!("{SOURCE}/records"), "body": {"data": {"n": 1}}},
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-sign"}}},
    ]);

    harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    assert_eq!(autograph.asked(), 6, "two targets, three times");
    check_signed(&harness.anonymous, MAIN, &[autograph.key("remote-settings")]).await;
    let list = harness.anonymous.get(&format!("{MAIN}/records")).await;
    assert_eq!(list.json["data"].as_array().unwrap().len(), 1, "written once");
}
