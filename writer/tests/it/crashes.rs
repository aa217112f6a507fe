//! `kill -9` of the writer at steps of a publication (`reliability.md` §7): what was not committed
//! never happened, and what was is whole. `make drill` does the same at every step, and to PostgreSQL.

use std::{path::PathBuf, time::Duration};

use serde_json::{Value, json};
use shared::{canonical, model::Timestamp, signature::ContentSignature};

use crate::{
    harness::{Harness, SOURCE},
    process::Running,
};

const MAIN: &str = "/buckets/main/collections/c";

/// What clients read; its signature must verify.
async fn published(harness: &Harness, writer: &Running) -> Vec<Value> {
    let path = format!("{MAIN}/changeset?_expected=0");
    let body = writer.client.get(&path).await.expect(200).json;
    let records = body["changes"].as_array().unwrap();
    let timestamp = Timestamp::from_millis(body["timestamp"].as_i64().unwrap());
    let signature = body["metadata"]["signature"].clone();
    let signature: ContentSignature = serde_json::from_value(signature).unwrap();
    let document = canonical::document(records, timestamp);
    assert_eq!(signature.verify(&harness.key, &document), Ok(()));
    records.clone()
}

/// Kills a writer while it holds an approval at `step`, and returns what was published, and the
/// source's status, as another writer finds them.
async fn killed_at(step: &str) -> (usize, Value) {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let file: PathBuf = harness.directory.join("failpoint");
    let reached = harness.directory.join("failpoint.reached");
    let environment = [("FAILPOINT_FILE", file.to_str().unwrap())];
    let mut writer = Running::start(&harness, &environment).await;
    std::fs::write(&file, step).unwrap();

    let bob = writer.client.as_user("bob");
    let approval = tokio::spawn(async move {
        bob.try_send("PATCH", SOURCE, json!({"data": {"status": "to-sign"}})).await
    });
    // The file is there a moment before its text is.
    let is_held = || std::fs::read_to_string(&reached).is_ok_and(|text| text == step);
    for _ in 0..2_000 {
        if is_held() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(is_held(), "{step} was not reached");
    assert!(published(&harness, &writer).await.len() < 2, "others are served meanwhile");
    writer.kill();
    assert_eq!(approval.await.unwrap(), None, "nobody was answered");
    std::fs::remove_file(&file).unwrap();

    let again = Running::start(&harness, &[]).await;
    let found = published(&harness, &again).await.len();
    let status = again.client.as_user("alice").get(SOURCE).await.expect(200).json;
    let status = status["data"]["status"].clone();
    if status == "to-review" {
        let bob = again.client.as_user("bob");
        bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
        assert_eq!(published(&harness, &again).await.len(), 1, "its locks are gone");
    }
    (found, status)
}

#[tokio::test]
async fn what_was_signed_and_not_committed_was_never_published() {
    assert_eq!(killed_at("signed").await, (0, json!("to-review")));
}

#[tokio::test]
async fn what_was_committed_and_not_answered_is_published() {
    assert_eq!(killed_at("committed").await, (1, json!("signed")));
}
