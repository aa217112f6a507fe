//! The legacy list, broadcasts, and what was purged (`remote-settings.md` §3.5, §4.1, §7.10).

use http::StatusCode;
use serde_json::{Value, json};
use shared::model::Timestamp;

use crate::fixture::{Database, Reader, changeset};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;
const RECORDS: &str = "/v1/buckets/monitor/collections/changes/records";
const BROADCASTS: &str = "/v1/__broadcasts__";

fn told(body: &Value) -> Option<&str> {
    body["broadcasts"]["remote-settings/monitor_changes"].as_str()
}

#[tokio::test]
async fn the_legacy_list_s_detours_need_no_database() {
    let nobody = "postgresql://countersign_reader@127.0.0.1:9/none";
    let reader = Reader::start(nobody, &[OFF]).await;

    let redirect = reader.get(&format!("{RECORDS}?_since=%221%22&_sort=id")).await;
    assert_eq!(redirect.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(redirect.header("location"), Some(format!("{RECORDS}?_sort=id").as_str()));
    assert_eq!(redirect.header("cache-control"), Some("max-age=86400"));
    let ahead = reader.get(&format!("{RECORDS}?_since=%226%22&_expected=%225%22")).await;
    assert_eq!((ahead.status, ahead.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(reader.get(RECORDS).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reader.get(BROADCASTS).await.json(), json!({"broadcasts": {}, "code": 200}));
}

#[tokio::test]
async fn d25_who_knows_less_than_was_purged_fetches_all() {
    let database = Database::create().await;
    database.record("cfr", "a", T + 1, &json!({})).await;
    database.tombstone("cfr", "gone", T + 2).await;
    database.tombstone("cfr", "b", T + 3).await;
    database.collection("cfr", T + 3, &json!({}), T + 3).await;
    database.publish(T + 3).await;
    let reader = Reader::of(&database, &[OFF]).await;
    let since = |since: i64| changeset("cfr", &format!("_expected={}&_since={since}", T + 3));
    assert_eq!(reader.get(&since(T)).await.json()["changes"].as_array().unwrap().len(), 3);

    database
        .run(&format!(
            "delete from record where id = 'gone';
             update resource_timestamp set tombstone_horizon = {} where resource_name = 'record'",
            T + 2
        ))
        .await;
    database.publish(T + 4).await;

    let moved = |got: &crate::fixture::Got| got.status == StatusCode::TEMPORARY_REDIRECT;
    let redirect = reader.until(&since(T), moved).await;
    let whole = changeset("cfr", &format!("_expected={}", T + 3));
    assert_eq!(redirect.header("location"), Some(whole.as_str()));
    assert_eq!(redirect.header("cache-control"), Some("max-age=86400"));
    assert_eq!(reader.get(&since(T + 1)).await.status, StatusCode::TEMPORARY_REDIRECT);
    let delta = reader.get(&since(T + 2)).await;
    assert_eq!(delta.status, StatusCode::OK, "who knows the purged tombstone misses nothing");
    assert_eq!(
        delta.json()["changes"],
        json!([{"id": "b", "last_modified": T + 3, "deleted": true}])
    );
}

#[tokio::test]
async fn a_broadcast_is_the_writer_s_and_stays_without_the_database() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[OFF]).await;
    let own = format!("\"{T}\"");
    assert_eq!(told(&reader.get(BROADCASTS).await.json()), Some(own.as_str()), "its own value");

    let row = format!(
        "insert into broadcast_state values ('remote-settings/monitor_changes', {})",
        T - 5
    );
    database.run(&row).await;
    let common = format!("\"{}\"", T - 5);
    reader.until(BROADCASTS, |got| told(&got.json()) == Some(common.as_str())).await;

    database.run("drop table broadcast_state").await;
    reader.until("/v1/__heartbeat__", |got| got.json()["storage"] == false).await;
    assert_eq!(told(&reader.get(BROADCASTS).await.json()), Some(common.as_str()));
}

#[tokio::test]
async fn a_reader_without_writer_tells_a_burst_once() {
    let database = Database::create().await;
    let now = Timestamp::now().as_millis();
    database.collection("cfr", now - 60_000, &json!({}), now - 60_000).await;
    database.publish(now - 60_000).await;
    let reader = Reader::of(&database, &[OFF]).await;
    let first = format!("\"{}\"", now - 60_000);
    assert_eq!(told(&reader.get(BROADCASTS).await.json()), Some(first.as_str()));

    database.collection("cfr", now - 10_000, &json!({}), now - 10_000).await;
    database.publish(now - 10_000).await;
    let newest = changeset("cfr", "_expected=0");
    reader.until(&newest, |got| got.json()["timestamp"] == now - 10_000).await;

    assert_eq!(told(&reader.get(BROADCASTS).await.json()), Some(first.as_str()));
}
