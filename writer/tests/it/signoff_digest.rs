//! An approval is bound to bytes: to what the reviewer has looked at.

use serde_json::{Value, json};
use shared::{canonical, testing::TestReply};

use crate::{
    harness::{Harness, SOURCE},
    signoff::{MAIN, published},
};

const RECORD: &str = "/buckets/work/collections/c/records/r";

/// A source under review, and the digest that the reviewer reads.
async fn under_review() -> (Harness, String) {
    let harness = Harness::with_source().await;
    harness.alice.patch(SOURCE, json!({"flags": ["startup"]})).await.expect(200);
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(201);
    let requested = harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let digest = requested.json["data"]["last_review_request_digest"].as_str().unwrap().to_owned();
    (harness, digest)
}

async fn approve(harness: &Harness, digest: &str) -> TestReply {
    let approval = json!({"status": "to-sign", "last_reviewed_digest": digest});
    harness.bob.patch(SOURCE, approval).await
}

/// Checks that a digest is that of what was asked for.
pub(crate) fn assert_digest(digest: &str, asked: &Value) {
    let text = canonical::to_vec(asked);
    let computed = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    let byte = |at: usize| u8::from_str_radix(&digest[at..at + 2], 16).unwrap();
    let told: Vec<u8> = (0..digest.len()).step_by(2).map(byte).collect();
    assert_eq!(computed.as_ref(), told);
}

/// As `docs/sign-off.md` says that anybody can.
#[tokio::test]
async fn the_digest_of_a_request_can_be_computed_by_anybody() {
    let (harness, digest) = under_review().await;

    let mut records = harness.alice.get(&format!("{SOURCE}/records?_sort=id")).await.json;
    for record in records["data"].as_array_mut().unwrap() {
        record.as_object_mut().unwrap().remove("last_modified");
    }
    let asked = json!({"attributes": {"flags": ["startup"]}, "data": records["data"]});
    assert_digest(&digest, &asked);
}

#[tokio::test]
async fn an_approval_with_the_digest_of_what_was_asked_for_is_accepted() {
    let (harness, digest) = under_review().await;

    let approved = approve(&harness, &digest).await.expect(200);

    assert_eq!(approved.json["data"]["status"], "signed");
    assert_eq!(approved.json["data"].get("last_reviewed_digest"), None, "never stored");
    let stored = harness.alice.get(SOURCE).await.json;
    assert_eq!(stored["data"].get("last_reviewed_digest"), None);
    assert_eq!(stored["data"]["last_review_request_digest"], digest);
    assert_eq!(published(&harness, MAIN).await.len(), 1);
}

#[tokio::test]
async fn an_approval_of_what_has_changed_since_is_refused() {
    let (harness, digest) = under_review().await;

    // An edit voids the request.
    harness.alice.put(RECORD, json!({"n": 2})).await.expect(200);
    let refused = approve(&harness, &digest).await.expect(400);
    assert_eq!(refused.json["message"], "Collection not under review");

    // A new request asks for something else.
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let refused = approve(&harness, &digest).await.expect(412);
    assert_eq!(refused.json["errno"], 114);
    assert_eq!(refused.json["details"]["existing"]["status"], "to-review");
    assert_eq!(harness.status().await, "to-review");
    assert!(published(&harness, MAIN).await.is_empty());

    // The same bytes have the same digest, whenever they were written.
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(200);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    approve(&harness, &digest).await.expect(200);
}

/// Attributes are published by an approval, too: to change them voids a request, and the digest covers
/// them.
#[tokio::test]
async fn the_digest_covers_published_attributes() {
    let (harness, digest) = under_review().await;

    let changed = harness.alice.patch(SOURCE, json!({"flags": []})).await.expect(200);

    assert_eq!(changed.json["data"]["status"], "work-in-progress");
    let refused = approve(&harness, &digest).await.expect(400);
    assert_eq!(refused.json["message"], "Collection not under review");
    let requested = harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let renewed = requested.json["data"]["last_review_request_digest"].as_str().unwrap();
    assert_ne!(renewed, digest);
    approve(&harness, &digest).await.expect(412);
    // What is not published may change.
    let private = harness.alice.patch(SOURCE, json!({"private": 1})).await.expect(200);
    assert_eq!(private.json["data"]["status"], "to-review");
    approve(&harness, renewed).await.expect(200);
}

/// A reviewer publishes what somebody else has asked for, and adds nothing.
#[tokio::test]
async fn an_approval_brings_no_attributes_of_its_own() {
    let (harness, _) = under_review().await;

    let smuggled = json!({"status": "to-sign", "flags": ["startup", "unreviewed"]});
    harness.bob.patch(SOURCE, smuggled).await.expect(412);
    assert_eq!(harness.status().await, "to-review");
    let edited = harness.bob.patch(SOURCE, json!({"flags": ["unreviewed"]})).await.expect(200);
    assert_eq!(edited.json["data"]["status"], "work-in-progress");
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(400);

    let main = harness.anonymous.get(MAIN).await.expect(200).json;
    assert_eq!(main["data"].get("flags"), None);
}

#[tokio::test]
async fn if_match_binds_an_approval_as_well() {
    let (harness, _) = under_review().await;
    let seen = harness.bob.get(SOURCE).await.header("etag").to_owned();
    let approve = async |etag: &str| {
        let body = json!({"data": {"status": "to-sign"}}).to_string();
        let headers = [("content-type", "application/json"), ("if-match", etag)];
        harness.bob.raw("PATCH", SOURCE, &headers, body).await
    };

    harness.alice.put(RECORD, json!({"n": 2})).await.expect(200);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);

    approve(&seen).await.expect(412);
    assert_eq!(harness.status().await, "to-review");
    let seen = harness.bob.get(SOURCE).await.header("etag").to_owned();
    approve(&seen).await.expect(200);
}

#[tokio::test]
async fn digests_are_written_by_sign_off_alone_and_belong_to_approvals() {
    let (harness, digest) = under_review().await;
    let message = |reply: TestReply| reply.json["message"].as_str().unwrap().to_owned();

    let tampered = json!({"last_review_request_digest": "mine"});
    let refused = harness.alice.patch(SOURCE, tampered).await.expect(400);
    assert_eq!(
        message(refused),
        "Cannot change <TRACKING_FIELDS.LAST_REVIEW_REQUEST_DIGEST: 'last_review_request_digest'>"
    );
    let text = "last_reviewed_digest is sent with an approval: status 'to-sign'";
    for body in [
        json!({"last_reviewed_digest": digest}),
        json!({"last_reviewed_digest": digest, "status": "work-in-progress"}),
    ] {
        let refused = harness.alice.patch(SOURCE, body).await.expect(400);
        assert_eq!(message(refused), text);
    }
    let made = json!({"last_reviewed_digest": digest});
    let refused = harness.alice.put("/buckets/work/collections/d", made).await.expect(400);
    assert_eq!(message(refused), text);
    for odd in [Value::Null, json!(1), json!(""), json!(digest.to_uppercase())] {
        let approval = json!({"status": "to-sign", "last_reviewed_digest": odd});
        harness.bob.patch(SOURCE, approval).await.expect(412);
    }
    assert_eq!(harness.status().await, "to-review");
    // Elsewhere it is an attribute like any other.
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    let plain = json!({"last_reviewed_digest": 1});
    harness.alice.put("/buckets/b/collections/c", plain).await.expect(201);
    let kept = harness.alice.get("/buckets/b/collections/c").await.json;
    assert_eq!(kept["data"]["last_reviewed_digest"], 1);
}

/// Without review nobody has asked, and the digest is compared with the source as it is.
#[tokio::test]
async fn a_digest_works_without_review() {
    let harness = Harness::with(&[("signer.to_review_enabled", "false")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(201);
    let requested = harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let digest = requested.json["data"]["last_review_request_digest"].as_str().unwrap();
    harness.alice.put(RECORD, json!({"n": 2})).await.expect(200);

    approve_as_alice(&harness, digest).await.expect(412);
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(200);
    approve_as_alice(&harness, digest).await.expect(200);
}

async fn approve_as_alice(harness: &Harness, digest: &str) -> TestReply {
    let approval = json!({"status": "to-sign", "last_reviewed_digest": digest});
    harness.alice.patch(SOURCE, approval).await
}

/// In a batch, the refusal is that of the whole.
#[tokio::test]
async fn a_stale_approval_ends_its_batch() {
    let (harness, digest) = under_review().await;
    harness.alice.patch(SOURCE, json!({"flags": []})).await.expect(200);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let batch = json!({"defaults": {"method": "PATCH", "path": SOURCE}, "requests": [
        {"body": {"data": {"last_reviewer_comment": "good"}}},
        {"body": {"data": {"status": "to-sign", "last_reviewed_digest": digest}}},
    ]});

    harness.bob.send("POST", "/batch", batch).await.expect(412);

    let source = harness.alice.get(SOURCE).await.expect(200).json;
    assert_eq!(source["data"]["status"], "to-review");
    assert_eq!(source["data"].get("last_reviewer_comment"), None);
}
