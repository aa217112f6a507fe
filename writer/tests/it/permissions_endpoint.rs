//! `/permissions`: what the user may do, object by object (`kinto-http-api.md` §4.9).

use serde_json::{Value, json};
use shared::testing::TestClient;

use crate::harness::{Harness, user_id};

async fn harness(settings: &[(&str, &str)]) -> Harness {
    let on = ("experimental_permissions_endpoint", "true");
    Harness::with(&[&[on], settings].concat()).await
}

/// Makes an object of alice's on which bob has one right.
async fn share(harness: &Harness, path: &str, right: &str) {
    let body = json!({"permissions": {right: [user_id(&harness.bob).await]}});
    harness.alice.send("PUT", path, body).await.expect(201);
}

async fn entries(client: &TestClient, query: &str) -> Vec<Value> {
    let reply = client.get(&format!("/permissions{query}")).await.expect(200);
    reply.json["data"].as_array().unwrap().clone()
}

fn uris(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["uri"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_right_is_expanded_within_its_object() {
    let harness = harness(&[]).await;
    harness.alice.put("/buckets/x", json!({})).await.expect(201);
    let all_of_bucket = "collection:create group:create read read:attributes write";
    let table = [
        ("/buckets/x/groups/g2", "write", "read write"),
        ("/buckets/x/groups/g1", "read", "read"),
        ("/buckets/x/collections/c3", "write", "read read:attributes record:create write"),
        ("/buckets/x/collections/c2", "record:create", "read:attributes record:create"),
        ("/buckets/x/collections/c1/records/r2", "write", "read write"),
        ("/buckets/x/collections/c1/records/r1", "read", "read"),
        ("/buckets/x/collections/c1", "read", "read read:attributes"),
        ("/buckets/b4", "write", all_of_bucket),
        ("/buckets/b3", "read", "read read:attributes"),
        ("/buckets/b2", "group:create", "group:create read:attributes"),
        ("/buckets/b1", "collection:create", "collection:create read:attributes"),
    ];
    for (path, right, _) in table.iter().rev() {
        share(&harness, path, right).await;
    }

    let got = entries(&harness.bob, "").await;

    let expected: Vec<&str> = table.iter().map(|(path, ..)| *path).chain(["/"]).collect();
    assert_eq!(uris(&got), expected, "by URI, descending");
    for (entry, (_, _, rights)) in got.iter().zip(&table) {
        let rights: Vec<&str> = rights.split(' ').collect();
        assert_eq!(entry["permissions"], json!(rights), "{entry}");
    }
    let record = json!({
        "uri": "/buckets/x/collections/c1/records/r2", "resource_name": "record", "id": "r2",
        "bucket_id": "x", "collection_id": "c1", "record_id": "r2",
        "permissions": ["read", "write"],
    });
    assert_eq!(got[4], record);
    let root = json!({"uri": "/", "resource_name": "root", "permissions": ["bucket:create"]});
    assert_eq!(got[11], root);
}

#[tokio::test]
async fn everybody_may_ask_and_sees_what_everybody_holds() {
    let harness = harness(&[]).await;
    assert!(entries(&harness.anonymous, "").await.is_empty());

    let body = json!({"permissions": {"read": ["system.Everyone"]}});
    harness.alice.send("PUT", "/buckets/public", body).await.expect(201);

    assert_eq!(uris(&entries(&harness.anonymous, "").await), ["/buckets/public"]);
    assert_eq!(uris(&entries(&harness.bob, "").await), ["/buckets/public", "/"]);
    for method in ["POST", "PUT", "DELETE"] {
        harness.alice.raw(method, "/permissions", &[], "").await.expect(405);
    }
    harness.alice.delete("/buckets/public").await.expect(200);
    assert!(entries(&harness.anonymous, "").await.is_empty());
}

#[tokio::test]
async fn groups_and_settings_count() {
    let bob = "basicauth:f029ff2ac40b1c5bf0df525be86cc3bc06d026e7913a423b15591fb1e0c95ae1";
    let harness = harness(&[
        ("bucket_write_principals", "/buckets/staff/groups/all"),
        ("group_read_principals", bob),
        ("record_create_principals", bob),
        ("record_read_principals", bob),
    ])
    .await;
    let alice = &harness.alice;
    alice.put("/buckets/staff", json!({})).await.expect(201);
    alice.put("/buckets/staff/groups/all", json!({"members": [bob]})).await.expect(201);
    alice.put("/buckets/staff/collections/c", json!({})).await.expect(201);
    alice.put("/buckets/staff/collections/c/records/r", json!({})).await.expect(201);
    alice.put("/buckets/staff/collections/gone", json!({})).await.expect(201);
    alice.delete("/buckets/staff/collections/gone").await.expect(200);

    let got = entries(&harness.bob, "").await;

    let shown: Vec<_> = got.iter().map(|entry| (&entry["uri"], &entry["permissions"])).collect();
    let all = json!(["collection:create", "group:create", "read", "read:attributes", "write"]);
    assert_eq!(
        shown,
        [
            (&json!("/buckets/staff/groups/all"), &json!(["read"])),
            (&json!("/buckets/staff/collections/c"), &json!(["read:attributes", "record:create"])),
            (&json!("/buckets/staff"), &all),
            (&json!("/"), &json!(["bucket:create"])),
        ]
    );
}

#[tokio::test]
async fn it_is_a_list_like_others() {
    let harness = harness(&[]).await;
    for n in 0..5 {
        harness.alice.put(&format!("/buckets/b{n}"), json!({})).await.expect(201);
        harness.alice.put(&format!("/buckets/b{n}/collections/c"), json!({})).await.expect(201);
    }
    let alice = &harness.alice;

    let collections = entries(alice, "?resource_name=collection&bucket_id=b3").await;
    assert_eq!(uris(&collections), ["/buckets/b3/collections/c"]);
    let sorted = entries(alice, "?_sort=uri&_limit=2&_since=99").await;
    assert_eq!(uris(&sorted), ["/", "/buckets/b0"]);
    assert_eq!(entries(alice, "?_fields=bucket_id&uri=/buckets/b1").await[0]["bucket_id"], "b1");
    assert_eq!(entries(alice, "?has_id=false").await.len(), 1, "the root has none");
    for (query, message) in [
        ("foo=1", "Unknown filter field 'foo'"),
        ("permissions=1", "Unknown filter field 'permissions'"),
        ("_sort=foo", "querystring: Unknown sort field 'foo'"),
        ("_fields=foo", "Invalid _fields parameter in body: Fields foo do not exist"),
    ] {
        let refused = alice.get(&format!("/permissions?{query}")).await.expect(400);
        assert_eq!(refused.json["message"], message);
    }
    let head = alice.raw("HEAD", "/permissions", &[], "").await.expect(200);
    assert_eq!(head.header("total-objects"), "11");
    let again = [("if-none-match", head.header("etag"))];
    alice.raw("GET", "/permissions", &again, "").await.expect(200);

    let mut page = alice.get("/permissions?_limit=3").await.expect(200);
    let mut found = page.json["data"].as_array().unwrap().clone();
    while !page.header("next-page").is_empty() {
        let (_, next) = page.header("next-page").split_once("/v1").unwrap();
        page = alice.get(next).await.expect(200);
        found.extend(page.json["data"].as_array().unwrap().clone());
    }
    assert_eq!(found, entries(alice, "").await);
}

#[tokio::test]
async fn settings_say_who_may_ask_and_the_admin_plug_in_switches_it_on() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.admin"),
        ("permissions_read_principals", "system.Authenticated"),
    ])
    .await;

    harness.anonymous.get("/permissions").await.expect(401);
    harness.alice.get("/permissions").await.expect(200);
    let capabilities = harness.anonymous.get("/").await.json["capabilities"].clone();
    assert!(capabilities["permissions_endpoint"]["url"].is_string());
}
