//! Signing with a service, over HTTP (`remote-settings.md` §1.16, §2.7, §2.8).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
    testing::{TestClient, TestReply},
};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    autograph::{Autograph, Mood},
    harness::{Harness, SOURCE},
};

const MAIN: &str = "/buckets/main/collections/c";
const PREVIEW: &str = "/buckets/preview/collections/c";

/// A writer whose service is `autograph`, with more settings.
async fn harness(autograph: &Autograph, more: &[(&'static str, &str)]) -> Harness {
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
async fn under_review(autograph: &Autograph, more: &[(&'static str, &str)]) -> Harness {
    let harness = harness(autograph, more).await;
    harness.make_source("c").await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    autograph.asked();
    harness
}

async fn approve(harness: &Harness) -> TestReply {
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
        "ref": "1881ks1du39bi26cfmfczu6pf3", "x5u": "https://chains.example/remote-settings.chain",
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

/// D11, D13.
#[tokio::test]
async fn d11_whatever_the_service_does_wrong_nothing_is_published() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let before = state(&harness).await;

    for mood in [
        Mood::Status(400),
        Mood::Status(401),
        Mood::Status(404),
        Mood::Status(429),
        Mood::Status(500),
        Mood::Status(502),
        Mood::Status(503),
        Mood::Status(504),
        Mood::Status(301),
        Mood::Status(204),
        Mood::Late(30_000),
        Mood::Text("<html>"),
        Mood::Text(""),
        Mood::Text("[]"),
        Mood::Text("[{}]"),
        Mood::Text("{\"signature\": \"x\"}"),
        Mood::OtherDocument,
        Mood::OtherKey,
        Mood::Without("signature"),
        Mood::Without("x5u"),
        Mood::Without("public_key"),
        Mood::Without("mode"),
        Mood::With("signature", ""),
        Mood::With("x5u", ""),
        Mood::With("x5u", "chains/relative"),
        Mood::With("mode", "p256ecdsa"),
        Mood::With("public_key", "AAAA"),
    ] {
        autograph.will(&[mood]);
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

/// What was judged before the service was asked is judged again after: nothing is locked meanwhile.
#[tokio::test]
async fn an_edit_while_the_service_signs_voids_the_approval() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let main = harness.anonymous.get(MAIN).await.json;
    autograph.will(&[Mood::Late(600)]);

    let bob = harness.bob.clone();
    let approval =
        tokio::spawn(async move { bob.patch(SOURCE, json!({"status": "to-sign"})).await });
    while autograph.asked() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 2})).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(400), "the edit does not wait");

    let approval = approval.await.unwrap().expect(400);
    assert_eq!(approval.json["message"], "Collection not under review");
    assert_eq!(harness.status().await, "work-in-progress");
    assert_eq!(harness.anonymous.get(MAIN).await.json, main);
}

/// Each takes a timestamp that another one wanted, and all succeed nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publish_while_a_slow_service_signs() {
    let autograph = Autograph::start().await;
    let harness = harness(&autograph, &[("signer.to_review_enabled", "false")]).await;
    for n in 0..6 {
        harness.make_source(&format!("c{n}")).await;
    }
    autograph.will(&[Mood::Late(100)]);
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let source = format!("/buckets/work/collections/c{n}");
            for round in 0..2 {
                alice.put(&format!("{source}/records/r{round}"), json!({})).await.expect(201);
                alice.patch(&source, json!({"status": "to-sign"})).await.expect(200);
            }
        });
    }
    tasks.join_all().await;

    for n in 0..6 {
        let main = format!("/buckets/main/collections/c{n}");
        check_signed(&harness.anonymous, &main, &[autograph.key("remote-settings")]).await;
        let list = harness.anonymous.get(&format!("{main}/records")).await;
        assert_eq!(list.json["data"].as_array().unwrap().len(), 2);
    }
}

/// "The signer down for a minute", in seconds: edits go on, approvals answer 503, and all is well
/// when it returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_edits_does_not_notice_that_the_service_is_down() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    harness.make_source("d").await;
    let main = harness.anonymous.get(MAIN).await.json;
    autograph.will(&[Mood::Status(500), Mood::Late(30_000)]);

    let end = Instant::now() + Duration::from_secs(4);
    let mut tasks = JoinSet::new();
    for editor in 0..4 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let (mut edits, mut slowest) = (0, Duration::ZERO);
            while Instant::now() < end {
                let path = format!("/buckets/work/collections/d/records/{editor}-{}", edits % 10);
                let started = Instant::now();
                let reply = alice.put(&path, json!({"edit": edits})).await;
                assert!([200, 201].contains(&reply.status), "{}", reply.json);
                slowest = slowest.max(started.elapsed());
                edits += 1;
            }
            (edits, slowest)
        });
    }
    let mut refused = 0;
    while Instant::now() < end {
        expect_unavailable(&approve(&harness).await, "an approval");
        let request = json!({"status": "to-review"});
        let reply = harness.alice.patch("/buckets/work/collections/d", request).await;
        expect_unavailable(&reply, "a request");
        refused += 2;
    }
    let edits = tasks.join_all().await;

    assert!(refused >= 4, "{refused}");
    assert!(edits.iter().all(|(edits, _)| *edits > 10), "{edits:?}");
    assert!(edits.iter().all(|(_, slowest)| *slowest < Duration::from_secs(1)), "{edits:?}");
    assert_eq!(harness.status().await, "to-review");
    assert_eq!(harness.anonymous.get(MAIN).await.json, main);
    autograph.will(&[Mood::Good]);
    approve(&harness).await.expect(200);
    let d = "/buckets/work/collections/d";
    harness.alice.patch(d, json!({"status": "to-review"})).await.expect(200);
    harness.bob.patch(d, json!({"status": "to-sign"})).await.expect(200);
    for main in [MAIN, "/buckets/main/collections/d"] {
        check_signed(&harness.anonymous, main, &[autograph.key("remote-settings")]).await;
    }
}
