//! Collections as they were (`kinto-http-api.md` §7.2.10).

use serde_json::json;

use crate::{
    harness::Harness,
    history::{record, start},
};

async fn at(harness: &Harness, time: i64) -> Vec<(String, i64)> {
    let path = format!("/buckets/b/snapshot/collections/c@{time}");
    let list = harness.alice.get(&path).await.expect(200).json;
    let records = list["data"].as_array().unwrap().iter();
    records
        .map(|record| {
            assert!(record["last_modified"].as_i64().unwrap() <= time);
            (record["id"].as_str().unwrap().to_owned(), record["v"].as_i64().unwrap())
        })
        .collect()
}

async fn put(harness: &Harness, id: &str, v: i64) -> i64 {
    let reply = harness.alice.put(&record(id), json!({"v": v})).await.json;
    reply["data"]["last_modified"].as_i64().unwrap()
}

async fn delete(harness: &Harness, id: &str) -> i64 {
    let reply = harness.alice.delete(&record(id)).await.expect(200).json;
    reply["data"]["last_modified"].as_i64().unwrap()
}

#[tokio::test]
async fn a_collection_is_shown_as_it_was() {
    let harness = start(&[]).await;
    let times = [
        put(&harness, "a", 1).await,
        put(&harness, "b", 1).await,
        put(&harness, "a", 2).await,
        delete(&harness, "b").await,
        put(&harness, "b", 3).await,
        delete(&harness, "a").await,
    ];

    let pair = |id: &str, v| (id.to_owned(), v);
    assert_eq!(at(&harness, times[0] - 1).await, []);
    assert_eq!(at(&harness, times[0]).await, [pair("a", 1)]);
    assert_eq!(at(&harness, times[1]).await, [pair("b", 1), pair("a", 1)]);
    assert_eq!(at(&harness, times[2]).await, [pair("a", 2), pair("b", 1)]);
    assert_eq!(at(&harness, times[3]).await, [pair("a", 2)], "no tombstone of b");
    assert_eq!(at(&harness, times[4]).await, [pair("b", 3), pair("a", 2)]);
    assert_eq!(at(&harness, times[5]).await, [pair("b", 3)]);
}

#[tokio::test]
async fn a_snapshot_is_for_readers_of_the_collection() {
    let harness = start(&[("collection_read_principals", "system.Everyone")]).await;
    let path = |last: &str| format!("/buckets/b/snapshot/collections/{last}");

    harness.bob.get(&path("c@1")).await.expect(403);
    harness.anonymous.get(&path("c@1")).await.expect(401);
    harness.alice.get("/buckets/none/snapshot/collections/c@1").await.expect(403);
    harness.alice.get("/buckets/_bad/snapshot/collections/c@1").await.expect(404);
    let malformed = harness.anonymous.get(&path("c@x@1")).await.expect(404).json;
    assert_eq!(malformed["details"], json!({"id": "c@x", "resource_name": "collection"}));
    let unknown = harness.alice.get(&path("none@1")).await.expect(200);
    assert_eq!(unknown.json, json!({"data": []}));
    assert_eq!((unknown.header("etag"), unknown.header("cache-control")), ("", ""));
    for bad in ["c@abc", "c@-1", "c@1.5"] {
        let refused = harness.anonymous.get(&path(bad)).await.expect(400).json;
        assert_eq!(refused["details"][0]["name"], "timestamp", "{bad}");
    }
    let refused = harness.alice.send("POST", &path("c@1"), json!({})).await.expect(405);
    assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
    harness.alice.get(&path("c@")).await.expect(404);
}
