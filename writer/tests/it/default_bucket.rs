//! A bucket of each user's own (`kinto-http-api.md` §7.1).

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::{Harness, ids, user_id};

const DEFAULT: &str = "/buckets/default";

async fn harness() -> Harness {
    Harness::with(&[("includes", "kinto.plugins.default_bucket")]).await
}

/// The id of a client's own bucket, which asking does not make.
async fn own_bucket(client: &shared::testing::TestClient) -> String {
    client.get("/").await.json["user"]["bucket"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_hello_view_tells_the_bucket_s_id_and_makes_nothing() {
    let harness = harness().await;

    let bucket = own_bucket(&harness.alice).await;

    let hello = harness.alice.get("/").await.json;
    assert!(hello["capabilities"]["default_bucket"]["description"].is_string());
    assert_ne!(bucket, own_bucket(&harness.bob).await);
    assert!(harness.anonymous.get("/").await.json["user"].is_null());
    assert!(ids(&harness.alice.get("/buckets").await.expect(200).json).is_empty());
}

#[tokio::test]
async fn whatever_is_asked_for_is_there() {
    let harness = harness().await;
    let (alice, id) = (&harness.alice, user_id(&harness.alice).await);
    let bucket = own_bucket(alice).await;

    let records = alice.get(&format!("{DEFAULT}/collections/new/records")).await.expect(200);
    assert_eq!(records.json, json!({"data": []}));
    for path in [format!("/buckets/{bucket}"), format!("/buckets/{bucket}/collections/new")] {
        let made = alice.get(&path).await.expect(200).json;
        assert_eq!(made["permissions"], json!({"write": [id]}), "{path}");
    }
    // Also by requests that end in an error.
    alice.get(&format!("{DEFAULT}/collections/lost/records/x")).await.expect(404);
    alice.get(&format!("/buckets/{bucket}/collections/lost")).await.expect(200);
    alice.get(&format!("{DEFAULT}/collections")).await.expect(200);
    let put = alice.put(&format!("{DEFAULT}/collections/notes/records/r"), json!({"n": 1})).await;
    assert_eq!(put.expect(201).json["data"]["id"], "r");
    let read = alice.get(&format!("/buckets/{bucket}/collections/notes/records/r")).await;
    assert_eq!(read.expect(200).json["data"]["n"], 1);
    harness.bob.get(&format!("/buckets/{bucket}")).await.expect(403);
}

#[tokio::test]
async fn schemas_do_not_hold_up_what_is_taken_for_granted() {
    let settings = [
        ("includes", "kinto.plugins.default_bucket"),
        ("experimental_collection_schema_validation", "true"),
    ];
    let harness = Harness::with(&settings).await;
    let schema = json!({"collection:schema": {"required": ["title"]}});
    harness.alice.put(DEFAULT, schema).await.expect(201);

    harness.alice.put(&format!("{DEFAULT}/collections/c"), json!({})).await.expect(400);
    harness.alice.put(&format!("{DEFAULT}/collections/c/records/r"), json!({})).await.expect(201);
}

#[tokio::test]
async fn a_body_that_is_empty_is_an_object_without_members() {
    let harness = harness().await;
    let group = format!("{DEFAULT}/groups/g");

    let made = harness.alice.raw("PUT", &group, &[], "").await.expect(201).json;
    assert_eq!(made["data"]["members"], json!([]));
    harness.alice.put(&group, json!({"n": 1})).await.expect(200);
    let emptied = harness.alice.raw("PUT", &group, &[], "").await.expect(200).json;
    assert_eq!(emptied["data"]["n"], Value::Null);
}

#[tokio::test]
async fn what_is_put_is_made_by_the_put() {
    let harness = harness().await;
    let alice = &harness.alice;
    let bucket = own_bucket(alice).await;
    let new = [("if-none-match", "*")];

    let made = alice.raw("PUT", DEFAULT, &new, "").await.expect(201);
    assert_eq!(made.json["data"]["id"], bucket);
    alice.raw("PUT", DEFAULT, &new, "").await.expect(412);
    alice.put(DEFAULT, json!({"id": "default", "a": 1})).await.expect(200);
    alice.put(DEFAULT, json!({"id": bucket})).await.expect(200);
    let collection = format!("{DEFAULT}/collections/c");
    alice.put(&collection, json!({})).await.expect(201);
    alice.put(&collection, json!({})).await.expect(200);
    // A record's id may contain the word.
    let record = format!("{collection}/records/default-1");
    alice.put(&record, json!({"id": "default-1"})).await.expect(201);
}

#[tokio::test]
async fn only_a_user_has_one() {
    let harness = harness().await;
    let (anonymous, alice) = (&harness.anonymous, &harness.alice);

    assert_eq!(anonymous.get(DEFAULT).await.expect(401).json["errno"], 104);
    anonymous.put(&format!("{DEFAULT}/collections/c"), json!({})).await.expect(401);
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    anonymous.raw("OPTIONS", DEFAULT, &preflight, "").await.expect(200);
    // The alias is this one segment, in this place.
    alice.get("/buckets/default-1").await.expect(403);
    alice.send("POST", "/buckets", json!({"data": {"id": "default"}})).await.expect(201);
    assert_eq!(alice.get(DEFAULT).await.expect(200).json["data"]["id"], own_bucket(alice).await);
    let slash = alice.get("/buckets/default/").await.expect(307);
    assert!(slash.header("location").ends_with("/v1/buckets/default"));
    alice.send("POST", DEFAULT, json!({})).await.expect(405);
}

#[tokio::test]
async fn a_collection_s_id_is_checked_before_it_is_made() {
    let harness = harness().await;
    let alice = &harness.alice;

    for path in ["collections/_x", "collections/_x/records", "collections/_x/records/r"] {
        let refused = alice.get(&format!("{DEFAULT}/{path}")).await.expect(400);
        assert_eq!(refused.json["message"], "path: Invalid collection id", "{path}");
    }
    let put = alice.put(&format!("{DEFAULT}/collections/_x"), json!({})).await.expect(400);
    assert_eq!(put.json["message"], "path: Invalid object id");
}

#[tokio::test]
async fn deleted_it_comes_back_empty() {
    let harness = harness().await;
    let alice = &harness.alice;
    let record = format!("{DEFAULT}/collections/c/records/r");
    alice.put(&record, json!({})).await.expect(201);

    let deleted = alice.delete(DEFAULT).await.expect(200).json;
    assert_eq!(deleted["data"]["id"], own_bucket(alice).await);
    assert_eq!(deleted["data"]["deleted"], true);

    alice.get(&record).await.expect(404);
    let collections = alice.get(&format!("{DEFAULT}/collections")).await.expect(200);
    assert_eq!(ids(&collections.json), ["c"], "asking for the record made it");
}

#[tokio::test]
async fn a_batch_makes_it_once_and_shows_the_paths_that_were_asked_for() {
    let harness = harness().await;
    let requests: Vec<Value> = (0..3)
        .map(|n| json!({"method": "PUT", "path": format!("{DEFAULT}/collections/c/records/r{n}")}))
        .chain([json!({"path": "/buckets/default"}), json!({"path": "/buckets/default/groups/g"})])
        .collect();

    let reply = harness.alice.send("POST", "/batch", json!({"requests": requests})).await;

    let responses = reply.expect(200).json["responses"].clone();
    let statuses: Vec<_> = responses.as_array().unwrap().iter().map(|r| &r["status"]).collect();
    assert_eq!(statuses, [201, 201, 201, 200, 404]);
    assert_eq!(responses[0]["path"], "/v1/buckets/default/collections/c/records/r0");
    assert_eq!(responses[3]["body"]["data"]["id"], own_bucket(&harness.alice).await);
    let anonymous = json!({"requests": [{"path": "/buckets/default"}]});
    let reply = harness.anonymous.send("POST", "/batch", anonymous).await.expect(200);
    assert_eq!(reply.json["responses"][0]["status"], 401);
}

#[tokio::test]
async fn many_first_requests_make_one_bucket() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.default_bucket kinto.plugins.history"),
        ("storage_connect_timeout_ms", "60000"),
    ])
    .await;
    let alice = &harness.alice;
    let ask = |n: usize| async move {
        let path = format!("{DEFAULT}/collections/c/records");
        match n % 4 {
            0 => alice.get(&path).await.expect(200),
            1 => alice.put(&format!("{path}/r{n}"), json!({})).await.expect(201),
            2 => alice.get(DEFAULT).await.expect(200),
            _ => alice.delete(&format!("{path}/r{n}")).await.expect(404),
        }
    };

    join_all((0..64).map(ask)).await;

    let bucket = own_bucket(alice).await;
    let records = alice.get(&format!("{DEFAULT}/collections/c/records")).await.expect(200);
    assert_eq!(ids(&records.json).len(), 16);
    // Each was made by one of the requests, and counted once.
    let client = harness.database.pool("countersign_writer").get().await.unwrap();
    for (table, count) in [("bucket", 1_i64), ("collection", 1)] {
        let text = format!("select count(*) from {table} where bucket_id = $1");
        let row = client.query_one(&text, &[&bucket]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), count, "{table}");
    }
    let live = "select live from resource_timestamp where resource_name = 'bucket'";
    assert_eq!(client.query_one(live, &[]).await.unwrap().get::<_, i64>(0), 1);
    let history = format!("/buckets/{bucket}/history?action=create&resource_name=");
    for (resource, count) in [("bucket", 1), ("collection", 1), ("record", 16)] {
        let told = alice.get(&format!("{history}{resource}")).await.expect(200);
        assert_eq!(ids(&told.json).len(), count, "{resource}");
    }
}

/// What a batch takes for granted is counted and told as what it asks for.
#[tokio::test]
async fn quotas_and_history_know_what_a_batch_makes() {
    let plugins = "kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.quotas";
    let harness =
        Harness::with(&[("includes", plugins), ("quotas.collection_max_items", "2")]).await;
    let alice = &harness.alice;
    let batch = |count: usize| {
        let path = |n: usize| format!("{DEFAULT}/collections/c/records/r{n}");
        let one = |n: usize| json!({"method": "PUT", "path": path(n), "body": {"data": {}}});
        json!({"requests": (0..count).map(one).collect::<Vec<_>>()})
    };
    let bucket = format!("/buckets/{}", own_bucket(alice).await);

    alice.send("POST", "/batch", batch(3)).await.expect(507);
    alice.get(&bucket).await.expect(403);

    alice.send("POST", "/batch", batch(2)).await.expect(200);
    let told = alice.get(&format!("{bucket}/history?_sort=last_modified")).await.expect(200).json;
    let uris: Vec<&str> = told["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["uri"].as_str().unwrap())
        .collect();
    let collection = format!("{bucket}/collections/c");
    let records = ["r0", "r1"].map(|id| format!("{collection}/records/{id}"));
    assert_eq!(uris, [&bucket, &collection, &records[0], &records[1]]);
    let usage = alice.get(&format!("{bucket}/quota")).await.expect(200).json;
    assert_eq!(usage["data"]["record_count"], 2);
    assert_eq!(usage["data"]["collection_count"], 1);
}

#[tokio::test]
async fn without_the_plug_in_it_is_a_bucket_like_others() {
    let harness = Harness::start().await;

    harness.alice.get(DEFAULT).await.expect(403);
    let made = harness.alice.put(DEFAULT, json!({})).await.expect(201);
    assert_eq!(made.json["data"]["id"], "default");
    assert!(harness.alice.get("/").await.json["user"]["bucket"].is_null());
}
