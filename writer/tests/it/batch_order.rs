//! Whatever a batch asks for is done in its turn and in its transaction (`kinto-http-api.md` §6.3-6.4).

use serde_json::{Value, json};
use shared::testing::{TestClient, TestReply};

use crate::{
    accounts::start,
    harness::{Harness, user_id},
    log::Log,
};

/// The user alice of the harness.
const ALICE: &str = "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7";

fn request(method: &str, path: &str) -> Value {
    json!({"method": method, "path": path})
}

fn by(user: &str, method: &str, path: &str, body: &Value) -> Value {
    json!({"method": method, "path": path, "body": body, "headers": {"Authorization": user}})
}

fn basic(name: &str, password: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn statuses(reply: &TestReply) -> Vec<u64> {
    let responses = reply.json["responses"].as_array().unwrap();
    responses.iter().map(|response| response["status"].as_u64().unwrap()).collect()
}

async fn batch(client: &TestClient, requests: &[Value]) -> TestReply {
    client.send("POST", "/batch", json!({"requests": requests})).await
}

async fn extras() -> Harness {
    let includes = "kinto.plugins.flush kinto.plugins.counters kinto.plugins.quotas \
                    kinto.plugins.history";
    let settings = [
        ("includes", includes),
        ("user-data_delete_principals", ALICE),
        ("quotas.bucket_max_items", "2"),
        ("experimental_permissions_endpoint", "true"),
    ];
    Harness::with(&settings).await
}

#[tokio::test]
async fn what_a_user_owns_is_erased_in_its_turn() {
    let harness = extras().await;
    let erase = format!("/__user_data__/{}", user_id(&harness.bob).await);
    let alice = harness.alice.authorization().unwrap();
    let requests = [
        request("PUT", "/buckets/e1"),
        request("PUT", "/buckets/e1/collections/c"),
        request("PUT", "/buckets/e1/collections/c/records/r"),
        by(alice, "DELETE", &erase, &json!({})),
        request("GET", "/buckets/e1"),
        request("PUT", "/buckets/e1"),
    ];

    let reply = batch(&harness.bob, &requests).await.expect(200);

    assert_eq!(statuses(&reply), [201, 201, 201, 200, 403, 201]);
    let made = harness.bob.get("/buckets/e1/collections").await.expect(200);
    assert_eq!(made.json["data"], json!([]), "what was made after it stays");
    let refused = batch(&harness.bob, &[request("DELETE", &erase)]).await.expect(200);
    assert_eq!(statuses(&refused), [403]);
    harness.bob.get("/buckets/e1").await.expect(200);
    harness.check_live_counts().await;
}

#[tokio::test]
async fn what_a_user_owns_is_not_erased_by_a_batch_that_fails() {
    let harness = extras().await;
    harness.bob.put("/buckets/vic", json!({})).await.expect(201);
    harness.alice.put("/buckets/o", json!({})).await.expect(201);
    harness.alice.put("/buckets/o/collections/c", json!({})).await.expect(201);
    let erase = format!("/__user_data__/{}", user_id(&harness.bob).await);
    let put = |id: &str| request("PUT", &format!("/buckets/o/collections/c/records/{id}"));

    let requests = [put("1"), put("2"), put("3"), request("DELETE", &erase)];
    batch(&harness.alice, &requests).await.expect(507);

    harness.bob.get("/buckets/vic").await.expect(200);
    harness.alice.get("/buckets/o/collections/c/records/1").await.expect(404);
}

#[tokio::test]
async fn a_flush_comes_in_its_turn() {
    let harness = extras().await;
    harness.alice.put("/buckets/old", json!({})).await.expect(201);
    let requests = [
        request("PUT", "/buckets/e2"),
        request("POST", "/__flush__"),
        request("GET", "/buckets/e2"),
        request("PUT", "/buckets/new"),
        request("GET", "/__counters__"),
    ];

    let reply = batch(&harness.bob, &requests).await.expect(200);

    assert_eq!(statuses(&reply), [201, 202, 403, 201, 200]);
    assert_eq!(reply.json["responses"][4]["body"]["objects"]["bucket"], 1, "{}", reply.json);
    let history = harness.bob.get("/buckets/new/history").await.expect(200);
    assert_eq!(history.json["data"].as_array().unwrap().len(), 1);
    harness.alice.get("/buckets/old").await.expect(403);
    harness.bob.get("/buckets/e2").await.expect(403);
    harness.bob.put("/buckets/e2", json!({})).await.expect(201);
    harness.check_live_counts().await;
}

/// A run of the transaction that is rolled back has erased nothing.
#[tokio::test]
async fn a_flush_is_logged_once_it_is_committed() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone());
    // The test's runtime has one thread, this one: all that the writer does is logged here.
    let guard = tracing::subscriber::set_default(subscriber.finish());
    let told = || log.text().matches("everything was erased").count();
    let harness = extras().await;
    let flush = request("POST", "/__flush__");
    let put = |path: &str| request("PUT", &format!("/buckets/o{path}"));

    let mut too_many = vec![flush.clone(), put(""), put("/collections/c")];
    too_many.extend(["1", "2", "3"].map(|id| put(&format!("/collections/c/records/{id}"))));
    batch(&harness.bob, &too_many).await.expect(507);
    assert_eq!(told(), 0, "nothing was");
    let strict = [("includes", "kinto.plugins.flush"), ("cors_origins", "https://here.example")];
    let strict = harness.again(&strict).await;
    let elsewhere = json!({"origin": "https://elsewhere.example"});
    let refused = json!({"method": "POST", "path": "/__flush__", "headers": elsewhere});
    let reply = batch(&strict, &[refused]).await.expect(200);
    assert_eq!((statuses(&reply), told()), (vec![400], 0), "refused: {}", reply.json);
    // The lists of what is new are found missing, and the transaction runs again.
    batch(&harness.bob, &[put(""), flush, put("")]).await.expect(200);
    assert_eq!(told(), 1);
    harness.anonymous.send("POST", "/__flush__", json!({})).await.expect(202);
    assert_eq!(told(), 2);
    drop(guard);
}

#[tokio::test]
async fn rights_are_listed_as_they_are_in_their_turn() {
    let harness = extras().await;
    let requests = [
        request("GET", "/permissions?_fields=uri"),
        request("PUT", "/buckets/e3"),
        request("GET", "/permissions?_fields=uri"),
        request("HEAD", "/permissions"),
    ];

    let reply = batch(&harness.bob, &requests).await.expect(200);

    let shown = |index: usize| reply.json["responses"][index]["body"]["data"].to_string();
    assert!(!shown(0).contains("/buckets/e3"));
    assert!(shown(2).contains("/buckets/e3"), "{}", reply.json);
    assert_eq!(
        reply.json["responses"][0]["body"]["data"].as_array().unwrap().len() + 1,
        reply.json["responses"][2]["body"]["data"].as_array().unwrap().len()
    );
}

#[tokio::test]
async fn who_is_made_in_a_batch_signs_in_there() {
    let default = [("includes", "kinto.plugins.accounts kinto.plugins.default_bucket")];
    let (harness, _) = start(&default).await;
    let (zed, wrong) = (basic("zed", "zed"), basic("zed", "other"));
    let password = json!({"data": {"password": "zed"}});
    let requests = [
        json!({"method": "PUT", "path": "/accounts/zed", "body": password}),
        by(&zed, "GET", "/", &json!({})),
        by(&zed, "PUT", "/buckets/default/collections/x", &json!({})),
        by(&zed, "PATCH", "/accounts/zed", &json!({"data": {"password": "n3w"}})),
        by(&basic("zed", "n3w"), "GET", "/accounts/zed", &json!({})),
        by(&wrong, "GET", "/accounts/zed", &json!({})),
    ];

    let reply = batch(&harness.anonymous, &requests).await.expect(200);

    assert_eq!(statuses(&reply)[..5], [201, 200, 201, 200, 200], "{}", reply.json);
    assert_ne!(statuses(&reply)[5], 200);
    assert_eq!(reply.json["responses"][1]["body"]["user"]["id"], "account:zed");
    let zed = harness.anonymous.with_password("zed", "n3w");
    zed.get("/buckets/default/collections/x").await.expect(200);
}

#[tokio::test]
async fn a_changed_password_counts_in_the_same_batch() {
    let (harness, [alice, ..]) = start(&[("multiauth.policies", "account")]).await;
    let new = basic("alice", "n3w");
    let requests = [
        by(&new, "GET", "/accounts/alice", &json!({})),
        request("GET", "/accounts/alice"),
        json!({"method": "PATCH", "path": "/accounts/alice", "body": {"data": {"password": "n3w"}}}),
        by(&new, "GET", "/accounts/alice", &json!({})),
        request("GET", "/accounts/alice"),
    ];

    let reply = batch(&alice, &requests).await.expect(200);

    assert_eq!(statuses(&reply), [401, 200, 200, 200, 200], "who was known stays known");
    alice.get("/accounts/alice").await.expect(401);
    // A refused change lets nobody in.
    let requests = [
        json!({"method": "PATCH", "path": "/accounts/bob", "body": {"data": {"password": "x"}}}),
        by(&basic("bob", "x"), "GET", "/accounts/bob", &json!({})),
    ];
    let reply = batch(&harness.anonymous, &requests).await.expect(200);
    assert_eq!(statuses(&reply), [401, 401]);
}

#[tokio::test]
async fn who_signs_in_often_takes_one_run_more() {
    let includes = "kinto.plugins.accounts kinto.plugins.prometheus";
    let settings = [("includes", includes), ("batch_max_requests", "100")];
    let (harness, _) = start(&settings).await;
    let runs = async || {
        let metrics = harness.anonymous.raw("GET", "/__metrics__", &[], "").await.expect(200);
        let text = String::from_utf8_lossy(&metrics.bytes).into_owned();
        let name = "backend_storage_seconds_count{method=\"transaction\"} ";
        let (_, count) = text.split_once(name).unwrap();
        count.lines().next().unwrap().parse::<u64>().unwrap()
    };
    let zed = basic("zed", "zed");
    let password = json!({"data": {"password": "zed"}});
    let mut requests = vec![
        json!({"method": "PUT", "path": "/accounts/zed", "body": password}),
        by(&zed, "PUT", "/buckets/zed", &json!({})),
        by(&zed, "PUT", "/buckets/zed/collections/c", &json!({})),
    ];
    requests.extend((0..50).map(|number| {
        let path = format!("/buckets/zed/collections/c/records/{number}");
        by(&zed, "PUT", &path, &json!({"data": {"n": number}}))
    }));
    let before = runs().await;

    let reply = batch(&harness.anonymous, &requests).await.expect(200);

    assert_eq!(statuses(&reply), vec![201; 53], "{}", reply.json);
    let runs = runs().await - before;
    assert!(runs <= 6, "{runs} runs: rows of lists, and a password, were missing first");
}

/// `account_free_failures` wrong passwords, and no fewer, where the batch that sends them would have
/// changed the right one.
#[tokio::test]
async fn a_wrong_password_in_a_batch_is_one_attempt() {
    let (harness, _) =
        start(&[("account_free_failures", "5"), ("multiauth.policies", "account")]).await;
    let change = json!({"data": {"password": "x"}});
    for guess in ["1", "2", "3", "4"] {
        let requests = [
            json!({"method": "PUT", "path": "/accounts/alice", "body": change}),
            by(&basic("alice", guess), "GET", "/accounts/alice", &json!({})),
        ];
        let reply = batch(&harness.anonymous, &requests).await.expect(200);
        assert_eq!(statuses(&reply), [401, 401]);
    }

    let alice = harness.anonymous.with_password("alice", "s3cret");
    alice.get("/accounts/alice").await.expect(200);
}

#[tokio::test]
async fn users_stay_in_the_groups_that_they_were_in_before_the_batch() {
    let harness = Harness::start().await;
    let bob = user_id(&harness.bob).await;
    let path = "/buckets/g/collections/c";
    let asks = by(harness.bob.authorization().unwrap(), "GET", path, &json!({}));
    let member = json!({"data": {"members": [bob]}});
    let nobody = json!({"data": {"members": []}});
    let group =
        |body: &Value| json!({"method": "PUT", "path": "/buckets/g/groups/h", "body": body});
    let share = json!({"permissions": {"read": ["/buckets/g/groups/h"]}});
    let requests = [
        request("PUT", "/buckets/g"),
        group(&member),
        json!({"method": "PUT", "path": path, "body": share}),
        asks.clone(),
        by(harness.bob.authorization().unwrap(), "GET", "/", &json!({})),
    ];

    let reply = batch(&harness.alice, &requests).await.expect(200);
    assert_eq!(statuses(&reply), [201, 201, 201, 403, 200]);
    let principals = reply.json["responses"][4]["body"]["user"]["principals"].to_string();
    assert!(!principals.contains("/groups/h"), "{principals}");
    harness.bob.get(path).await.expect(200);
    let reply = batch(&harness.alice, &[group(&nobody), asks]).await.expect(200);
    assert_eq!(statuses(&reply), [200, 200]);
    harness.bob.get(path).await.expect(403);
}

#[tokio::test]
async fn a_list_that_is_made_again_does_not_go_back_in_time() {
    let harness = extras().await;
    let (bucket, collection) = ("/buckets/again", "/buckets/again/collections/c");
    for path in [bucket, collection] {
        harness.bob.put(path, json!({})).await.expect(201);
    }
    let records = format!("{collection}/records");
    let future = shared::model::Timestamp::now().plus_millis(30_000).as_millis();
    let record = json!({"data": {"last_modified": future}});
    harness.bob.put(&format!("{records}/r"), record).await.expect(201);
    let before = etag(&harness.bob.get(&records).await.expect(200));

    harness.bob.send("DELETE", bucket, json!({})).await.expect(200);
    for path in [bucket, collection] {
        harness.bob.put(path, json!({})).await.expect(201);
    }

    let after = etag(&harness.bob.get(&records).await.expect(200));
    assert!(after > before, "{before}, then {after}: who polls would not notice");
}

fn etag(reply: &TestReply) -> i64 {
    reply.header("etag").trim_matches('"').parse().unwrap()
}

#[tokio::test]
async fn a_bucket_that_was_just_made_goes_with_the_others() {
    let harness = extras().await;
    harness.alice.put("/buckets/o", json!({})).await.expect(201);
    let requests = [request("POST", "/buckets"), request("DELETE", "/buckets")];

    let reply = batch(&harness.alice, &requests).await.expect(200);

    assert_eq!(statuses(&reply), [201, 200]);
    assert_eq!(harness.alice.get("/buckets").await.json["data"], json!([]));
    harness.check_live_counts().await;
}

#[tokio::test]
async fn whose_collection_has_gone_is_erased() {
    let harness = extras().await;
    harness.alice.put("/buckets/o", json!({})).await.expect(201);
    harness.alice.put("/buckets/o/collections/c", json!({})).await.expect(201);
    let erase = format!("/__user_data__/{ALICE}");
    let requests = [request("DELETE", "/buckets/o/collections/c"), request("DELETE", &erase)];

    let reply = batch(&harness.alice, &requests).await.expect(200);

    assert_eq!(statuses(&reply), [200, 200]);
    harness.alice.get("/buckets/o").await.expect(403);
}

#[tokio::test]
async fn what_is_deleted_and_made_again_has_its_rights() {
    let harness = Harness::with(&[("includes", "kinto.plugins.default_bucket")]).await;
    let alice = &harness.alice;
    let everybody = json!({"permissions": {"read": ["system.Everyone"]}});
    let collection = "/buckets/b/collections/c";
    let shared = json!({"method": "PUT", "path": collection, "body": everybody});
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.send("PUT", collection, everybody).await.expect(201);

    for requests in [
        vec![request("DELETE", collection), shared.clone()],
        vec![request("DELETE", "/buckets/b/collections?id=c"), shared.clone()],
        vec![request("DELETE", "/buckets/b"), request("PUT", "/buckets/b"), shared],
    ] {
        batch(alice, &requests).await.expect(200);
        harness.anonymous.get(collection).await.expect(200);
        let acl = alice.get(collection).await.expect(200).json["permissions"].clone();
        assert_eq!(acl, json!({"read": ["system.Everyone"], "write": [ALICE]}));
        harness.alice.patch("/buckets/b", json!({"n": 1})).await.expect(200);
    }
    let record = "/buckets/default/collections/c/records/r";
    alice.put(record, json!({})).await.expect(201);
    let requests = [request("DELETE", "/buckets/default"), request("PUT", record)];
    assert_eq!(statuses(&batch(alice, &requests).await), [200, 201]);
    alice.get("/buckets/default").await.expect(200);
}
