//! What some client could not verify is never published (`remote-settings.md` §2.3 and §9).

use serde_json::{Value, json};

use crate::harness::{Harness, SOURCE};

const PREVIEW: &str = "/buckets/preview/collections/c";

async fn ask_for_review(harness: &Harness, data: Value) -> (u16, String) {
    harness.alice.put(&format!("{SOURCE}/records/r"), data).await;
    let reply = harness.alice.patch(SOURCE, json!({"status": "to-review"})).await;
    (reply.status, reply.json["message"].as_str().unwrap_or_default().to_owned())
}

/// Kinto takes it, and so do we, until somebody asks for its publication (`docs/sign-off.md`).
#[tokio::test]
async fn an_attachment_that_the_rust_client_cannot_read_stops_the_publication() {
    let harness = Harness::with_source().await;
    let before = harness.anonymous.get(PREVIEW).await.expect(200).json;
    let record = format!("{SOURCE}/records/r");

    for attachment in [json!(null), json!({"filename": "f", "hash": "h", "location": "l"})] {
        let data = json!({"attachment": attachment});
        let written = harness.alice.put(&record, data.clone()).await;
        assert!([200, 201].contains(&written.status), "a plain write is one: {}", written.json);
        assert_eq!(written.json["data"]["attachment"], attachment);

        let (status, message) = ask_for_review(&harness, data).await;

        assert_eq!(status, 400);
        let expected =
            "/buckets/preview/collections/c cannot be published: record 'r': 'attachment'";
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(harness.anonymous.get(PREVIEW).await.expect(200).json, before);
        assert_eq!(harness.status().await, "work-in-progress");
        let requests = json!({"requests": [
            {"method": "PUT", "path": format!("{SOURCE}/records/good")},
            {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-review"}}},
        ]});
        harness.alice.send("POST", "/batch", requests).await.expect(400);
        harness.alice.get(&format!("{SOURCE}/records/good")).await.expect(404);
    }
    let whole = json!({
        "filename": "f", "hash": "h", "location": "l", "mimetype": "m", "size": 1
    });
    assert_eq!(ask_for_review(&harness, json!({"attachment": whole})).await.0, 200);
}

/// Without a preview, nor a review: the approval is where it is refused.
#[tokio::test]
async fn an_attachment_of_null_is_refused_by_the_approval_where_nobody_reviews() {
    let harness = Harness::with(&[
        ("signer.resources", "/buckets/work -> /buckets/main"),
        ("signer.to_review_enabled", "false"),
    ])
    .await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let record = format!("{SOURCE}/records/r");
    harness.alice.put(&record, json!({"attachment": null})).await.expect(201);

    let refused = harness.alice.patch(SOURCE, json!({"status": "to-sign"})).await.expect(400);

    let message = refused.json["message"].as_str().unwrap();
    assert!(message.contains("record 'r': 'attachment'"), "{message}");
    harness.alice.put(&record, json!({})).await.expect(200);
    harness.alice.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
}

#[tokio::test]
async fn what_came_into_a_target_behind_our_back_is_not_signed() {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.publish().await;
    let owner = harness.database.owner().await;
    let poison = r#"update record set data = '{"n": 1.5}' where bucket_id = 'main'"#;
    owner.batch_execute(poison).await.unwrap();

    let refresh = harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await;

    assert_eq!(refresh.status, 400);
    let message = refresh.json["message"].as_str().unwrap();
    assert!(message.contains("float value") && message.ends_with("'n'"), "{message}");
}

#[tokio::test]
async fn floats_are_published_where_they_are_allowed() {
    let harness =
        Harness::with(&[("signer.allow_floats", "true"), ("signer.to_review_enabled", "false")])
            .await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1.5})).await.expect(201);

    harness.alice.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
}
