//! Where we differ from the reference on purpose (`remote-settings.md` §13). D19, D23, D24 and D25
//! are tried in `loadtests/tests/it/agreement.rs`, `v2.rs`, `chain.rs` and `monitor.rs`.

use http::StatusCode;
use serde_json::json;

use crate::fixture::{Database, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;

#[tokio::test]
async fn d14_a_collection_is_published_by_its_whole_name() {
    let database = Database::create().await;
    for (at, id) in ["cfr", "cfr2"].into_iter().enumerate() {
        let at = T + i64::try_from(at).unwrap();
        database.collection(id, at, &json!({}), at).await;
    }
    database.publish(T).await;
    let only = ("changes.resources", "/buckets/main/collections/cfr");
    let reader = Reader::of(&database, &[OFF, only]).await;

    let listed = reader.get(&monitor("_expected=0")).await.json();

    assert_eq!(listed["changes"].as_array().unwrap().len(), 1);
    assert_eq!(listed["changes"][0]["collection"], "cfr");
    let other = reader.get(&changeset("cfr2", "_expected=0")).await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn d15_a_changeset_is_of_one_moment_while_it_is_written_to() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({"at": T}), T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[OFF]).await;
    let path = changeset("cfr", "_expected=0");

    for at in T + 1..T + 40 {
        database.run("begin").await;
        database.record("cfr", "r", at, &json!({"at": at})).await;
        database.collection("cfr", at, &json!({"at": at}), at).await;
        database.publish(at).await;
        database.run("commit").await;
        let got = reader.get(&path).await;

        assert_eq!(got.status, StatusCode::OK, "never 409");
        let body = got.json();
        assert_eq!(body["metadata"]["at"], body["timestamp"]);
        if let Some(record) = body["changes"].get(0) {
            assert_eq!(record["last_modified"], body["timestamp"]);
        }
    }
}

#[tokio::test]
async fn d16_an_answer_older_than_expected_is_kept_for_the_minimum() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T).await;
    database.publish(T).await;
    let ttl = ("main.record_cache_expires_seconds", "3600");
    let minimum = ("main.cfr.record_cache_minimum_expires_seconds", "9");
    let reader = Reader::of(&database, &[OFF, ttl, minimum]).await;
    let path = changeset("cfr", &format!("_expected={}", T + 1));

    for path in [path.replacen("/v1/", "/v2/", 1), path] {
        let got = reader.get(&path).await;
        assert_eq!(got.header("cache-control"), Some("max-age=9"), "{path}");
    }
    // What is set for all answers is no minimum.
    let reader = Reader::of(&database, &[OFF, ttl]).await;
    for path in [changeset("cfr", &format!("_expected={}", T + 1)), stale_v2()] {
        let got = reader.get(&path).await;
        assert_eq!(got.header("cache-control"), Some("max-age=5"), "{path}");
    }
}

fn stale_v2() -> String {
    changeset("cfr", &format!("_expected={}", T + 1)).replacen("/v1/", "/v2/", 1)
}

#[tokio::test]
async fn d17_the_monitor_expects_a_number() {
    let reader = Reader::of(&Database::create().await, &[OFF]).await;
    for expected in ["abc", "1.5", "-1", "%22abc%22"] {
        let got = reader.get(&monitor(&format!("_expected={expected}"))).await;
        assert_eq!((got.status, &got.json()["errno"]), (StatusCode::BAD_REQUEST, &json!(107)));
    }
    let quoted = reader.get(&monitor("_expected=%225%22")).await;
    assert_eq!(quoted.status, StatusCode::TEMPORARY_REDIRECT);
}

#[tokio::test]
async fn d18_a_whole_changeset_has_no_bound() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T + 30).await;
    database
        .run(&format!(
            "insert into record (bucket_id, collection_id, id, last_modified, data)
             select 'main', 'cfr', 'r' || n, {T} + n, '{{}}' from generate_series(1, 30) n"
        ))
        .await;
    database.publish(T).await;
    let bounds = [OFF, ("paginate_by", "5"), ("storage_max_fetch_size", "10")];
    let reader = Reader::of(&database, &bounds).await;
    let count = async |query: &str| {
        let body = reader.get(&changeset("cfr", query)).await.json();
        body["changes"].as_array().unwrap().len()
    };

    assert_eq!(count("_expected=0").await, 30);
    assert_eq!(count("_expected=0&_since=0").await, 30);
    let page = reader.get("/v1/buckets/main/collections/cfr/records").await.json();
    assert_eq!(page["data"].as_array().unwrap().len(), 5, "ordinary lists have pages");
}
