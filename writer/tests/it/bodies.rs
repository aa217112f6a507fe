//! What a body may be, and in which order it is judged (`kinto-http-api.md` §0.4, §1.12, §2.6).

use serde_json::json;

use crate::harness::Harness;

const COLLECTION: &str = "/buckets/b/collections/c";
const RECORDS: &str = "/buckets/b/collections/c/records";
const RECORD: &str = "/buckets/b/collections/c/records/r";
const JSON: (&str, &str) = ("content-type", "application/json");

#[tokio::test]
async fn t60_what_cannot_be_read_or_written_is_told_before_who_asks() {
    let harness = Harness::with_collection().await;
    let (text, html) = (("content-type", "text/plain"), ("accept", "text/html"));
    let anonymous = &harness.anonymous;

    let reply = anonymous.raw("PUT", RECORD, &[text], "{}").await.expect(415);
    let told = "Content-Type header should be one of ['application/json']";
    assert_eq!(reply.json["message"], told);
    let reply = anonymous.raw("PUT", RECORD, &[text, html], "{}").await.expect(406);
    let told = "Accept header should be one of ['application/json']";
    assert_eq!(reply.json["message"], told);
    assert_eq!(reply.json["details"][0]["location"], "header");
    anonymous.raw("GET", RECORDS, &[html], "").await.expect(406);
    anonymous.raw("PUT", RECORDS, &[html], "").await.expect(405);
    let unknown = "/buckets/b/collections/nope/records/r";
    for header in [text, html] {
        let reply = anonymous.raw("PUT", unknown, &[header], "{}").await.expect(404);
        assert_eq!(reply.json["errno"], 111);
    }
    anonymous.raw("GET", unknown, &[], "").await.expect(401);
    anonymous.raw("PUT", RECORD, &[], "{").await.expect(401);
    anonymous.raw("GET", "/", &[html], "").await.expect(200);
    let batch = json!({"requests": []}).to_string();
    anonymous.raw("POST", "/batch", &[html, JSON], batch).await.expect(200);
}

#[tokio::test]
async fn a_patch_may_have_three_forms() {
    let harness = Harness::with_collection().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);

    let reply = harness.alice.raw("PATCH", RECORD, &[("content-type", "a/b")], "").await;

    let told = reply.expect(415).json["message"].as_str().unwrap().to_owned();
    for kind in ["'application/json'", "merge-patch+json", "json-patch+json"] {
        assert!(told.contains(kind), "{told}");
    }
}

#[tokio::test]
async fn a_body_that_means_nothing_must_still_be_json() {
    let harness = Harness::with_collection().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);

    for (method, path) in [("GET", RECORD), ("GET", RECORDS), ("DELETE", RECORD)] {
        for body in ["{\"a\"", "3"] {
            let reply = harness.alice.raw(method, path, &[], body).await.expect(400);
            assert_eq!(reply.json["details"].as_array().unwrap().len(), 1, "{}", reply.json);
        }
        harness.anonymous.raw(method, path, &[], "{").await.expect(401);
    }
    harness.alice.raw("GET", RECORD, &[("content-type", "text/plain")], "{").await.expect(200);
    harness.alice.raw("DELETE", RECORD, &[], "{\"any\": 1}").await.expect(200);
}

#[tokio::test]
async fn t16_t18_put_keeps_what_is_absent_and_replaces_what_is_there() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let rights = json!({"read": ["x"], "write": ["y"]});
    let body = json!({"data": {"n": 1}, "permissions": rights});
    let first = alice.send("PUT", RECORD, body).await.expect(201);

    let kept = alice.raw("PUT", RECORD, &[], "").await.expect(200);
    assert_eq!(kept.json["data"]["n"], 1);
    assert_ne!(kept.header("etag"), first.header("etag"));
    let kept = alice.send("PUT", RECORD, json!({"permissions": {}})).await.expect(200);
    assert_eq!(kept.json["permissions"]["read"], json!(["x"]));
    let body = json!({"permissions": {"read": ["z"]}});
    let replaced = alice.send("PUT", RECORD, body).await.expect(200);
    assert_eq!(replaced.json["permissions"]["read"], json!(["z"]));
    assert_eq!(replaced.json["permissions"]["write"].as_array().unwrap().len(), 1);
    let body = json!({"permissions": {"read": ["q"]}});
    let patched = alice.send("PATCH", RECORD, body).await.expect(200);
    assert_eq!(patched.json["permissions"]["read"], json!(["q"]));
    assert_eq!(patched.json["data"]["n"], 1);
}

#[tokio::test]
async fn t22_an_empty_patch_is_refused_and_one_of_nothing_is_not() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let created = alice.put(RECORD, json!({"n": 1})).await.expect(201);

    let refused = alice.send("PATCH", RECORD, json!({})).await.expect(400);
    assert_eq!(refused.json["message"], "Provide at least one of data or permissions");
    let missing = format!("{RECORDS}/none");
    alice.send("PATCH", &missing, json!({})).await.expect(404);
    for body in [json!({"data": {}}), json!({"permissions": {}})] {
        let bumped = alice.send("PATCH", RECORD, body).await.expect(200);
        assert_ne!(bumped.header("etag"), created.header("etag"));
    }
}

#[tokio::test]
async fn collections_and_groups_have_members_of_one_form() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;

    let made = alice.put(COLLECTION, json!({"cache_expires": "12"})).await.expect(200);
    assert_eq!(made.json["data"]["cache_expires"], 12);
    let refused = alice.put(COLLECTION, json!({"cache_expires": "x"})).await.expect(400);
    assert_eq!(refused.json["details"][0]["name"], "data.cache_expires");
    let refused = alice.patch(COLLECTION, json!({"cache_expires": "x"})).await.expect(400);
    assert_eq!(refused.json["details"][0]["name"], "cache_expires");
    let group = "/buckets/b/groups/g";
    assert_eq!(
        alice.raw("PUT", group, &[], "").await.expect(201).json["data"].get("members"),
        None
    );
    let patched = alice.patch(group, json!({"x": 1})).await.expect(200);
    assert_eq!(patched.json["data"]["members"], json!([]));
    let refused = alice.patch(group, json!({"members": ["/buckets/x"]})).await.expect(400);
    assert_eq!(refused.json["details"][0]["name"], "members.0");
}

#[tokio::test]
async fn a_header_of_several_lines_is_a_list() {
    let harness = Harness::with(&[]).await;
    let alice = &harness.alice;
    alice.put("/buckets/b", json!({})).await.expect(201);
    let json = ("content-type", "application/json");
    let body = json!({"data": {}}).to_string();

    for (method, headers, status) in [
        ("PUT", vec![json, ("if-match", "\"1\""), ("if-match", "\"2\"")], 400),
        ("GET", vec![("if-none-match", "\"1\""), ("if-none-match", "\"2\"")], 400),
        ("PATCH", vec![json, ("response-behavior", "light"), ("response-behavior", "diff")], 400),
        ("PUT", vec![json, ("content-type", "text/plain")], 415),
    ] {
        alice.raw(method, "/buckets/b", &headers, body.clone()).await.expect(status);
    }
}

#[tokio::test]
async fn a_principal_fits_the_index_that_it_is_looked_up_by() {
    let harness = Harness::with(&[]).await;
    let alice = &harness.alice;
    alice.put("/buckets/b", json!({})).await.expect(201);
    let put = async |principal: &str| {
        let group = json!({"data": {"members": [principal]}, "permissions": {"read": [principal]}});
        alice.send("PUT", "/buckets/b/groups/g", group).await
    };
    // What cannot be compressed: PostgreSQL would.
    let random = |length: usize| -> String {
        let digits = (0..length).map(|_| uuid::Uuid::new_v4().as_bytes()[0] % 64 + b'0');
        digits.map(char::from).collect()
    };

    put(&random(2_048)).await.expect(201);
    let refused = put(&random(2_049)).await.expect(400);

    assert_eq!(refused.json["details"][0]["name"], "data.members.0");
    let group_uri = "/buckets/b/groups/g";
    let patch = json!([{"op": "add", "path": format!("/permissions/write/{}", random(2_049))}]);
    let headers = [("content-type", "application/json-patch+json")];
    alice.raw("PATCH", group_uri, &headers, patch.to_string()).await.expect(400);
}

#[tokio::test]
async fn what_is_accepted_is_asked_where_kinto_asks() {
    let settings =
        [("includes", "kinto.plugins.history"), ("experimental_permissions_endpoint", "true")];
    let harness = Harness::with(&settings).await;
    let alice = &harness.alice;
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    let html = [("accept", "text/html")];

    let snapshot = "/buckets/b/snapshot/collections/c@1";
    for (path, status) in [("/permissions", 406), ("/buckets", 406), (snapshot, 200)] {
        alice.raw("GET", path, &html, "").await.expect(status);
    }
}
