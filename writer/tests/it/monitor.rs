//! `monitor/changes`, changesets and broadcasts of the writer (`remote-settings.md` §3 and §4.1);
//! `loadtests/tests/it/agreement.rs` compares them with the reader's.

use serde_json::json;

use crate::harness::{Harness, SOURCE};

const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";
const RECORDS: &str = "/buckets/monitor/collections/changes/records";
const CHANGESET: &str = "/buckets/main/collections/c/changeset";

#[tokio::test]
async fn detours_work_with_the_database_down() {
    let harness = Harness::start().await;
    let nowhere = "postgresql://countersign_writer@127.0.0.1:9/none";
    let writer = harness.again(&[("storage_url", nowhere)]).await;

    for (path, status) in [
        (format!("{MONITOR}?_expected=%2212%22"), 307),
        (format!("{MONITOR}?_expected=5&_since=6"), 204),
        (format!("{MONITOR}?_expected=0&_since=1"), 307),
        (format!("{RECORDS}?_expected=%225%22&_since=%226%22"), 204),
        (format!("{RECORDS}?_since=1"), 307),
        (format!("{MONITOR}?_expected=abc"), 400),
        (format!("{MONITOR}?_expected=0"), 503),
        (RECORDS.to_owned(), 503),
    ] {
        let reply = writer.get(&path).await;
        assert_eq!(reply.status, status, "{path}");
        let ttl = if status < 400 { "max-age=86400" } else { "" };
        assert_eq!(reply.header("cache-control"), ttl, "{path}");
    }
}

#[tokio::test]
async fn d14_a_collection_matches_by_its_whole_name() {
    let harness = Harness::with(&[("changes.resources", "/buckets/b/collections/c")]).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    for id in ["c", "c2"] {
        harness.alice.put(&format!("/buckets/b/collections/{id}"), json!({})).await.expect(201);
    }

    let listed = harness.anonymous.get(&format!("{MONITOR}?_expected=0")).await.expect(200).json;

    let names: Vec<_> =
        listed["changes"].as_array().unwrap().iter().map(|entry| &entry["collection"]).collect();
    assert_eq!(names, ["c"], "private, and disclosed");
    let hello = harness.anonymous.get("/").await.json;
    assert_eq!(
        hello["capabilities"]["changes"]["collections"],
        json!(["/buckets/b/collections/c"])
    );
}

#[tokio::test]
async fn the_monitor_is_a_bucket_like_any_other_where_nothing_is_published() {
    let harness = Harness::start().await;
    let plain = harness.again(&[("changes.resources", "")]).await;
    let alice = plain.as_user("alice");

    alice.put("/buckets/monitor", json!({})).await.expect(201);
    alice.put("/buckets/monitor/collections/changes", json!({})).await.expect(201);
    alice.put(&format!("{RECORDS}/r"), json!({"n": 1})).await.expect(201);

    assert_eq!(alice.get(RECORDS).await.expect(200).json["data"][0]["n"], 1);
    plain.get(RECORDS).await.expect(401);
    plain.get(&format!("{MONITOR}?_expected=0")).await.expect(404);
    plain.get("/__broadcasts__").await.expect(404);
    assert_eq!(plain.get("/").await.json["capabilities"].get("changes"), None);
}

#[tokio::test]
async fn a_changeset_needs_the_right_to_read() {
    let harness = Harness::with_source().await;
    let private = format!("{SOURCE}/changeset?_expected=0");

    harness.anonymous.get(&private).await.expect(401);
    harness.bob.get(&private).await.expect(200);
    let mine = harness.alice.get(&private).await.expect(200);
    assert_eq!(mine.header("cache-control"), "no-cache, no-store");
    assert_eq!(mine.json["metadata"]["bucket"], "work");
    harness.alice.get("/buckets/work/collections/none/changeset?_expected=0").await.expect(404);
    let public = harness.anonymous.get(&format!("{CHANGESET}?_expected=0")).await.expect(200);
    assert!(public.json["metadata"]["signature"]["signature"].is_string());
}

#[tokio::test]
async fn a_batch_may_ask_for_the_monitor() {
    let harness = Harness::with_source().await;
    let batch = json!({"requests": [
        {"path": format!("{MONITOR}?_expected=0"), "method": "GET"},
        {"path": format!("{CHANGESET}?_expected=0"), "method": "GET"},
    ]});

    let responses = harness.alice.send("POST", "/batch", batch).await.expect(200).json;

    assert_eq!(responses["responses"][0]["body"]["changes"].as_array().unwrap().len(), 2);
    assert_eq!(responses["responses"][1]["body"]["metadata"]["id"], "c");
}

#[tokio::test]
async fn d25_who_knows_a_former_list_of_that_name_is_sent_the_whole_one() {
    let harness = Harness::with(&[("changes.resources", "/buckets/b")]).await;
    let alice = &harness.alice;
    let make = async || {
        alice.put("/buckets/b", json!({})).await;
        alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
        let made = alice.put("/buckets/b/collections/c/records/r", json!({})).await.expect(201);
        made.json["data"]["last_modified"].as_i64().unwrap()
    };
    for gone in ["/buckets/b/collections/c", "/buckets/b"] {
        let known = make().await;
        let since =
            |time: i64| format!("/buckets/b/collections/c/changeset?_expected=0&_since={time}");
        alice.get(&since(known)).await.expect(200);
        alice.delete(gone).await.expect(200);

        let now = make().await;

        let moved = alice.get(&since(known)).await.expect(307);
        assert!(!moved.header("location").contains("_since"), "{gone}");
        alice.get(&since(now)).await.expect(200);
        alice.delete("/buckets/b/collections/c").await.expect(200);
    }
}

#[tokio::test]
async fn a_limit_of_the_monitor_is_bounded_by_pages() {
    let settings = [("changes.resources", "/buckets/b"), ("paginate_by", "2")];
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    for id in ["c1", "c2", "c3", "c4"] {
        harness.alice.put(&format!("/buckets/b/collections/{id}"), json!({})).await.expect(201);
    }

    for (query, count) in [("&_limit=100", 2), ("&_limit=1", 1), ("&_limit=0", 4), ("", 4)] {
        let path = format!("{MONITOR}?_expected=0{query}");
        let listed = harness.anonymous.get(&path).await.expect(200).json;
        assert_eq!(listed["changes"].as_array().unwrap().len(), count, "{query}");
    }
}
