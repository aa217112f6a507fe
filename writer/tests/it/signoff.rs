//! Review, signature and publication (`remote-settings.md` §1 and §2).

use serde_json::{Value, json};
use shared::{canonical, model::Timestamp, signature::ContentSignature, testing::TestReply};

use crate::harness::{Harness, SOURCE, ids, user_id};

pub(crate) const MAIN: &str = "/buckets/main/collections/c";
pub(crate) const PREVIEW: &str = "/buckets/preview/collections/c";

/// Checks the stored signature over what is stored, as a client does.
pub(crate) async fn assert_signed(harness: &Harness, collection: &str) {
    let metadata = harness.anonymous.get(collection).await.expect(200).json;
    let list: TestReply = harness.anonymous.get(&format!("{collection}/records")).await.expect(200);
    let timestamp = Timestamp::parse(list.header("etag")).unwrap();
    let document = canonical::document(list.json["data"].as_array().unwrap(), timestamp);
    let signatures: Vec<ContentSignature> =
        serde_json::from_value(metadata["data"]["signatures"].clone()).unwrap();
    assert_eq!(signatures.len(), 1);
    assert_eq!(json!(signatures[0]), metadata["data"]["signature"]);
    assert_eq!(signatures[0].verify(&harness.key, &document), Ok(()));
}

pub(crate) async fn published(harness: &Harness, collection: &str) -> Vec<Value> {
    let list = harness.anonymous.get(&format!("{collection}/records")).await.expect(200);
    list.json["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_new_source_has_groups_and_signed_empty_targets() {
    let harness = Harness::with_source().await;

    assert_eq!(harness.status().await, "signed");
    let editors = harness.alice.get("/buckets/work/groups/c-editors").await.expect(200);
    assert_eq!(editors.json["data"]["members"], json!([user_id(&harness.alice).await]));
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
        assert!(published(&harness, target).await.is_empty());
    }
}

#[tokio::test]
async fn an_edit_is_reviewed_approved_and_published_with_a_signature_that_verifies() {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    assert_eq!(harness.status().await, "work-in-progress");

    let request = json!({"status": "to-review", "last_editor_comment": "please"});
    let requested = harness.alice.patch(SOURCE, request).await.expect(200);
    assert_eq!(requested.json["data"]["last_editor_comment"], "please");
    assert_eq!(published(&harness, PREVIEW).await.len(), 1);
    assert!(published(&harness, MAIN).await.is_empty(), "not before it is approved");
    assert_signed(&harness, PREVIEW).await;

    let approved = harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
    assert_eq!(approved.json["data"]["status"], "signed", "D12: the final state");
    let now = harness.alice.get(SOURCE).await;
    assert_eq!(approved.header("etag"), now.header("etag"));
    assert_eq!(now.json["data"]["last_review_by"], json!(user_id(&harness.bob).await));
    assert_eq!(published(&harness, MAIN).await[0]["n"], 1);
    assert_signed(&harness, MAIN).await;

    harness.alice.delete(&format!("{SOURCE}/records/r")).await.expect(200);
    harness.publish().await;
    assert_signed(&harness, MAIN).await;
    let tombstones = harness.anonymous.get(&format!("{MAIN}/records?_since=0")).await;
    assert_eq!(tombstones.json["data"][0]["deleted"], true);
}

#[tokio::test]
async fn who_may_not_is_told_why() {
    let harness = Harness::with_source().await;
    let status = |status: &str| json!({"status": status});
    let message = |reply: TestReply| reply.json["message"].as_str().unwrap().to_owned();
    let (alice, bob) = (&harness.alice, &harness.bob);

    let refused = alice.patch(SOURCE, status("to-sign")).await.expect(400);
    assert_eq!(message(refused), "Collection already signed");
    let refused = bob.patch(SOURCE, status("to-review")).await.expect(403);
    assert_eq!(message(refused), "Not in c-editors group");
    alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
    let refused = bob.patch(SOURCE, status("to-sign")).await.expect(400);
    assert_eq!(message(refused), "Collection not under review");
    alice.patch(SOURCE, status("to-review")).await.expect(200);
    let refused = alice.patch(SOURCE, status("to-sign")).await.expect(403);
    assert_eq!(message(refused), "Not in c-reviewers group");
    let both = json!({"members": [user_id(alice).await, user_id(bob).await]});
    alice.patch("/buckets/work/groups/c-reviewers", both).await.expect(200);
    let refused = alice.patch(SOURCE, status("to-sign")).await.expect(403);
    assert_eq!(message(refused), "Last editor cannot review");
    for (posted, text) in [
        (json!("signed"), "Cannot set status to 'signed'"),
        (json!("bogus"), "Invalid status 'bogus'"),
        (json!(""), "Invalid status ''"),
        (Value::Null, "Cannot remove status"),
    ] {
        let refused = alice.patch(SOURCE, json!({"status": posted})).await.expect(400);
        assert_eq!(message(refused), text);
    }
    let tampered = json!({"last_review_by": "me"});
    let refused = alice.patch(SOURCE, tampered).await.expect(400);
    assert_eq!(
        message(refused),
        "Cannot change <TRACKING_FIELDS.LAST_REVIEW_BY: 'last_review_by'>"
    );
    assert_eq!(harness.status().await, "to-review", "refusals change nothing");
}

#[tokio::test]
async fn editing_under_review_takes_the_request_back() {
    let harness = Harness::with_source().await;
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);

    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);

    assert_eq!(harness.status().await, "work-in-progress");
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(400);
}

#[tokio::test]
async fn nothing_changed_means_nothing_to_fetch() {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.publish().await;
    let records = || async {
        harness.anonymous.get(&format!("{MAIN}/records")).await.header("etag").to_owned()
    };
    let metadata = || async { harness.anonymous.get(MAIN).await.header("etag").to_owned() };
    let before = (records().await, metadata().await);

    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(200);
    harness.publish().await;
    assert_eq!(records().await, before.0);

    harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);
    assert_eq!(records().await, before.0, "a refresh does not touch records");
    assert_ne!(metadata().await, before.1, "but it can be seen");
    assert_eq!(harness.status().await, "signed");
    assert_signed(&harness, MAIN).await;
}

#[tokio::test]
async fn d06_a_rollback_restores_what_clients_have_with_new_timestamps() {
    let harness = Harness::with_source().await;
    let record = format!("{SOURCE}/records/r");
    harness.alice.put(&record, json!({"n": 1})).await.expect(201);
    harness.publish().await;
    harness.alice.put(&record, json!({"n": 2})).await.expect(200);
    let edited = harness.alice.put(&format!("{SOURCE}/records/new"), json!({})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);

    harness.alice.patch(SOURCE, json!({"status": "to-rollback"})).await.expect(200);

    assert_eq!(harness.status().await, "signed");
    let restored = harness.alice.get(&record).await.expect(200).json;
    assert_eq!(restored["data"]["n"], 1);
    assert!(
        restored["data"]["last_modified"].as_i64() > edited.json["data"]["last_modified"].as_i64()
    );
    harness.alice.get(&format!("{SOURCE}/records/new")).await.expect(404);
    assert_eq!(published(&harness, PREVIEW).await.len(), 1);
    assert_signed(&harness, PREVIEW).await;
}

#[tokio::test]
async fn d02_nobody_writes_what_is_signed() {
    let harness = Harness::with_source().await;

    for client in [&harness.alice, &harness.bob] {
        client.put(&format!("{MAIN}/records/x"), json!({})).await.expect(403);
        client.patch(MAIN, json!({"signature": {}})).await.expect(403);
        client.put(&format!("{PREVIEW}/records/x"), json!({})).await.expect(403);
        client.put("/buckets/main", json!({})).await.expect(403);
        client.put("/buckets/main/collections/other", json!({})).await.expect(403);
        client.put("/buckets/main/groups/g", json!({})).await.expect(403);
        client.delete(MAIN).await.expect(403);
        client.delete("/buckets/main").await.expect(403);
    }
    harness.alice.put("/buckets/other", json!({})).await.expect(201);
}

#[tokio::test]
async fn d07_deleting_a_source_empties_its_targets_for_clients() {
    for path in [SOURCE, "/buckets/work"] {
        let harness = Harness::with_source().await;
        harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
        harness.publish().await;

        harness.alice.delete(path).await.expect(200);

        for target in [MAIN, PREVIEW] {
            assert!(published(&harness, target).await.is_empty());
            let list = harness.anonymous.get(&format!("{target}/records?_since=0")).await;
            assert_eq!(ids(&list.json), ["r"], "a tombstone");
            assert_signed(&harness, target).await;
        }
    }
}

#[tokio::test]
async fn d09_published_attributes_are_mirrored_removed_ones_too() {
    let harness = Harness::with_source().await;
    harness.alice.patch(SOURCE, json!({"flags": ["startup"], "private": 1})).await.expect(200);
    harness.publish().await;
    let metadata = harness.anonymous.get(MAIN).await.json;
    assert_eq!(metadata["data"]["flags"], json!(["startup"]));
    assert_eq!(metadata["data"].get("private"), None);

    let mut data = harness.alice.get(SOURCE).await.json["data"].clone();
    data.as_object_mut().unwrap().remove("flags");
    harness.alice.put(SOURCE, data).await.expect(200);
    harness.publish().await;
    assert_eq!(harness.anonymous.get(MAIN).await.json["data"].get("flags"), None);
}

#[tokio::test]
async fn without_review_one_person_publishes() {
    let harness = Harness::with(&[("signer.to_review_enabled", "false")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);

    harness.alice.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);

    assert_eq!(published(&harness, MAIN).await.len(), 1);
    assert_signed(&harness, MAIN).await;
}

#[tokio::test]
async fn publication_moves_the_watermark_and_editing_does_not() {
    let harness = Harness::with_source().await;
    let owner = harness.database.owner().await;
    let watermark = || async { shared::store::published::watermark(&owner).await.unwrap() };
    let before = watermark().await;

    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
    assert_eq!(watermark().await, before);
    harness.publish().await;
    let after = watermark().await;
    assert!(after > before);
    harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);
    assert!(watermark().await > after);
}

#[tokio::test]
async fn a_refused_list_deletion_deletes_nothing() {
    let resources = "/buckets/work/collections/a -> /buckets/work/collections/a-preview \
                     -> /buckets/work/collections/a-signed";
    let harness = Harness::with(&[("signer.resources", resources)]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    for id in ["a", "z1", "z2"] {
        harness.alice.put(&format!("/buckets/work/collections/{id}"), json!({})).await.expect(201);
    }

    harness.alice.delete("/buckets/work/collections").await.expect(403);

    for id in ["a", "a-preview", "a-signed", "z1", "z2"] {
        harness.alice.get(&format!("/buckets/work/collections/{id}")).await.expect(200);
    }
}

#[tokio::test]
async fn a_source_made_again_in_one_batch_is_still_edited() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    let step = |method: &str, path: &str| json!({"method": method, "path": path});
    let batch = json!({"requests": [
        step("PUT", SOURCE),
        step("PUT", &format!("{SOURCE}/records/r1")),
        step("DELETE", SOURCE),
        step("PUT", SOURCE),
        step("PUT", &format!("{SOURCE}/records/r2")),
    ]});

    harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(harness.status().await, "work-in-progress");
}

#[tokio::test]
async fn what_is_signed_moves_the_watermark_whatever_the_writer_lists() {
    let harness = Harness::with(&[("changes.resources", "")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    let owner = harness.database.owner().await;
    let before = shared::store::published::watermark(&owner).await.unwrap();

    harness.alice.put(SOURCE, json!({})).await.expect(201);

    assert!(shared::store::published::watermark(&owner).await.unwrap() > before);
}
