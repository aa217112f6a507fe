//! What sign-off tells of itself: in the log, and in the history (`remote-settings.md` §1.17-1.18).

use serde_json::{Value, json};
use shared::testing::TestReply;

use crate::{
    harness::{Harness, SOURCE, user_id},
    log::Log,
};

const RECORD: &str = "/buckets/work/collections/c/records/r";

async fn command(client: &shared::testing::TestClient, status: &str) -> TestReply {
    client.patch(SOURCE, json!({"status": status})).await.expect(200)
}

/// One line for each command that was accepted, and none for those that were refused.
#[tokio::test]
async fn each_accepted_command_is_logged_once_it_is_committed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(log.clone());
    // The test's runtime has one thread, this one: all that the writer does is logged here.
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({"title": "é"})).await.expect(201);
    command(&harness.alice, "to-review").await;
    command(&harness.bob, "work-in-progress").await;
    command(&harness.alice, "work-in-progress").await;
    command(&harness.alice, "to-review").await;
    harness.alice.patch(SOURCE, json!({"status": "to-sign"})).await.expect(403);
    command(&harness.bob, "to-sign").await;
    command(&harness.bob, "to-resign").await;
    harness.alice.delete(RECORD).await.expect(200);
    // A batch that is refused as a whole has done nothing.
    let refused = json!({"requests": [
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-review"}}},
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-sign"}}},
    ]});
    harness.alice.send("POST", "/batch", refused).await.expect(403);
    command(&harness.alice, "to-rollback").await;
    drop(guard);

    let (alice, bob) = (user_id(&harness.alice).await, user_id(&harness.bob).await);
    let lines: Vec<Value> = log
        .text()
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "sign-off")
        .collect();
    let told: Vec<(&Value, &Value, &Value)> = lines
        .iter()
        .map(|line| (&line["action"], &line["user_id"], &line["changes_count"]))
        .collect();
    let expected = [
        (json!("request"), json!(alice), json!(1)),
        (json!("reject"), json!(bob), Value::Null),
        // The preview has the record from the first request.
        (json!("request"), json!(alice), json!(0)),
        (json!("approve"), json!(bob), json!(1)),
        (json!("refresh"), json!(bob), Value::Null),
        (json!("rollback"), json!(alice), json!(1)),
    ];
    assert_eq!(told, expected.each_ref().map(|(action, user, count)| (action, user, count)));
    for line in &lines {
        assert_eq!((&line["bucket_id"], &line["collection_id"]), (&json!("work"), &json!("c")));
    }
    // {"data":[{"id":"r","last_modified":1234567890123,"title":"\u00e9"}],"last_modified":"0"}
    assert_eq!(lines[0]["changes_size_bytes"], 88);
    assert_eq!(lines[2]["changes_size_bytes"], 0);
    assert_eq!(lines[3]["changes_size_bytes"], 88);
}

/// Who did what to what, oldest first, since a time.
async fn history(harness: &Harness, since: &str) -> Vec<(String, String, String)> {
    let url = format!("/buckets/work/history?_sort=last_modified&_since={since}");
    let list = harness.alice.get(&url).await.expect(200).json;
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let entries = list["data"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            let status = entry["target"]["data"]["status"].as_str().unwrap_or_default();
            let what =
                format!("{} {} {status}", text(entry, "action"), text(entry, "resource_name"));
            (text(entry, "user_id"), text(entry, "uri"), what.trim_end().to_owned())
        })
        .collect()
}

#[tokio::test]
async fn d06_history_tells_of_the_source_what_people_and_sign_off_did() {
    let harness = Harness::with(&[("includes", "kinto.plugins.history")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let (alice, bob) = (user_id(&harness.alice).await, user_id(&harness.bob).await);
    let reviewers = json!({"members": [bob]});
    harness.alice.patch("/buckets/work/groups/c-reviewers", reviewers).await.expect(200);
    let plugin = "plugin:remote-settings";
    let entry =
        |who: &str, uri: &str, what: &str| (who.to_owned(), uri.to_owned(), what.to_owned());
    let now = async || {
        let list = harness.alice.get("/buckets/work/history").await;
        list.header("etag").trim_matches('"').to_owned()
    };

    let start = now().await;
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(201);
    command(&harness.alice, "to-review").await;
    command(&harness.bob, "to-sign").await;
    assert_eq!(
        history(&harness, &start).await,
        [
            entry(&alice, RECORD, "create record"),
            entry(plugin, SOURCE, "update collection work-in-progress"),
            entry(&alice, SOURCE, "update collection to-review"),
            entry(plugin, SOURCE, "update collection to-review"),
            entry(&bob, SOURCE, "update collection to-sign"),
            entry(plugin, SOURCE, "update collection signed"),
        ]
    );

    // A decline is written once, by who declines.
    command(&harness.alice, "to-review").await;
    let start = now().await;
    command(&harness.bob, "work-in-progress").await;
    assert_eq!(
        history(&harness, &start).await,
        [entry(&bob, SOURCE, "update collection work-in-progress")]
    );

    // What a rollback restores is in the history of the source.
    harness.alice.put(RECORD, json!({"n": 2})).await.expect(200);
    harness.alice.put(&format!("{SOURCE}/records/new"), json!({})).await.expect(201);
    let start = now().await;
    command(&harness.bob, "to-rollback").await;
    let new = format!("{SOURCE}/records/new");
    assert_eq!(
        history(&harness, &start).await,
        [
            entry(&bob, SOURCE, "update collection to-rollback"),
            entry(plugin, &new, "delete record"),
            entry(plugin, RECORD, "update record"),
            entry(plugin, SOURCE, "update collection signed"),
        ]
    );
    // It survives the source.
    harness.alice.delete(SOURCE).await.expect(200);
    assert!(history(&harness, "0").await.len() > 10);
}
