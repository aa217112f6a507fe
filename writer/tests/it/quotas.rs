//! How much buckets and collections may hold (`platform-features.md` §5).

use serde_json::{Value, json};
use shared::testing::{TestClient, TestReply};
use writer::{
    app::App,
    config::{Config, DEFAULTS},
    plugins::rebuild::rebuild,
};

use crate::harness::{Harness, SOURCE};

const B: &str = "/buckets/b";
const C: &str = "/buckets/b/collections/c";

async fn start(settings: &[(&str, &str)]) -> Harness {
    let plugin = ("includes", "kinto.plugins.quotas");
    let harness = Harness::with(&[&[plugin], settings].concat()).await;
    harness.alice.put(B, json!({})).await.expect(201);
    harness.alice.put(C, json!({})).await.expect(201);
    harness
}

fn record(id: &str) -> String {
    format!("{C}/records/{id}")
}

async fn usage(client: &TestClient, path: &str) -> Value {
    client.get(&format!("{path}/quota")).await.expect(200).json["data"].clone()
}

/// What PostgreSQL has counted, and what counting anew would give.
async fn counted_and_recounted(harness: &Harness) -> (Vec<String>, Vec<String>) {
    let mut layers = shared::config::Layers::new(DEFAULTS);
    layers.set("storage_url", harness.database.url("countersign_writer"));
    let app = App::new(Config::read(&mut layers).unwrap()).unwrap();
    let rows = |client: tokio_postgres::Client| async move {
        let text = "select parent_id || ' ' || collection_count || ' ' || record_count || ' '
                           || storage_size from quota_usage order by 1";
        let rows = client.query(text, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    let before = rows(harness.database.owner().await).await;
    rebuild(&app, false).await.unwrap();
    (before, rows(harness.database.owner().await).await)
}

fn refusal(reply: TestReply) -> String {
    let body = reply.expect(507).json;
    assert_eq!((&body["errno"], &body["error"]), (&json!(121), &json!("Insufficient Storage")));
    body["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_stored_is_counted() {
    let harness = start(&[("quotas.bucket_max_items", "10")]).await;
    let size = |reply: &TestReply| i64::try_from(reply.json["data"].to_string().len()).unwrap();
    let bucket = harness.alice.get(B).await;
    let collection = harness.alice.get(C).await;
    let r = harness.alice.put(&record("r"), json!({"text": "plain"})).await.expect(201);

    assert_eq!(
        usage(&harness.alice, C).await,
        json!({"storage_size": size(&collection) + size(&r), "record_count": 1, "limits": {}})
    );
    assert_eq!(
        usage(&harness.alice, B).await,
        json!({
            "storage_size": size(&bucket) + size(&collection) + size(&r),
            "record_count": 1,
            "collection_count": 1,
            "limits": {"max_items": 10},
        })
    );
    harness.alice.delete(&record("r")).await.expect(200);
    assert_eq!(usage(&harness.alice, C).await["storage_size"], size(&collection));
    harness.bob.get(&format!("{C}/quota")).await.expect(403);
    harness.alice.get("/buckets/b/collections/none/quota").await.expect(404);
    let hello = harness.alice.get("/").await.json;
    assert!(hello["capabilities"]["quotas"].is_object());
}

#[tokio::test]
async fn what_is_too_much_is_refused_as_a_whole() {
    let harness = start(&[("quotas.collection_max_items", "2")]).await;
    let put = |id: &str| json!({"method": "PUT", "path": record(id), "body": {"data": {}}});
    harness.alice.put(&record("1"), json!({})).await.expect(201);

    let requests = json!({"requests": [put("2"), put("3")]});
    let batch = harness.alice.send("POST", "/batch", requests).await;

    let message = "Collection maximum number of objects exceeded (3 > 2 objects).";
    assert_eq!(refusal(batch), message);
    assert_eq!(usage(&harness.alice, C).await["record_count"], 1);
    harness.alice.put(&record("2"), json!({})).await.expect(201);
    assert_eq!(refusal(harness.alice.put(&record("3"), json!({})).await), message);
    harness.alice.get(&record("3")).await.expect(404);
    harness.alice.put(&record("2"), json!({"more": 1})).await.expect(200);
}

#[tokio::test]
async fn each_limit_has_its_message() {
    for (limit, value, message) in [
        ("bucket_max_bytes_per_item", "100", "Maximum bytes per object exceeded ("),
        ("collection_b_c_max_bytes_per_item", "100", "Maximum bytes per object exceeded ("),
        ("bucket_max_bytes", "200", "Bucket maximum total size exceeded ("),
        ("bucket_b_max_items", "0", "Bucket maximum number of objects exceeded (1 > 0 objects)."),
        ("collection_b_max_bytes", "200", "Collection maximum size exceeded ("),
        ("collection_max_items", "0", "Collection maximum number of objects exceeded (1 > 0 "),
    ] {
        let harness = start(&[(&format!("quotas.{limit}"), value)]).await;

        let reply = harness.alice.put(&record("r"), json!({"text": "x".repeat(150)})).await;

        let told = refusal(reply);
        assert!(told.starts_with(message), "{limit}: {told}");
    }
}

#[tokio::test]
async fn a_limit_that_was_lowered_lets_deletions_through() {
    let harness = start(&[("quotas.collection_max_items", "1")]).await;
    harness.alice.put(&record("1"), json!({})).await.expect(201);
    let owner = harness.database.owner().await;
    owner.execute("update quota_usage set record_count = 5", &[]).await.unwrap();

    harness.alice.put(&record("1"), json!({})).await.expect(507);

    harness.alice.delete(&record("1")).await.expect(200);
    harness.alice.delete(C).await.expect(200);
}

#[tokio::test]
async fn what_is_deleted_is_subtracted_with_all_that_is_below() {
    let harness = start(&[]).await;
    harness.alice.put("/buckets/b/groups/g", json!({"members": []})).await.expect(201);
    for id in ["1", "2"] {
        harness.alice.put(&record(id), json!({"id": id})).await.expect(201);
    }
    let requests = json!({"requests": [
        {"method": "PUT", "path": record("3"), "body": {"data": {"n": 1}}},
        {"method": "DELETE", "path": C},
        {"method": "PUT", "path": C, "body": {"data": {"again": true}}},
        {"method": "PUT", "path": record("4"), "body": {"data": {"é": "𝄞"}}},
    ]});

    harness.alice.send("POST", "/batch", requests).await.expect(200);

    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!(counted, recounted);
    assert_eq!(usage(&harness.alice, B).await["record_count"], 1);
    harness.alice.delete(B).await.expect(200);
    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!((counted.len(), recounted.len()), (0, 0));
}

#[tokio::test]
async fn what_sign_off_publishes_is_counted_and_not_refused() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.quotas"),
        ("quotas.bucket_main_max_items", "0"),
    ])
    .await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let bob = crate::harness::user_id(&harness.bob).await;
    let reviewers = "/buckets/work/groups/c-reviewers";
    harness.alice.patch(reviewers, json!({"members": [bob]})).await.expect(200);
    for id in ["1", "2"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    harness.alice.delete(&format!("{SOURCE}/records/1")).await.expect(200);
    harness.alice.put(&format!("{SOURCE}/records/2"), json!({"n": 1})).await.expect(200);
    harness.publish().await;
    harness.alice.put(&format!("{SOURCE}/records/3"), json!({})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-rollback"})).await.expect(200);

    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!(counted, recounted);

    harness.alice.delete(SOURCE).await.expect(200);
    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!(counted, recounted);
}

#[tokio::test]
async fn personal_buckets_have_limits_by_policy_and_collection() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.quotas"),
        ("quotas.bucket_max_items", "0"),
        ("quotas.user_basicauth_max_items", "2"),
        ("quotas.default_collection_small_max_items", "1"),
    ])
    .await;
    let mat = harness.anonymous.as_user("mat");
    // Of mat, who is known from the reference, with an empty secret.
    let personal = "/buckets/6bbcc657-f8a2-1476-8f9f-24a5e0abdbec";
    for path in [personal, B] {
        mat.put(path, json!({})).await.expect(201);
        mat.put(&format!("{path}/collections/small"), json!({})).await.expect(201);
        mat.put(&format!("{path}/collections/other"), json!({})).await.expect(201);
    }
    let put = async |path: &str| mat.put(path, json!({})).await.status;

    assert_eq!(put(&format!("{B}/collections/small/records/1")).await, 507, "not personal");
    assert_eq!(put(&format!("{personal}/collections/small/records/1")).await, 201);
    assert_eq!(put(&format!("{personal}/collections/small/records/2")).await, 507);
    assert_eq!(put(&format!("{personal}/collections/other/records/2")).await, 201);
    assert_eq!(put(&format!("{personal}/collections/other/records/3")).await, 507);
    assert_eq!(usage(&mat, personal).await["limits"], json!({"max_items": 2}));
}

#[tokio::test]
async fn of_a_hundred_writers_as_many_succeed_as_there_is_room_for() {
    let harness = start(&[("quotas.bucket_max_items", "50")]).await;
    for collection in 0..4 {
        let path = format!("{B}/collections/c{collection}");
        harness.alice.put(&path, json!({})).await.expect(201);
    }

    let writers: Vec<_> = (0..100)
        .map(|number| {
            let client = harness.alice.clone();
            let path = format!("{B}/collections/c{}/records/r{number}", number % 4);
            tokio::spawn(async move { client.put(&path, json!({"n": number})).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for writer in writers {
        statuses.push(writer.await.unwrap());
    }

    let with = |wanted| statuses.iter().filter(|status| **status == wanted).count();
    assert_eq!((with(201), with(507)), (50, 50), "{statuses:?}");
    assert_eq!(usage(&harness.alice, B).await["record_count"], 50);
    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!(counted, recounted);
}

#[tokio::test]
async fn counting_anew_runs_beside_writers() {
    let harness = start(&[]).await;
    let owner = harness.database.owner().await;
    owner.execute("delete from quota_usage", &[]).await.unwrap();
    let client = harness.alice.clone();
    let writer = tokio::spawn(async move {
        for number in 0..40 {
            client.put(&record(&format!("r{number}")), json!({})).await.expect(201);
        }
    });

    for _ in 0..5 {
        counted_and_recounted(&harness).await;
    }
    writer.await.unwrap();

    let (counted, recounted) = counted_and_recounted(&harness).await;
    assert_eq!(counted, recounted);
    assert_eq!(usage(&harness.alice, C).await["record_count"], 40);
}

#[tokio::test]
async fn without_the_plug_in_nothing_is_counted() {
    let harness = Harness::with(&[("quotas.bucket_max_items", "0")]).await;
    harness.alice.put(B, json!({})).await.expect(201);
    harness.alice.put(C, json!({})).await.expect(201);
    harness.alice.put(&record("r"), json!({})).await.expect(201);

    harness.alice.get(&format!("{B}/quota")).await.expect(404);
    let owner = harness.database.owner().await;
    let rows = owner.query("select from quota_usage", &[]).await.unwrap();
    assert_eq!(rows.len(), 0);
}
