//! Creating, reading, changing and deleting (`kinto-http-api.md` §2).

use serde_json::{Value, json};
use shared::testing::TestReply;

use crate::harness::{Harness, SOURCE, ids};

const RECORDS: &str = "/buckets/b/collections/c/records";
const RECORD: &str = "/buckets/b/collections/c/records/r";

#[tokio::test]
async fn a_malformed_collection_is_told_to_those_who_may_read_the_bucket() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    for path in ["/buckets/b/collections/_bad/records", "/buckets/b/collections/_bad/records/x"] {
        let told = harness.alice.get(path).await.expect(404);
        assert_eq!(told.json["details"], json!({"id": "_bad", "resource_name": "collection"}));
        harness.anonymous.get(path).await.expect(401);
    }
    harness.alice.get("/buckets/_bad/collections").await.expect(403);
    let html = [("accept", "text/html")];
    harness.anonymous.raw("GET", "/buckets/_bad/collections", &html, "").await.expect(406);
}

/// §0.4: rights, the parent, what is wrong with the request, and only then the id.
#[tokio::test]
async fn a_malformed_id_is_told_after_the_parent_and_after_other_problems() {
    let harness = Harness::with_collection().await;
    let (alice, bad) = (&harness.alice, format!("{RECORDS}/_bad"));
    let json = ("content-type", "application/json");
    let message = |reply: TestReply| reply.json["message"].as_str().unwrap().to_owned();

    for (method, headers, body, told) in [
        ("PATCH", vec![json], "{\"foo\": 1}", "Unrecognized keys in mapping: \"{'foo': 1}\""),
        ("PUT", vec![json], "{\"foo\": 1}", "Unrecognized keys in mapping: \"{'foo': 1}\""),
        ("PATCH", vec![json], "{}", "path: Invalid object id"),
        ("GET", vec![("if-match", "x")], "", "If-Match in header: "),
        ("DELETE", vec![("if-match", "x")], "", "If-Match in header: "),
        ("DELETE", vec![], "", "path: Invalid object id"),
    ] {
        let reply = alice.raw(method, &bad, &headers, body).await.expect(400);
        let text = message(reply);
        assert!(text.starts_with(told), "{method} {body}: {text}");
        let refused = harness.bob.raw(method, &bad, &headers, body).await;
        assert_eq!(refused.status, 403, "{method} {body}: {}", refused.json);
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        let path = "/buckets/b/collections/unknown/records/_bad";
        let body = json!({"data": {}}).to_string();
        let reply = alice.raw(method, path, &[json], body).await.expect(404);
        assert_eq!(reply.json["details"], json!({"id": "unknown", "resource_name": "collection"}));
    }
}

/// §2.3.4: what a body has as its id is looked at before rights.
#[tokio::test]
async fn a_posted_id_that_cannot_be_one_is_told_to_everybody() {
    let harness = Harness::with_collection().await;

    for id in [json!("_bad"), json!(""), json!(null), json!(3), json!([]), json!(true)] {
        let body = json!({"data": {"id": id}, "foo": 1});
        for client in [&harness.alice, &harness.bob, &harness.anonymous] {
            let reply = client.send("POST", RECORDS, body.clone()).await.expect(400);
            assert_eq!(reply.json["message"], "path: Invalid object id", "{id}");
        }
        let unknown = "/buckets/b/collections/unknown/records";
        harness.alice.send("POST", unknown, body).await.expect(404);
    }
    let body = json!({"data": {"id": "fine"}});
    harness.bob.send("POST", RECORDS, body).await.expect(403);
}

#[tokio::test]
async fn a_record_lives_from_put_to_tombstone() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;

    let created = alice.put(RECORD, json!({"n": 1, "x": 2})).await.expect(201);
    let etag = created.header("etag").to_owned();
    assert_eq!(created.json["data"]["n"], 1);
    assert_eq!(etag, format!("\"{}\"", created.json["data"]["last_modified"]));
    assert_eq!(alice.get(RECORD).await.expect(200).header("etag"), etag);

    let replaced = alice.put(RECORD, json!({"n": 2})).await.expect(200);
    assert_eq!(replaced.json["data"].get("x"), None);
    let patched = alice.patch(RECORD, json!({"y": null})).await.expect(200);
    assert_eq!(patched.json["data"]["n"], 2);
    assert_eq!(patched.json["data"]["y"], Value::Null);

    let deleted = alice.delete(RECORD).await.expect(200);
    assert_eq!(deleted.json["data"]["deleted"], true);
    assert_eq!(alice.get(RECORD).await.expect(404).json["errno"], 110);
    assert_eq!(alice.delete(RECORD).await.expect(404).json["errno"], 110);
    let again = alice.put(RECORD, json!({})).await.expect(201);
    assert!(
        again.json["data"]["last_modified"].as_i64()
            > deleted.json["data"]["last_modified"].as_i64()
    );
}

#[tokio::test]
async fn a_list_shows_changes_and_tombstones_since() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    for id in ["a", "b", "c"] {
        alice.put(&format!("{RECORDS}/{id}"), json!({})).await.expect(201);
    }
    let all = alice.get(RECORDS).await.expect(200);
    assert_eq!(ids(&all.json), ["c", "b", "a"], "newest first");
    assert_eq!(all.header("cache-control"), "no-cache, no-store");
    let since = all.header("etag").trim_matches('"').to_owned();

    alice.delete(&format!("{RECORDS}/a")).await.expect(200);

    assert_eq!(ids(&alice.get(RECORDS).await.json), ["c", "b"]);
    let changes = alice.get(&format!("{RECORDS}?_since={since}")).await.expect(200);
    assert_eq!(ids(&changes.json), ["a"]);
    assert_eq!(changes.json["data"][0]["deleted"], true);
    let quoted = alice.get(&format!("{RECORDS}?_since=%22{since}%22")).await.expect(200);
    assert_eq!(ids(&quoted.json), ["a"]);
    let head = alice.raw("HEAD", RECORDS, &[], "").await.expect(200);
    assert_eq!(head.header("total-objects"), "2");
    assert_eq!(head.header("content-length"), "11");
    let etag = changes.header("etag").to_owned();
    let same = alice.raw("GET", RECORDS, &[("if-none-match", &etag)], "").await.expect(304);
    assert_eq!((same.header("etag"), same.header("content-type")), (etag.as_str(), ""));
}

#[tokio::test]
async fn an_empty_list_keeps_its_version_between_reads() {
    let harness = Harness::with_collection().await;

    let first = harness.alice.get(RECORDS).await.expect(200);
    let second = harness.alice.get(RECORDS).await.expect(200);

    assert_eq!(first.header("etag"), second.header("etag"));
    assert_ne!(first.header("etag"), "\"0\"");
}

#[tokio::test]
async fn a_stale_edit_is_refused_and_shows_the_current_record() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let old = alice.put(RECORD, json!({"n": 1})).await.header("etag").to_owned();
    let new = alice.put(RECORD, json!({"n": 2})).await.header("etag").to_owned();

    let body = json!({"data": {"n": 3}}).to_string();
    let refused = alice.raw("PUT", RECORD, &[("if-match", &old)], body.clone()).await.expect(412);
    assert_eq!(refused.json["details"]["existing"]["n"], 2);
    assert_eq!(refused.header("etag"), new);
    alice.raw("PUT", RECORD, &[("if-match", &new)], body.clone()).await.expect(200);
    alice.raw("PUT", RECORD, &[("if-none-match", "*")], body.clone()).await.expect(412);
    alice.raw("PATCH", RECORD, &[("if-match", "7")], body).await.expect(400);
}

#[tokio::test]
async fn posting_makes_an_id_and_never_changes_an_existing_object() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;

    let made = alice.send("POST", RECORDS, json!({"data": {"n": 1}})).await.expect(201);
    let id = made.json["data"]["id"].as_str().unwrap();
    assert_eq!(id.len(), 36);
    let same = json!({"data": {"id": id, "n": 2}});
    let kept = alice.send("POST", RECORDS, same).await.expect(200);
    assert_eq!(kept.json["data"]["n"], 1);
    alice.send("POST", RECORDS, json!({"data": {"id": "_bad"}})).await.expect(400);
}

#[tokio::test]
async fn a_client_s_timestamp_is_kept_where_it_cannot_hide_anything() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let list = || async { alice.get(RECORDS).await.header("etag").to_owned() };
    let before = list().await;

    let past = json!({"last_modified": 12});
    let created = alice.put(&format!("{RECORDS}/past"), past.clone()).await.expect(201);
    assert_eq!(created.json["data"]["last_modified"], 12);
    assert_eq!(list().await, before, "the list's timestamp is not moved");
    alice.put(&format!("{RECORDS}/other"), past).await.expect(409);
    let future = json!({"last_modified": 9_999_999_999_999_i64});
    alice.put(&format!("{RECORDS}/future"), future).await.expect(201);
    let next = alice.put(&format!("{RECORDS}/next"), json!({})).await.expect(201);
    assert_eq!(next.json["data"]["last_modified"], 10_000_000_000_000_i64);
    let older = json!({"last_modified": 5, "n": 1});
    let bumped = alice.put(&format!("{RECORDS}/past"), older).await.expect(200);
    assert!(bumped.json["data"]["last_modified"].as_i64() > Some(10_000_000_000_000));
}

#[tokio::test]
async fn deleting_a_bucket_leaves_nothing_dangling() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let bob = crate::harness::user_id(&harness.bob).await;
    alice.put(RECORD, json!({})).await.expect(201);
    alice.put("/buckets/b/groups/g", json!({"members": [bob]})).await.expect(201);

    alice.delete("/buckets/b").await.expect(200);

    alice.put("/buckets/b", json!({})).await.expect(201);
    assert!(ids(&alice.get("/buckets/b/collections?_since=0").await.json).is_empty());
    assert!(ids(&alice.get("/buckets/b/groups?_since=0").await.json).is_empty());
    let principals = harness.bob.get("/").await.json["user"]["principals"].to_string();
    assert!(!principals.contains("/groups/g"), "{principals}");
    let left = "select count(*) from record where bucket_id = 'b'";
    let left: i64 = harness.database.owner().await.query_one(left, &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn deleting_a_list_deletes_what_it_shows_and_nothing_by_mistake() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    for id in ["a", "b"] {
        alice.put(&format!("{RECORDS}/{id}"), json!({})).await.expect(201);
    }

    alice.delete(&format!("{RECORDS}?title=x")).await.expect(200);
    assert_eq!(ids(&alice.get(RECORDS).await.json).len(), 2, "nothing has that title");
    let deleted = alice.delete(RECORDS).await.expect(200);
    assert_eq!(deleted.json["data"].as_array().unwrap().len(), 2);
    let tombstones = alice.get(&format!("{RECORDS}?_since=0")).await;
    assert_eq!(tombstones.json["data"], {
        let mut data = deleted.json["data"].as_array().unwrap().clone();
        data.sort_by_key(|object| std::cmp::Reverse(object["last_modified"].as_i64()));
        Value::Array(data)
    });
    let etag = alice.get(RECORDS).await.header("etag").to_owned();
    alice.delete(RECORDS).await.expect(200);
    assert_eq!(alice.get(RECORDS).await.header("etag"), etag, "nothing was deleted");
}

#[tokio::test]
async fn no_client_can_stop_a_list_s_clock() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    alice.put(RECORD, json!({})).await.expect(201);

    for late in [9_007_199_254_740_992_i64, i64::MAX] {
        let refused = alice.put(RECORD, json!({"last_modified": late})).await.expect(400);
        assert!(refused.json["message"].as_str().unwrap().contains("maximum value"));
        alice.delete(&format!("{RECORD}?last_modified={late}")).await.expect(400);
    }
    let latest = json!({"last_modified": 9_007_199_254_740_991_i64});
    alice.put(RECORD, latest).await.expect(200);
    let after = alice.put(&format!("{RECORDS}/next"), json!({})).await.expect(201);
    assert_eq!(after.json["data"]["last_modified"], 9_007_199_254_740_992_i64);
}

#[tokio::test]
async fn a_published_list_never_takes_a_client_s_timestamp() {
    let harness = Harness::with(&[("changes.resources", "/buckets/open")]).await;
    let alice = &harness.alice;
    let record = "/buckets/open/collections/c/records/r";
    alice.put("/buckets/open", json!({})).await.expect(201);
    alice.put("/buckets/open/collections/c", json!({})).await.expect(201);
    let far = 3_999_999_999_999_i64;

    let put = alice.put(record, json!({"last_modified": far})).await.expect(201);
    let deleted = alice.delete(&format!("{record}?last_modified={far}")).await.expect(200);

    for reply in [put, deleted] {
        assert!(reply.json["data"]["last_modified"].as_i64() < Some(far));
    }
}

#[tokio::test]
async fn the_list_of_buckets_has_a_version_before_the_first_bucket() {
    let harness = Harness::start().await;

    let first = harness.alice.get("/buckets").await.expect(200).header("etag").to_owned();

    assert_eq!(harness.alice.get("/buckets").await.header("etag"), first);
}

#[tokio::test]
async fn totals_are_kept_in_step_with_what_is_there() {
    let harness = Harness::with_source().await;
    let alice = &harness.alice;
    let records = format!("{SOURCE}/records");
    for id in ["a", "b", "c", "d"] {
        alice.put(&format!("{records}/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    alice.delete(&format!("{records}/a")).await.expect(200);
    alice.put(&format!("{records}/a"), json!({})).await.expect(201);
    alice.delete(&format!("{records}/b")).await.expect(200);
    harness.publish().await;
    harness.check_live_counts().await;

    alice.delete(&records).await.expect(200);
    alice.patch(SOURCE, json!({"status": "to-rollback"})).await.expect(200);
    harness.check_live_counts().await;

    alice.delete(SOURCE).await.expect(200);
    harness.check_live_counts().await;
    alice.put("/buckets/other", json!({})).await.expect(201);
    alice.put("/buckets/other/collections/c", json!({})).await.expect(201);
    alice.put("/buckets/other/collections/c/records/r", json!({})).await.expect(201);
    alice.delete("/buckets/other").await.expect(200);
    harness.check_live_counts().await;
}
