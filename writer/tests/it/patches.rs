//! The three forms of PATCH, and what of the object comes back (`kinto-http-api.md` §2.11).

use serde_json::{Value, json};
use shared::testing::TestReply;

use crate::harness::{Harness, SOURCE, user_id};

const RECORD: &str = "/buckets/b/collections/c/records/r";

async fn with_record() -> Harness {
    let harness = Harness::with_collection().await;
    let data = json!({"n": 1, "o": {"x": {"y": 1}}, "nul": null});
    let body = json!({"data": data, "permissions": {"read": ["bob"]}});
    harness.alice.send("PUT", RECORD, body).await.expect(201);
    harness
}

async fn patch(harness: &Harness, kind: &str, behavior: &str, body: Value) -> TestReply {
    let kind = format!("application/{kind}; charset=utf-8");
    let headers = [("content-type", kind.as_str()), ("response-behavior", behavior)];
    harness.alice.raw("PATCH", RECORD, &headers, body.to_string()).await
}

#[tokio::test]
async fn t103_json_patch_changes_data_and_permissions() {
    let harness = with_record().await;
    let operations = json!([
        {"op": "test", "path": "/data/n", "value": 1},
        {"op": "add", "path": "/data/l", "value": [1]},
        {"op": "add", "path": "/permissions/read/carol"},
        {"op": "remove", "path": "/permissions/read/bob"},
    ]);

    let patched = patch(&harness, "json-patch+json", "full", operations).await.expect(200);

    assert_eq!(patched.json["data"]["l"], json!([1]));
    assert_eq!(patched.json["permissions"]["read"], json!(["carol"]));
    assert_eq!(patched.json["permissions"]["write"].as_array().unwrap().len(), 1);
    assert_eq!(harness.alice.get(RECORD).await.json, patched.json);
}

#[tokio::test]
async fn t104_a_failed_operation_changes_nothing() {
    let harness = with_record().await;
    let before = harness.alice.get(RECORD).await.json;
    let replace = |path: &str| json!({"op": "replace", "path": path, "value": "z"});

    for (operation, text) in [
        (json!({"op": "test", "path": "/data/n", "value": 2}), "JSON Patch operation failed: "),
        (json!({"op": "remove", "path": "/data"}), "JSON Patch operation failed: "),
        (replace("/data"), "JSON Patch operation failed: "),
        (replace("/data/id"), "Object id does not match existing object"),
        (
            json!({"op": "add", "path": "/permissions/bogus", "value": {}}),
            "\"bogus\" is not one of",
        ),
    ] {
        let operations = json!([{"op": "add", "path": "/data/l", "value": 1}, operation]);
        let refused = patch(&harness, "json-patch+json", "full", operations).await.expect(400);
        let told = refused.json["message"].as_str().unwrap();
        assert!(told.contains(text), "{told}");
    }
    assert_eq!(harness.alice.get(RECORD).await.json, before);
    let bumped = patch(&harness, "json-patch+json", "full", json!([])).await.expect(200);
    assert_ne!(bumped.json["data"]["last_modified"], before["data"]["last_modified"]);
}

#[tokio::test]
async fn a_copy_bomb_is_refused_quickly() {
    let harness = with_record().await;
    let mut bomb = vec![json!({"op": "add", "path": "/data/b", "value": ["x".repeat(1_000)]})];
    bomb.extend(vec![json!({"op": "copy", "from": "/data/b", "path": "/data/b/-"}); 1_000]);

    let refused = patch(&harness, "json-patch+json", "full", Value::from(bomb)).await.expect(400);

    assert!(refused.json["message"].as_str().unwrap().contains("too large"));
}

#[tokio::test]
async fn t23_null_is_kept_by_a_plain_patch_and_removes_by_a_merge_patch() {
    let harness = with_record().await;
    let body = json!({"data": {"n": null, "o": {"x": {"z": 2}}}, "permissions": {"read": null}});

    let plain = patch(&harness, "json", "full", body.clone()).await.expect(200);
    assert_eq!(plain.json["data"]["n"], Value::Null);
    assert_eq!(plain.json["data"]["o"], json!({"x": {"z": 2}}));
    assert_eq!(plain.json["permissions"]["read"], json!(["bob"]));
    let merged = patch(&harness, "merge-patch+json", "full", body).await.expect(200);
    assert_eq!(merged.json["data"].get("n"), None);
    assert_eq!(merged.json["data"].get("nul"), Some(&Value::Null));
    assert_eq!(merged.json["permissions"].get("read"), None);
}

/// The rights of every kind of object after `body`, sent by somebody who may write it because he may
/// write the bucket.
async fn rights_after_inherited(kind: &str, body: &Value) -> Vec<Value> {
    let harness = Harness::with_collection().await;
    let (group, collection) = ("/buckets/b/groups/g", "/buckets/b/collections/c");
    let readers = json!({"permissions": {"read": ["carol"]}});
    harness.alice.send("PUT", group, json!({"data": {"members": []}})).await.expect(201);
    harness.alice.send("PUT", RECORD, json!({})).await.expect(201);
    let body_of_bucket = json!({"permissions": {"write": [user_id(&harness.bob).await]}});
    harness.alice.send("PATCH", "/buckets/b", body_of_bucket).await.expect(200);
    let kind = format!("application/{kind}");
    let mut rights = Vec::new();
    for path in [group, collection, RECORD] {
        harness.alice.send("PATCH", path, readers.clone()).await.expect(200);
        let headers = [("content-type", kind.as_str())];
        let patched = harness.bob.raw("PATCH", path, &headers, body.to_string()).await.expect(200);
        assert_eq!(harness.bob.get(path).await.json, patched.json);
        rights.push(patched.json["permissions"].clone());
    }
    rights
}

#[tokio::test]
async fn who_writes_by_inheritance_replaces_by_a_json_patch_what_he_does_not_see() {
    let add = json!([{"op": "add", "path": "/permissions/read/zoe"}]);
    let test = json!([{"op": "test", "path": "/data/id", "value": "x"}]);

    for (body, readers) in [(json!([]), 0), (add, 1)] {
        for rights in rights_after_inherited("json-patch+json", &body).await {
            assert_eq!(rights["write"].as_array().unwrap().len(), 1, "{body} {rights}");
            let read = rights.get("read").and_then(Value::as_array).map_or(0, Vec::len);
            assert_eq!(read, readers, "{body} {rights}");
        }
    }
    let harness = with_record().await;
    let refused = patch(&harness, "json-patch+json", "full", test).await;
    refused.expect(400);
    assert_eq!(harness.alice.get(RECORD).await.json["permissions"]["read"], json!(["bob"]));
}

#[tokio::test]
async fn who_writes_by_inheritance_keeps_the_rights_by_a_merge_patch_that_names_none() {
    let (data, null) = (json!({"data": {}}), json!({"permissions": {"write": null}}));
    let given = json!({"permissions": {"read": ["zoe"]}});

    for (body, readers, writers) in [(data, "carol", 2), (null, "carol", 2), (given, "zoe", 1)] {
        for rights in rights_after_inherited("merge-patch+json", &body).await {
            assert_eq!(rights["read"], json!([readers]), "{body}");
            assert_eq!(rights["write"].as_array().unwrap().len(), writers, "{body} {rights}");
        }
    }
}

#[tokio::test]
async fn t105_the_client_chooses_what_comes_back() {
    let harness = with_record().await;
    let change = |n: i32| json!({"data": {"n": n, "nul": null, "last_modified": 5}});

    let light = patch(&harness, "json", "light", change(2)).await.expect(200);
    let current = light.json["data"]["last_modified"].clone();
    assert_eq!(light.json, json!({"data": {"n": 2, "last_modified": current}}));
    assert_eq!(light.header("etag"), format!("\"{current}\""));
    let diff = patch(&harness, "json", "diff", change(3)).await.expect(200);
    assert_eq!(diff.json["data"].as_object().unwrap().len(), 1);
    let refused = patch(&harness, "json", "LIGHT", change(4)).await.expect(400);
    let told = "Response-Behavior in header: \"LIGHT\" is not one of full, light, diff";
    assert_eq!(refused.json["message"], told);
    assert_eq!(harness.alice.get(RECORD).await.json["data"]["n"], 3);
}

#[tokio::test]
async fn a_review_can_be_asked_for_by_json_patch() {
    let harness = Harness::with_source().await;
    let kind = [("content-type", "application/json-patch+json")];
    let body = json!([{"op": "replace", "path": "/data/status", "value": "to-review"}]).to_string();

    let reply = harness.alice.raw("PATCH", SOURCE, &kind, body).await.expect(200);

    assert_eq!(reply.json["data"]["status"], "to-review");
    assert_eq!(harness.status().await, "to-review");
}
