//! JSON schemas of collections and buckets (`kinto-http-api.md` §2.13).

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::harness::Harness;

const BUCKET: &str = "/buckets/b";
const COLLECTION: &str = "/buckets/b/collections/c";
const RECORDS: &str = "/buckets/b/collections/c/records";
const RECORD: &str = "/buckets/b/collections/c/records/r";

async fn with_schema(schema: Value) -> Harness {
    let harness = Harness::with(&[("experimental_collection_schema_validation", "true")]).await;
    harness.alice.put(BUCKET, json!({})).await.expect(201);
    harness.alice.put(COLLECTION, json!({"schema": schema})).await.expect(201);
    harness
}

async fn refused(harness: &Harness, data: Value) -> String {
    let reply = harness.alice.put(RECORD, data).await.expect(400);
    assert_eq!(reply.json["errno"], 107);
    reply.json["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn t99_a_schema_that_is_none_is_refused_even_where_nothing_is_validated() {
    let harness = Harness::with_collection().await;
    let schema = json!({"type": "Washmachine"});

    let reply = harness.alice.put(COLLECTION, json!({"schema": schema})).await.expect(400);
    let text = "type'Washmachine' is not valid under any of the given schemas";
    assert_eq!(reply.json["details"][0]["description"], text);
    assert_eq!(reply.json["details"][0]["name"], "data.schema");
    let reply = harness.alice.patch(BUCKET, json!({"record:schema": schema})).await.expect(400);
    assert_eq!(reply.json["details"][0]["name"], "record:schema");
    let schema = json!({"required": ["a"]});
    harness.alice.put(COLLECTION, json!({"schema": schema})).await.expect(200);
    harness.alice.put(RECORD, json!({})).await.expect(201);
    assert_eq!(harness.anonymous.get("/").await.json["capabilities"].get("schema"), None);
}

#[tokio::test]
async fn t101_a_valid_record_says_by_which_schema() {
    let harness = with_schema(json!({"required": ["a", "schema", "last_modified", "id"]})).await;
    let version = harness.alice.get(COLLECTION).await.json["data"]["last_modified"].clone();

    assert_eq!(refused(&harness, json!({})).await, "'a' is a required property");
    let made = harness.alice.put(RECORD, json!({"a": 1, "schema": 5})).await.expect(201);
    assert_eq!(made.json["data"]["schema"], version);
    let merge = [("content-type", "application/merge-patch+json")];
    let body = json!({"data": {"a": null}}).to_string();
    harness.alice.raw("PATCH", RECORD, &merge, body).await.expect(400);
    harness.alice.patch(RECORD, json!({"b": 1})).await.expect(200);
    let posted = json!({"data": {"id": "r"}});
    harness.alice.send("POST", RECORDS, posted).await.expect(200);
    harness.alice.send("POST", RECORDS, json!({"data": {"id": "s"}})).await.expect(400);
    assert_ne!(harness.anonymous.get("/").await.json["capabilities"]["schema"], Value::Null);
    harness.alice.put(COLLECTION, json!({"schema": {"required": ["z"]}})).await.expect(200);
    assert_eq!(refused(&harness, json!({"a": 1})).await, "'z' is a required property");
}

#[tokio::test]
async fn a_bucket_has_schemas_for_all_that_it_holds() {
    let harness = with_schema(json!({})).await;
    let schemas = json!({
        "record:schema": {"properties": {"b": {"type": "integer"}}},
        "collection:schema": {"required": ["title"]},
        "group:schema": {"properties": {"id": {"pattern": "^x"}}},
    });
    harness.alice.patch(BUCKET, schemas).await.expect(200);

    let told = refused(&harness, json!({"b": "x"})).await;
    assert_eq!(told, "b in body: 'x' is not of type 'integer'");
    harness.alice.put(COLLECTION, json!({})).await.expect(400);
    harness.alice.put(COLLECTION, json!({"title": "t"})).await.expect(200);
    harness.alice.put("/buckets/b/groups/y", json!({})).await.expect(400);
    harness.alice.put("/buckets/b/groups/x", json!({})).await.expect(201);
}

#[tokio::test]
async fn an_id_that_is_generated_is_not_validated() {
    let harness = with_schema(json!({"properties": {"id": {"pattern": "^r"}}})).await;

    let made = harness.alice.send("POST", RECORDS, json!({"data": {}})).await;
    made.expect(201);
    let named = harness.alice.send("POST", RECORDS, json!({"data": {"id": "x"}})).await;
    named.expect(400);
}

#[tokio::test]
async fn the_place_in_a_list_is_a_number() {
    let items = json!({"items": {"type": "integer"}});
    let harness = with_schema(json!({"properties": {"l": items}})).await;

    let reply = harness.alice.put(RECORD, json!({"l": [1, "x"]})).await.expect(400);

    assert_eq!(reply.json["details"][0]["name"], 1);
    assert_eq!(reply.json["message"], "1 in body: 'x' is not of type 'integer'");
}

#[tokio::test]
async fn nothing_is_fetched() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = canary.local_addr().unwrap();
    let schema = json!({"properties": {
        "http": {"$ref": format!("http://{address}/schema.json")},
        "file": {"$ref": "file:///etc/passwd"},
        "here": {"$ref": "#/definitions/nope"},
    }});
    let harness = with_schema(schema).await;

    let told = refused(&harness, json!({"http": 1})).await;
    assert!(told.contains(&format!("Unresolvable: http://{address}/schema.json")), "{told}");
    let told = refused(&harness, json!({"file": 1})).await;
    assert!(told.contains("Unresolvable: file:///etc/passwd"), "{told}");
    assert!(refused(&harness, json!({"here": 1})).await.contains("PointerToNowhere"));
    harness.alice.put(RECORD, json!({"else": 1})).await.expect(201);
    let id = json!({"$id": format!("http://{address}/"), "$ref": "other.json"});
    harness.alice.put(COLLECTION, json!({"schema": id})).await.expect(200);
    harness.alice.put(RECORD, json!({})).await.expect(400);
    let dialect = json!({"$schema": format!("http://{address}/dialect")});
    harness.alice.put(COLLECTION, json!({"schema": dialect})).await.expect(200);
    harness.alice.put(RECORD, json!({})).await.expect(200);

    let called = tokio::time::timeout(Duration::from_millis(200), canary.accept()).await;
    assert!(called.is_err(), "something was fetched");
}

#[tokio::test]
async fn patterns_of_strangers_hold_up_nobody() {
    let harness = with_schema(json!({"properties": {"a": {"pattern": "(a+)+$"}}})).await;
    let subject = format!("{}b", "a".repeat(1 << 20));

    let start = Instant::now();
    harness.alice.put(RECORD, json!({"a": subject})).await.expect(400);

    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Small records whose validation costs as much as the limits allow: each level has two branches
/// that fail, and tells of all that is wrong in both.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn costly_records_are_refused_and_hold_up_nobody() {
    let branch = |name| json!({"properties": {"x": {"$ref": "#/$defs/t"}}, "required": [name]});
    let harness = with_schema(json!({
        "$defs": {"t": {"anyOf": [branch("q"), branch("r")]}},
        "properties": {"a": {"$ref": "#/$defs/t"}},
    }))
    .await;
    let nested = |depth| (0..depth).fold(json!({}), |below, _| json!({"x": below}));
    let text = "{'x': {}} is not valid under any of the given schemas";
    assert_eq!(refused(&harness, json!({"a": nested(1)})).await, text);

    let mut costly = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (alice, data) = (harness.alice.clone(), json!({"a": nested(14 + n % 40)}));
        let path = format!("{RECORDS}/r{n}");
        costly.spawn(async move { alice.put(&path, data).await });
    }
    // More than there are connections, as another user beside them.
    let mut slowest = Duration::ZERO;
    harness.bob.put("/buckets/bob", json!({})).await.expect(201);
    for n in 0..20 {
        let start = Instant::now();
        harness.bob.put("/buckets/bob/collections/c", json!({"n": n})).await;
        harness.bob.get("/buckets/bob/collections/c").await.expect(200);
        slowest = slowest.max(start.elapsed());
    }

    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    for reply in costly.join_all().await {
        let refused = reply.expect(400);
        let text = refused.json["message"].to_string();
        assert!(text.contains("to tell why takes too much memory"), "{text}");
        assert!(text.contains("schema in body"), "{text}");
    }
    // In one batch, each is judged once.
    let requests: Vec<Value> = (14..20)
        .map(|depth| json!({"path": RECORD, "body": {"data": {"a": nested(depth)}}}))
        .collect();
    let batch = json!({"defaults": {"method": "PUT"}, "requests": requests});
    let replies = harness.alice.send("POST", "/batch", batch).await.expect(200).json;
    let replies = replies["responses"].as_array().unwrap();
    assert!(replies.iter().all(|reply| reply["status"] == 400), "{replies:?}");
}
