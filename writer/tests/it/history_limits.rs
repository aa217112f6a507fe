//! What the settings keep out of a history, or remove from it (`kinto-http-api.md` §7.2.8).

use serde_json::json;

use crate::{
    harness::{Harness, user_id},
    history::{B, C, HISTORY, entries, record, start, told},
};

#[tokio::test]
async fn what_is_excluded_is_not_recorded() {
    let excluded = "/buckets/out /buckets/b/collections/out /buckets/b/collections/c/records/out";
    let harness = start(&[("history.exclude_resources", excluded)]).await;
    for path in [
        "/buckets/out",
        "/buckets/out/collections/c",
        "/buckets/b/collections/out",
        "/buckets/b/collections/out/records/r",
        &record("out"),
        &record("in"),
    ] {
        harness.alice.put(path, json!({})).await.expect(201);
    }

    let told = told(&entries(&harness.alice, HISTORY).await);

    assert_eq!(told[2..], [format!("create {}", record("in"))]);
    assert_eq!(entries(&harness.alice, "/buckets/out/history").await.len(), 0);
    let hello = harness.alice.get("/").await.json;
    assert_eq!(
        hello["capabilities"]["history"]["excluded_resources"][2],
        json!({"bucket": "b", "collection": "c", "record": "out"})
    );
}

#[tokio::test]
async fn the_changes_of_some_users_are_not_recorded() {
    let harness = Harness::start().await;
    let alice = user_id(&harness.alice).await;
    let harness = start(&[("history.exclude_user_ids", &alice)]).await;

    let open = json!({"permissions": {"write": ["system.Authenticated"]}});
    harness.alice.send("PATCH", B, open).await.expect(200);
    harness.bob.put(&record("r"), json!({})).await.expect(201);

    let told = told(&entries(&harness.alice, HISTORY).await);
    assert_eq!(told, [format!("create {}", record("r"))]);
}

#[tokio::test]
async fn old_entries_of_each_kind_are_trimmed() {
    let harness =
        start(&[("history.auto_trim_max_count", "3"), ("history.auto_trim_threshold", "2")]).await;

    let mut counts = Vec::new();
    for _ in 0..7 {
        harness.alice.put(&record("r"), json!({})).await;
        let entries = entries(&harness.alice, HISTORY).await;
        counts.push(entries.iter().filter(|entry| entry["resource_name"] == "record").count());
    }

    assert_eq!(counts, [1, 2, 3, 4, 5, 3, 4], "above three and two, the newest three are kept");
    assert_eq!(told(&entries(&harness.alice, HISTORY).await)[0], format!("create {B}"));
    let since = entries(&harness.alice, "/buckets/b/history?_since=0").await;
    assert!(since.iter().all(|entry| entry["deleted"] != true), "no tombstones");
}

#[tokio::test]
async fn with_user_ids_only_the_entries_of_these_users_are_trimmed() {
    let bob = user_id(&Harness::start().await.bob).await;
    let harness = start(&[
        ("history.auto_trim_max_count", "1"),
        ("history.auto_trim_threshold", "0"),
        ("history.auto_trim_user_ids", &bob),
    ])
    .await;
    let open = json!({"permissions": {"write": ["system.Authenticated"]}});
    harness.alice.send("PATCH", C, open).await.expect(200);

    for client in [&harness.alice, &harness.bob, &harness.alice, &harness.bob] {
        client.put(&record("r"), json!({})).await;
    }

    let entries = entries(&harness.alice, HISTORY).await;
    let records = entries.iter().filter(|entry| entry["resource_name"] == "record");
    let by_bob: Vec<bool> = records.map(|entry| entry["user_id"] == bob.as_str()).collect();
    assert_eq!(by_bob, [false, false, true]);
}

/// Whoever takes over the writer can add to the history, and cannot make it tell something else.
#[tokio::test]
async fn the_writer_s_role_cannot_rewrite_what_happened() {
    let harness = start(&[]).await;
    let before = entries(&harness.alice, HISTORY).await;
    let client = harness.database.pool("countersign_writer").get().await.unwrap();

    for text in [
        "update history set data = '{}'",
        "update history set readers = '{}'",
        "delete from history",
        "truncate history",
        "drop function bury_history",
        "create or replace function erase_history(bucket text) returns void
         language sql as 'select 1'",
    ] {
        let code = client.batch_execute(text).await.unwrap_err().code().cloned();
        assert_eq!(code.unwrap().code(), "42501", "{text}");
    }
    let reader = harness.database.pool("countersign_reader").get().await.unwrap();
    let code = reader.batch_execute("select erase_history(null)").await.unwrap_err();
    assert_eq!(code.code().unwrap().code(), "42501");
    assert_eq!(before.len(), 2);
    assert_eq!(entries(&harness.alice, HISTORY).await, before);
}
