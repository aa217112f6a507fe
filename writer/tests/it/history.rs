//! Who changed what, and who may know it (`kinto-http-api.md` §7.2).

use serde_json::{Value, json};
use shared::testing::TestClient;

use crate::harness::{Harness, SOURCE, ids, user_id};

pub(crate) const B: &str = "/buckets/b";
pub(crate) const C: &str = "/buckets/b/collections/c";
pub(crate) const HISTORY: &str = "/buckets/b/history";

pub(crate) async fn start(settings: &[(&str, &str)]) -> Harness {
    let plugin = ("includes", "kinto.plugins.history");
    let harness = Harness::with(&[&[plugin], settings].concat()).await;
    harness.alice.put(B, json!({})).await.expect(201);
    harness.alice.put(C, json!({})).await.expect(201);
    harness
}

/// The entries that a client sees, oldest first.
pub(crate) async fn entries(client: &TestClient, path: &str) -> Vec<Value> {
    let list = client.get(path).await.expect(200).json;
    let mut entries = list["data"].as_array().unwrap().clone();
    entries.reverse();
    entries
}

/// What happened to what, in a word each.
pub(crate) fn told(entries: &[Value]) -> Vec<String> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or("?").to_owned();
    entries.iter().map(|entry| text(entry, "action") + " " + &text(entry, "uri")).collect()
}

pub(crate) fn record(id: &str) -> String {
    format!("{C}/records/{id}")
}

#[tokio::test]
async fn every_change_leaves_an_entry() {
    let harness = start(&[]).await;
    let alice = user_id(&harness.alice).await;
    let r = record("1");
    let body = json!({"data": {"n": 1}, "permissions": {"read": ["zed"]}});

    let created = harness.alice.send("PUT", &r, body).await.expect(201).json;
    harness
        .alice
        .send("POST", &format!("{C}/records"), json!({"data": {"id": "1"}}))
        .await
        .expect(200);
    harness.alice.send("PUT", &r, json!({})).await.expect(200);
    harness.alice.patch(&r, json!({"n": 2})).await.expect(200);
    let deleted = harness.alice.delete(&r).await.expect(200).json;
    harness.alice.delete(&r).await.expect(404);

    let entries = entries(&harness.alice, HISTORY).await;
    let expected = [
        format!("create {B}"),
        format!("create {C}"),
        format!("create {r}"),
        format!("update {r}"),
        format!("update {r}"),
        format!("delete {r}"),
    ];
    assert_eq!(told(&entries), expected);
    assert_eq!(entries[0]["bucket_id"], "b");
    let first = entries[2].as_object().unwrap();
    let members: Vec<&String> = first.keys().collect();
    let expected = [
        "action",
        "collection_id",
        "date",
        "id",
        "last_modified",
        "record_id",
        "resource_name",
        "target",
        "uri",
        "user_id",
    ];
    assert_eq!(members, expected);
    assert_eq!(first["target"]["data"], created["data"]);
    assert_eq!(
        first["target"]["permissions"],
        json!({"read": ["zed"], "write": [alice.clone()]}),
        "as the object had them then"
    );
    assert_eq!((&first["collection_id"], &first["record_id"]), (&json!("c"), &json!("1")));
    assert_eq!((&first["resource_name"], &first["user_id"]), (&json!("record"), &json!(alice)));
    assert_eq!(entries[5]["target"], json!({"data": deleted["data"], "permissions": {}}));
}

#[tokio::test]
async fn an_entry_is_later_than_what_it_tells_of() {
    let harness = start(&[]).await;

    let made = harness.alice.put(&record("1"), json!({})).await.expect(201).json;
    let since = format!("{HISTORY}?_since={}", made["data"]["last_modified"]);

    assert_eq!(told(&entries(&harness.alice, &since).await), [format!("create {}", record("1"))]);
}

#[tokio::test]
async fn what_is_deleted_with_its_parent_is_not_told() {
    let harness = start(&[]).await;
    for id in ["1", "2", "3"] {
        harness.alice.put(&record(id), json!({})).await.expect(201);
    }

    harness.alice.delete(C).await.expect(200);

    let entries = entries(&harness.alice, HISTORY).await;
    assert_eq!(told(&entries)[5..], [format!("delete {C}")]);
}

#[tokio::test]
async fn a_bucket_takes_its_history_along() {
    let harness = start(&[]).await;
    harness.alice.delete(B).await.expect(200);
    harness.alice.get(HISTORY).await.expect(403);

    harness.alice.put(B, json!({})).await.expect(201);

    assert_eq!(told(&entries(&harness.alice, HISTORY).await), [format!("create {B}")]);
    let requests = json!({"requests": [
        {"method": "PUT", "path": format!("{B}/groups/g"), "body": {"data": {"members": []}}},
        {"method": "DELETE", "path": B},
        {"method": "PUT", "path": B},
    ]});
    harness.alice.send("POST", "/batch", requests).await.expect(200);
    assert_eq!(told(&entries(&harness.alice, HISTORY).await), [format!("create {B}")]);
}

#[tokio::test]
async fn a_batch_is_recorded_in_its_order_without_what_was_refused() {
    let harness = start(&[]).await;
    let put = |id: &str| json!({"method": "PUT", "path": record(id), "body": {"data": {"n": id}}});
    let requests = json!({"requests": [put("a"), put("_bad"), put("b"), put("c")]});

    let batch = harness.alice.send("POST", "/batch", requests).await.expect(200).json;

    assert_eq!(batch["responses"][1]["status"], 400);
    let entries = entries(&harness.alice, HISTORY).await;
    let expected = ["a", "b", "c"].map(|id| format!("create {}", record(id)));
    assert_eq!(told(&entries)[2..], expected);
    let times: Vec<i64> =
        entries.iter().map(|entry| entry["last_modified"].as_i64().unwrap()).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

#[tokio::test]
async fn a_request_that_fails_leaves_no_entry() {
    let harness = start(&[]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let before = entries(&harness.alice, "/buckets/work/history").await;
    let requests = json!({"requests": [
        {"method": "PUT", "path": format!("{SOURCE}/records/r"), "body": {"data": {}}},
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "nonsense"}}},
    ]});

    harness.alice.send("POST", "/batch", requests).await.expect(400);

    assert_eq!(entries(&harness.alice, "/buckets/work/history").await, before);
}

#[tokio::test]
async fn whoever_could_read_it_then_may_read_the_entry_for_ever() {
    let harness = start(&[]).await;
    let bob = user_id(&harness.bob).await;
    let r = record("r");
    harness.alice.put(&record("other"), json!({})).await.expect(201);
    let shared = json!({"data": {"n": 1}, "permissions": {"read": [bob]}});
    harness.alice.send("PUT", &r, shared).await.expect(201);
    let withdrawn = json!({"data": {"n": 2}, "permissions": {"read": []}});
    harness.alice.send("PATCH", &r, withdrawn).await.expect(200);

    harness.bob.get(&r).await.expect(403);
    let seen = entries(&harness.bob, HISTORY).await;

    assert_eq!(told(&seen), [format!("create {r}")]);
    assert_eq!(seen[0]["target"]["data"]["n"], 1);
    harness.bob.delete(HISTORY).await.expect(403);
    harness.anonymous.get(HISTORY).await.expect(401);
}

#[tokio::test]
async fn entries_are_filtered_by_their_members() {
    let harness = start(&[]).await;
    let bob = user_id(&harness.bob).await;
    let shared = json!({"data": {"n": 1}, "permissions": {"read": [bob]}});
    harness.alice.send("PUT", &record("1"), shared).await.expect(201);
    harness.alice.put(&record("2"), json!({"n": 2})).await.expect(201);
    harness.alice.delete(&record("2")).await.expect(200);

    for (query, count) in [
        ("record_id=1", 1),
        ("resource_name=record&action=delete", 1),
        ("target.data.n=2", 1),
        ("uri=/buckets/b/collections/c/records/2&_limit=1", 1),
        ("collection_id=c", 4),
    ] {
        let found = entries(&harness.alice, &format!("{HISTORY}?{query}")).await;
        assert_eq!(found.len(), count, "{query}");
    }
    harness.alice.get(&format!("{HISTORY}?unknown=1")).await.expect(400);
    assert_eq!(entries(&harness.bob, &format!("{HISTORY}?record_id=2")).await.len(), 0);

    harness.alice.delete(&format!("{HISTORY}?record_id=2")).await.expect(200);
    let left = entries(&harness.alice, &format!("{HISTORY}?resource_name=record")).await;
    assert_eq!(told(&left), [format!("create {}", record("1"))]);
    harness.bob.get(HISTORY).await.expect(200);
    harness.alice.delete(HISTORY).await.expect(200);
    harness.bob.get(&format!("{HISTORY}?_since=0")).await.expect(403);
}

#[tokio::test]
async fn without_explicit_permissions_all_is_recorded_for_the_bucket_s_readers() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.history"),
        ("explicit_permissions", "false"),
        ("bucket_create_principals", "system.Authenticated"),
    ])
    .await;
    let (alice, bob) = (user_id(&harness.alice).await, user_id(&harness.bob).await);
    let owned = json!({"permissions": {"write": [alice]}});
    harness.alice.send("PUT", B, owned).await.expect(201);
    harness.alice.send("PUT", C, json!({"permissions": {"read": [bob]}})).await.expect(201);
    let requests: Vec<Value> = ["a", "b"]
        .iter()
        .map(|id| json!({"method": "PUT", "path": record(id), "body": {"data": {}}}))
        .collect();
    harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    assert_eq!(entries(&harness.alice, HISTORY).await.len(), 4);
    harness.bob.get(HISTORY).await.expect(403);
}

#[tokio::test]
async fn history_can_be_read_and_deleted_only() {
    let harness = start(&[]).await;

    for method in ["POST", "PUT", "PATCH"] {
        let refused = harness.alice.send(method, HISTORY, json!({})).await.expect(405);
        assert_eq!(refused.header("allow"), "GET, HEAD, DELETE, OPTIONS", "{method}");
    }
    harness.alice.get("/buckets/b/history/some").await.expect(404);
    let head = harness.alice.raw("HEAD", HISTORY, &[], "").await.expect(200);
    assert_eq!(head.header("total-objects"), "", "not counted");
    assert_ne!(head.header("content-length"), "11", "the length of the list, not of an empty one");
    for (path, status) in [("/buckets/none/history", 403), ("/buckets/_bad/history", 403)] {
        harness.alice.get(path).await.expect(status);
        harness.anonymous.get(path).await.expect(401);
    }
    let without = Harness::with_collection().await;
    without.alice.get(HISTORY).await.expect(404);
    without.alice.get("/buckets/b/snapshot/collections/c@1").await.expect(404);
    assert_eq!(without.alice.get("/").await.json["capabilities"]["history"], Value::Null);
}

#[tokio::test]
async fn deleted_entries_leave_tombstones() {
    let harness = start(&[]).await;

    let deleted = harness.alice.delete(HISTORY).await.expect(200).json;

    assert_eq!(ids(&deleted).len(), 2);
    assert_eq!(entries(&harness.alice, HISTORY).await, [] as [Value; 0]);
    let since = entries(&harness.alice, "/buckets/b/history?_since=0").await;
    assert!(since.len() == 2 && since.iter().all(|entry| entry["deleted"] == true), "{since:?}");
}

#[tokio::test]
async fn sign_off_is_recorded_as_the_plugin_s_changes() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.history"),
        ("history.exclude_resources", "/buckets/preview"),
    ])
    .await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let bob = user_id(&harness.bob).await;
    let reviewers = "/buckets/work/groups/c-reviewers";
    harness.alice.patch(reviewers, json!({"members": [bob]})).await.expect(200);
    let before = entries(&harness.alice, "/buckets/work/history").await.len();

    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.publish().await;

    let names = [
        (user_id(&harness.alice).await, "alice"),
        (bob, "bob"),
        ("plugin:remote-settings".to_owned(), "plugin"),
    ];
    let who = |entry: &Value| {
        let id = entry["user_id"].as_str().unwrap();
        names.iter().find(|(known, _)| known == id).unwrap().1
    };
    let what = |entry: &Value| {
        let status = entry["target"]["data"]["status"].as_str().unwrap_or("-").to_owned();
        (who(entry), entry["resource_name"].as_str().unwrap().to_owned(), status)
    };
    let entries_of_work = entries(&harness.alice, "/buckets/work/history").await;
    let told: Vec<_> = entries_of_work[before..].iter().map(what).collect();
    let expected = [
        ("alice", "record", "-"),
        ("plugin", "collection", "work-in-progress"),
        ("alice", "collection", "to-review"),
        ("plugin", "collection", "to-review"),
        ("bob", "collection", "to-sign"),
        ("plugin", "collection", "signed"),
    ];
    let expected = expected.map(|(who, kind, status)| (who, kind.to_owned(), status.to_owned()));
    assert_eq!(told, expected);

    let main = harness.anonymous.get("/buckets/main/history").await.expect(200).json;
    let published = main["data"].as_array().unwrap();
    let of_records: Vec<&Value> =
        published.iter().filter(|entry| entry["resource_name"] == "record").collect();
    assert_eq!(of_records.len(), 1);
    assert_eq!((of_records[0]["action"].as_str(), who(of_records[0])), (Some("create"), "plugin"));
    assert_eq!(of_records[0]["target"]["data"]["n"], 1);
}

#[tokio::test]
async fn writers_of_a_bucket_get_entries_in_the_order_of_their_commits() {
    let harness = start(&[]).await;
    for collection in 0..8 {
        let path = format!("{B}/collections/c{collection}");
        harness.alice.put(&path, json!({})).await.expect(201);
    }

    let writers: Vec<_> = (0..8)
        .map(|collection| {
            let client = harness.alice.clone();
            tokio::spawn(async move {
                for number in 0..10 {
                    let path = format!("{B}/collections/c{collection}/records/r{number}");
                    client.put(&path, json!({})).await.expect(201);
                }
            })
        })
        .collect();
    let (mut seen, mut since) = (0, 0);
    while seen < 90 {
        // Asked first: what is written before they end, the page after that must show.
        let all_written = writers.iter().all(tokio::task::JoinHandle::is_finished);
        let page = harness.alice.get(&format!("{HISTORY}?_since={since}")).await.expect(200).json;
        let times = page["data"].as_array().unwrap().iter().map(|e| e["last_modified"].as_i64());
        let times: Vec<i64> = times.map(Option::unwrap).collect();
        assert!(times.is_sorted_by(|a, b| a > b), "unique, newest first");
        seen += times.len();
        since = times.first().copied().unwrap_or(since);
        if all_written && times.is_empty() {
            break;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }

    assert_eq!(seen, 90, "whoever polls has missed nothing");
}
