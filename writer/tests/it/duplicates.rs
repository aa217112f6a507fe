//! Members that are there twice: the last one counts (`remote-settings.md` §1.15), and it alone is
//! what a reviewer sees, what the digest is about, and what is published.

use serde_json::{Value, json};
use shared::testing::TestClient;

use crate::{
    harness::{Harness, SOURCE},
    history::entries,
    signoff::{MAIN, PREVIEW, assert_signed},
    signoff_digest::assert_digest,
};

const JSON: (&str, &str) = ("content-type", "application/json");

/// The records of a collection, but for their timestamps.
async fn records(harness: &Harness, collection: &str) -> Vec<Value> {
    let list = harness.alice.get(&format!("{collection}/records?_sort=id")).await.expect(200);
    let mut records = list.json["data"].as_array().unwrap().clone();
    for record in &mut records {
        record.as_object_mut().unwrap().remove("last_modified");
    }
    records
}

/// In a record, below it, and `data` itself; by PUT, POST, both PATCHes, and in a batch.
async fn write_all(alice: &TestClient) {
    let put = r#"{"data": {"title": "hidden"}, "data": {"title": "first", "a": [{"x": 1, "x": 2}],
        "title": "last", "n": 1.5, "n": 1}}"#;
    let put = alice.raw("PUT", &format!("{SOURCE}/records/put"), &[JSON], put).await.expect(201);
    assert_eq!(put.json["data"]["title"], "last");
    let post = r#"{"data": {"id": "other", "title": "first", "id": "post", "title": "last"}}"#;
    let post = alice.raw("POST", &format!("{SOURCE}/records"), &[JSON], post).await.expect(201);
    assert_eq!(
        (&post.json["data"]["id"], &post.json["data"]["title"]),
        (&json!("post"), &json!("last"))
    );
    for (id, kind, patch) in [
        (
            "merge",
            "application/merge-patch+json",
            r#"{"data": {"title": "first", "title": "last"}}"#,
        ),
        (
            "json",
            "application/json-patch+json",
            r#"[{"op": "add", "path": "/data/title", "value": "first", "value": "last"}]"#,
        ),
    ] {
        let path = format!("{SOURCE}/records/{id}");
        alice.put(&path, json!({})).await.expect(201);
        alice.raw("PATCH", &path, &[("content-type", kind)], patch).await.expect(200);
    }
    let batch = format!(
        r#"{{"requests": [{{"method": "PUT", "path": "{SOURCE}/records/wrong",
            "path": "{SOURCE}/records/many",
            "body": {{"data": {{"title": "first", "title": "last"}}}}}}]}}"#
    );
    alice.raw("POST", "/batch", &[JSON], batch).await.expect(200);
}

#[tokio::test]
async fn of_members_that_are_there_twice_the_last_is_seen_approved_and_published() {
    let harness = Harness::with(&[("includes", "kinto.plugins.history")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.make_source("c").await;
    let alice = &harness.alice;

    write_all(alice).await;

    let request = r#"{"data": {"status": "work-in-progress", "status": "to-review"}}"#;
    let asked = alice.raw("PATCH", SOURCE, &[JSON], request).await.expect(200).json;
    assert_eq!(asked["data"]["status"], "to-review");

    let expected = [
        json!({"id": "json", "title": "last"}),
        json!({"id": "many", "title": "last"}),
        json!({"id": "merge", "title": "last"}),
        json!({"id": "post", "title": "last"}),
        json!({"id": "put", "title": "last", "a": [{"x": 2}], "n": 1}),
    ];
    for collection in [SOURCE, PREVIEW] {
        assert_eq!(records(&harness, collection).await, expected, "{collection}");
    }
    let digest = &asked["data"]["last_review_request_digest"];
    let seen = json!({"attributes": {}, "data": expected});
    assert_digest(digest.as_str().unwrap(), &seen);
    let history = entries(alice, "/buckets/work/history?resource_name=record").await;
    for (id, record) in ["put", "post"].into_iter().zip([&expected[4], &expected[3]]) {
        let entry = history.iter().find(|entry| entry["record_id"] == id).unwrap();
        let mut told = entry["target"]["data"].clone();
        told.as_object_mut().unwrap().remove("last_modified");
        assert_eq!(&told, record, "the history of {id}");
    }
    assert!(!history.iter().any(|entry| entry.to_string().contains("first")));

    let approval = json!({"status": "to-sign", "last_reviewed_digest": digest});
    harness.bob.patch(SOURCE, approval).await.expect(200);
    assert_eq!(records(&harness, MAIN).await, expected);
    assert_signed(&harness, MAIN).await;
    let served = harness.anonymous.get(&format!("{MAIN}/changeset?_expected=0")).await.expect(200);
    assert!(!served.json.to_string().contains("first"));
}

/// What counts for nothing is not judged, as in Kinto; what counts is.
#[tokio::test]
async fn guards_judge_the_member_that_counts() {
    let harness = Harness::with_source().await;
    let path = format!("{SOURCE}/records/r");
    for (body, status) in [
        (r#"{"data": {"n": 1.5, "n": 1}}"#, 201),
        (r#"{"data": {"n": 1, "n": 1.5}}"#, 400),
        (r#"{"data": {"a": {"n": 1}, "a": {"n": 9007199254740993}}}"#, 400),
        (r#"{"data": {"n": 1}, "data": {"n": 1.5}}"#, 400),
    ] {
        let reply = harness.alice.raw("PUT", &path, &[JSON], body).await;
        assert_eq!(reply.status, status, "{body}: {}", reply.json);
    }
    assert_eq!(records(&harness, SOURCE).await, [json!({"id": "r", "n": 1})]);
}
