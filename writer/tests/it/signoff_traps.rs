//! The traps of sign-off (`remote-settings.md` §12), by their numbers.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use shared::testing::{TestClient, TestReply};

use crate::{
    harness::{Harness, SOURCE, ids, user_id},
    signoff::{MAIN, PREVIEW, assert_signed, published},
};

pub(crate) const RECORD: &str = "/buckets/work/collections/c/records/r";

pub(crate) async fn source(harness: &Harness) -> Map<String, Value> {
    let source = harness.alice.get(SOURCE).await.expect(200).json;
    source["data"].as_object().unwrap().clone()
}

pub(crate) async fn command(client: &TestClient, status: &str) -> TestReply {
    client.patch(SOURCE, json!({"status": status})).await
}

pub(crate) fn message(reply: &TestReply) -> &str {
    reply.json["message"].as_str().unwrap()
}

/// The timestamps of a collection's records and of its metadata.
pub(crate) async fn times(harness: &Harness, collection: &str) -> (String, String) {
    let records = harness.anonymous.get(&format!("{collection}/records")).await.expect(200);
    let metadata = harness.anonymous.get(collection).await.expect(200);
    (records.header("etag").to_owned(), metadata.header("etag").to_owned())
}

/// Makes alice and bob editors and reviewers.
pub(crate) async fn let_both_do_both(harness: &Harness) {
    let both = [user_id(&harness.alice).await, user_id(&harness.bob).await];
    for kind in ["editors", "reviewers"] {
        let group = format!("/buckets/work/groups/c-{kind}");
        harness.alice.patch(&group, json!({"members": both})).await.expect(200);
    }
}

#[tokio::test]
async fn trap_01_the_same_status_again_does_nothing() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.publish().await;
    let (main, before) = (times(&harness, MAIN).await, source(&harness).await);

    command(&harness.alice, "signed").await.expect(200);
    let mut whole = source(&harness).await;
    whole.insert("note".to_owned(), 1.into());
    harness.alice.put(SOURCE, Value::Object(whole)).await.expect(200);

    assert_eq!(times(&harness, MAIN).await, main, "not even signed again");
    let mut after = source(&harness).await;
    assert_eq!(after.remove("note"), Some(json!(1)));
    assert_ne!(after.remove("last_modified"), before.get("last_modified").cloned());
    let mut before = before;
    before.remove("last_modified");
    assert_eq!(after, before);
}

#[tokio::test]
async fn trap_02_a_status_is_never_removed() {
    let harness = Harness::with_source().await;
    let without = |name: &str, mut data: Map<String, Value>| {
        data.remove(name);
        Value::Object(data)
    };

    let data = without("status", source(&harness).await);
    let removed = harness.alice.put(SOURCE, data).await.expect(400);
    assert_eq!(message(&removed), "Cannot remove status");
    // The status is judged before tracking attributes (§1.9).
    let both = harness.alice.put(SOURCE, json!({})).await.expect(400);
    assert_eq!(message(&both), "Cannot remove status");
    let data = without("last_signature_by", source(&harness).await);
    let removed = harness.alice.put(SOURCE, data).await.expect(400);
    assert_eq!(
        message(&removed),
        "Cannot change <TRACKING_FIELDS.LAST_SIGNATURE_BY: 'last_signature_by'>"
    );
    let odd = harness.alice.patch(SOURCE, json!({"status": ["x"]})).await.expect(400);
    assert_eq!(message(&odd), "Invalid status '['x']'");
}

#[tokio::test]
async fn traps_03_13_work_in_progress_by_hand_and_back() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.publish().await;
    let edited = source(&harness).await["last_edit_date"].clone();
    let nothing = command(&harness.alice, "to-rollback").await.expect(400);
    assert_eq!(message(&nothing), "Collection has no work-in-progress");

    command(&harness.bob, "work-in-progress").await.expect(200);
    assert_eq!(source(&harness).await["last_edit_date"], edited);

    command(&harness.bob, "to-rollback").await.expect(200);
    let after = source(&harness).await;
    assert_eq!(after["status"], "signed");
    assert_eq!(after["last_edit_by"], user_id(&harness.bob).await);
}

#[tokio::test]
async fn trap_04_nothing_is_signed_twice_also_without_review() {
    let harness = Harness::with(&[("signer.to_review_enabled", "false")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);

    let refused = command(&harness.alice, "to-sign").await.expect(400);
    assert_eq!(message(&refused), "Collection already signed");

    command(&harness.alice, "work-in-progress").await.expect(200);
    command(&harness.alice, "to-sign").await.expect(200);
    // Trap 20: with a preview also where nobody reviews.
    assert_signed(&harness, PREVIEW).await;
}

#[tokio::test]
async fn traps_05_06_who_approves_what() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    command(&harness.alice, "to-review").await.expect(200);
    let refused = command(&harness.alice, "to-sign").await.expect(403);
    assert_eq!(message(&refused), "Not in c-reviewers group", "before: Last editor cannot review");
    let_both_do_both(&harness).await;
    harness.bob.put(RECORD, json!({"by": "bob"})).await.expect(200);
    command(&harness.alice, "to-review").await.expect(200);

    let own = command(&harness.alice, "to-sign").await.expect(403);
    assert_eq!(message(&own), "Last editor cannot review");
    command(&harness.bob, "to-sign").await.expect(200);

    assert_eq!(published(&harness, MAIN).await[0]["by"], "bob", "also his own edit");
}

#[tokio::test]
async fn traps_07_08_09_a_refresh_renews_signatures_and_nothing_else() {
    let harness = Harness::with_source().await;
    let made = source(&harness).await;
    assert!(made.contains_key("last_signature_by") && !made.contains_key("last_review_by"));
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.publish().await;
    let (main, preview) = (times(&harness, MAIN).await, times(&harness, PREVIEW).await);
    command(&harness.alice, "to-review").await.expect(200);
    let asked = source(&harness).await;

    // Any writer may, also who is in neither group.
    let carol = harness.anonymous.as_user("carol");
    let groups = ["editors", "reviewers"].map(|kind| format!("/buckets/work/groups/c-{kind}"));
    let writers = [groups.as_slice(), &[user_id(&carol).await]].concat();
    let write = json!({"permissions": {"write": writers}});
    let before = harness.alice.send("PATCH", SOURCE, write).await.expect(200);
    assert_eq!(before.json["data"]["status"], "to-review", "rights void no request");
    let refreshed = command(&carol, "to-resign").await.expect(200);

    assert_eq!(refreshed.json["data"]["status"], "to-review");
    let after = source(&harness).await;
    assert_eq!(after["last_review_request_by"], asked["last_review_request_by"]);
    assert_eq!(after["last_review_date"], asked["last_review_date"]);
    assert_eq!(after["last_signature_by"], user_id(&carol).await);
    assert_ne!(after["last_signature_date"], asked["last_signature_date"]);
    command(&harness.bob, "to-sign").await.expect(200);
    for (target, before) in [(MAIN, main), (PREVIEW, preview)] {
        let now = times(&harness, target).await;
        assert_eq!(now.0, before.0, "no record was touched");
        assert_ne!(now.1, before.1);
        assert_signed(&harness, target).await;
    }
}

/// With a preview, a comment that is not in the request is reset; without, it stays.
#[tokio::test]
async fn trap_12_the_editor_s_comment() {
    for (resources, left) in [("work/c -> preview/c -> main/c", ""), ("work/c -> main/c", "old")] {
        let harness = Harness::with(&[("signer.resources", resources)]).await;
        harness.alice.put("/buckets/work", json!({})).await.expect(201);
        harness.alice.put(SOURCE, json!({})).await.expect(201);
        let asked = json!({"status": "to-review", "last_editor_comment": "old"});
        harness.alice.patch(SOURCE, asked).await.expect(200);
        assert_eq!(source(&harness).await["last_editor_comment"], "old");
        let declined = json!({"status": "work-in-progress", "last_reviewer_comment": "no"});
        harness.alice.patch(SOURCE, declined).await.expect(200);

        command(&harness.alice, "to-review").await.expect(200);

        let after = source(&harness).await;
        assert_eq!(after["last_editor_comment"], left, "{resources}");
        assert_eq!(after["last_reviewer_comment"], "no", "the editor may still read it");
    }
}

#[tokio::test]
async fn trap_14_a_rollback_restores_the_last_approval_and_nothing_older() {
    let harness = Harness::with_source().await;
    for id in ["r", "old"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({"v": 1})).await.expect(201);
    }
    harness.publish().await;
    harness.alice.delete(&format!("{SOURCE}/records/old")).await.expect(200);
    harness.publish().await;
    let reviewed = source(&harness).await["last_review_date"].clone();
    harness.alice.delete(RECORD).await.expect(200);
    harness.alice.put(&format!("{SOURCE}/records/new"), json!({})).await.expect(201);
    let comments = json!({"last_editor_comment": "e", "last_reviewer_comment": "r"});
    harness.alice.patch(SOURCE, comments).await.expect(200);

    // The message of `rollback_changes(message)` is reset at once.
    let rollback = json!({"status": "to-rollback", "last_editor_comment": "sorry"});
    harness.bob.patch(SOURCE, rollback).await.expect(200);

    let list = harness.alice.get(&format!("{SOURCE}/records")).await.expect(200);
    assert_eq!(ids(&list.json), ["r"]);
    let after = source(&harness).await;
    assert_eq!(
        (&after["last_editor_comment"], &after["last_reviewer_comment"]),
        (&json!(""), &json!(""))
    );
    assert_eq!(after["last_edit_by"], user_id(&harness.bob).await);
    assert_eq!(after["last_review_date"], reviewed);
}

#[tokio::test]
async fn trap_18_groups_need_their_right_and_existing_ones_stay() {
    let harness = Harness::start().await;
    let bob = user_id(&harness.bob).await;
    let rights = |rights: &[&str]| {
        let granted = rights.iter().map(|right| ((*right).to_owned(), json!([bob])));
        json!({"permissions": granted.collect::<Map<_, _>>()})
    };
    harness.alice.send("PUT", "/buckets/work", rights(&["collection:create"])).await.expect(201);
    let members = json!({"data": {"members": ["x"]}, "permissions": {"write": ["y"]}});
    harness.alice.send("PUT", "/buckets/work/groups/c-reviewers", members).await.expect(201);

    let refused = harness.bob.put(SOURCE, json!({})).await.expect(403);
    assert_eq!(
        message(&refused),
        "Cannot create collection without `group:create` on bucket 'work': editors/reviewers \
         groups cannot be set up."
    );
    harness.alice.get(SOURCE).await.expect(404);
    let more = rights(&["collection:create", "group:create"]);
    harness.alice.send("PATCH", "/buckets/work", more).await.expect(200);
    harness.bob.put(SOURCE, json!({})).await.expect(201);

    let reviewers = harness.alice.get("/buckets/work/groups/c-reviewers").await.json;
    assert_eq!(reviewers["data"]["members"], json!(["x"]));
    let mut writers: Vec<Value> = reviewers["permissions"]["write"].as_array().unwrap().clone();
    writers.sort_by_key(Value::to_string);
    assert_eq!(writers, [json!(user_id(&harness.alice).await), json!("y")]);
    let made = harness.bob.get(SOURCE).await.json;
    let writers = made["permissions"]["write"].as_array().unwrap();
    for group in ["/buckets/work/groups/c-editors", "/buckets/work/groups/c-reviewers"] {
        assert!(writers.contains(&json!(group)), "{writers:?}");
    }
}

/// What may be posted with a new source (§1.6).
#[tokio::test]
async fn a_status_at_creation_is_judged_and_becomes_signed() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    for (n, status) in ["work-in-progress", "to-resign", "to-rollback"].iter().enumerate() {
        let path = format!("/buckets/work/collections/good{n}");
        let made = harness.alice.put(&path, json!({"status": status})).await.expect(201);
        assert_eq!(made.json["data"]["status"], "signed");
        assert_eq!(made.header("etag"), harness.alice.get(&path).await.header("etag"));
    }
    for (status, code, text) in [
        ("to-review", 403, "Not in bad-editors group"),
        ("to-sign", 403, "Not in bad-reviewers group"),
        ("signed", 400, "Cannot set status to 'signed'"),
        ("", 400, "Invalid status ''"),
    ] {
        let refused =
            harness.alice.put("/buckets/work/collections/bad", json!({"status": status})).await;
        assert_eq!((refused.status, message(&refused)), (code, text));
        harness.alice.get("/buckets/work/collections/bad").await.expect(404);
        harness.anonymous.get("/buckets/main/collections/bad").await.expect(401);
    }
    let tampered = json!({"last_review_by": "x"});
    harness.alice.put("/buckets/work/collections/bad", tampered).await.expect(400);
}

#[tokio::test]
async fn trap_21_deleting_all_records_empties_the_preview_with_tombstones() {
    let harness = Harness::with_source().await;
    for id in ["a", "b"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;

    harness.alice.delete(&format!("{SOURCE}/records")).await.expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    command(&harness.alice, "to-review").await.expect(200);

    let list = harness.anonymous.get(&format!("{PREVIEW}/records?_since=0")).await.json;
    let deleted = list["data"].as_array().unwrap().iter().filter(|r| r["deleted"] == true);
    assert_eq!(deleted.count(), 2);
    assert_signed(&harness, PREVIEW).await;
    assert_eq!(published(&harness, MAIN).await.len(), 2);
}

#[tokio::test]
async fn traps_25_26_what_is_no_change_is_not_published() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({"schema": 1, "n": 1})).await.expect(201);
    harness.publish().await;
    let before = times(&harness, MAIN).await.0;
    harness.alice.put(RECORD, json!({"schema": 2, "n": 1})).await.expect(200);
    let short = format!("{SOURCE}/records/short-lived");
    harness.alice.put(&short, json!({})).await.expect(201);
    harness.alice.delete(&short).await.expect(200);

    harness.publish().await;

    assert_eq!(times(&harness, MAIN).await.0, before);
    assert_eq!(published(&harness, MAIN).await[0]["schema"], 1);
    let all = harness.anonymous.get(&format!("{MAIN}/records?_since=0")).await;
    assert_eq!(ids(&all.json), ["r"], "no tombstone of what nobody had");
    assert_signed(&harness, MAIN).await;
}

#[tokio::test]
async fn trap_29_a_put_of_an_old_copy_names_what_moved_or_fails_its_precondition() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.publish().await;
    let copy = harness.alice.get(SOURCE).await;
    let body = json!({"data": copy.json["data"]});
    // A PUT that repeats what is there is accepted.
    harness.alice.send("PUT", SOURCE, body.clone()).await.expect(200);
    let etag = harness.alice.get(SOURCE).await.header("etag").to_owned();
    harness.bob.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);

    let headers = [("content-type", "application/json"), ("if-match", etag.as_str())];
    harness.alice.raw("PUT", SOURCE, &headers, body.to_string()).await.expect(412);
    let refused = harness.alice.send("PUT", SOURCE, body).await.expect(400);
    assert_eq!(
        message(&refused),
        "Cannot change <TRACKING_FIELDS.LAST_SIGNATURE_DATE: 'last_signature_date'>"
    );
}

/// Also within one batch, where each request has its own user.
#[tokio::test]
async fn the_last_editor_is_who_edited_last() {
    let harness = Harness::with_source().await;
    let_both_do_both(&harness).await;
    let edit = |who: &str, n: u32| {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{who}:secret")));
        json!({"method": "PUT", "path": RECORD, "body": {"data": {"n": n}},
               "headers": {"Authorization": authorization}})
    };
    let batch = json!({"requests": [edit("alice", 1), edit("bob", 2), edit("alice", 3)]});

    harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(source(&harness).await["last_edit_by"], user_id(&harness.alice).await);
}
