//! What is gone without having been deleted is served on, and named (`reliability.md` §3.4).

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::time::sleep;

use crate::fixture::{Database, Got, Reader, Signer, changeset, monitor};

const T: i64 = 1_700_000_000_000;
const HEARTBEAT: &str = "/v1/__heartbeat__";

fn vanished(got: &Got) -> bool {
    let expected = json!([{"bucket": "main", "collection": "b", "reason": "vanished"}]);
    got.json()["rejected"] == expected
}

fn is_gone(got: &Got) -> bool {
    got.status == StatusCode::NOT_FOUND
}

/// A reader that has a and b.
async fn reader(database: &Database, settings: &[(&str, &str)]) -> Reader {
    let signer = Signer::new();
    database.signed("a", &signer, "a", T).await;
    database.signed("b", &signer, "b", T + 10).await;
    database.publish(T + 11).await;
    Reader::of(database, settings).await
}

/// Ends a reader that has written its snapshot.
async fn leave(reader: Reader) {
    let saves = reader.app().metrics.disk.saves.clone();
    while saves.get() == 0 {
        sleep(Duration::from_millis(20)).await;
    }
}

/// A reader that has the directory: the tasks of the one before may end a moment later.
async fn next(database: &Database, settings: &[(&str, &str)]) -> Reader {
    loop {
        let reader = Reader::start(&database.test.url("countersign_reader"), settings).await;
        if reader.app().disk.is_some() {
            return reader;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// A row like those that writers leave when they erase without tombstones.
async fn erased(database: &Database, bucket: &str, at: i64) {
    let row = format!("insert into resource_timestamp values ('', '{bucket}', '__erased__', {at})");
    database.run(&row).await;
}

#[tokio::test]
async fn a_collection_that_nobody_deleted_is_served_on() {
    let database = Database::create().await;
    let reader = reader(&database, &[]).await;
    let before = reader.get(&monitor("_expected=0")).await;
    let rows = "create table kept as select * from collection where id = 'b';
                delete from collection where id = 'b'";
    // Something was erased before: it was not this.
    erased(&database, "", T + 9).await;
    database.run(rows).await;
    let heartbeat = reader.until(HEARTBEAT, vanished).await;

    assert_eq!(heartbeat.status, StatusCode::OK);
    let got = reader.get(&changeset("b", "_expected=0")).await;
    assert_eq!((got.status, &got.json()["timestamp"]), (StatusCode::OK, &json!(T + 10)));
    assert_eq!(reader.get(&monitor("_expected=0")).await.body, before.body);
    let metrics = String::from_utf8(reader.get("/v1/__metrics__").await.body.to_vec()).unwrap();
    assert!(metrics.contains("countersign_collections_held_back 1"), "{metrics}");

    database.run("insert into collection select * from kept").await;
    reader.until(HEARTBEAT, |got| got.json()["rejected"] == json!([])).await;
}

#[tokio::test]
async fn what_was_deleted_is_gone() {
    for deletion in [
        "update collection set deleted = true where id = 'b'",
        "delete from collection where id = 'b'; update bucket set deleted = true",
        "delete from collection where id = 'b';
         insert into resource_timestamp values ('', 'main', '__erased__', 1700000000011)",
        "delete from collection where id = 'b';
         insert into resource_timestamp values ('', '', '__erased__', 1700000000011)",
    ] {
        let database = Database::create().await;
        let reader = reader(&database, &[]).await;
        database.run(deletion).await;
        reader.until(&changeset("b", "_expected=0"), is_gone).await;
        assert_eq!(reader.get(HEARTBEAT).await.json()["rejected"], json!([]), "{deletion}");
        assert_eq!(reader.get(&changeset("a", "_expected=0")).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn another_bucket_s_erasure_is_none_of_ours() {
    let database = Database::create().await;
    let reader = reader(&database, &[]).await;
    erased(&database, "other", T + 100).await;
    database.run("delete from collection where id = 'b'").await;

    reader.until(HEARTBEAT, vanished).await;
}

#[tokio::test]
async fn what_left_the_resources_of_a_reader_has_not_vanished() {
    let database = Database::create().await;
    let directory = std::env::temp_dir().join(format!("countersign-left-{}", std::process::id()));
    let disk = ("snapshot_dir", directory.to_str().unwrap());
    leave(reader(&database, &[disk]).await).await;

    let only = ("changes.resources", "/buckets/main/collections/a");
    let reader = next(&database, &[disk, only]).await;
    reader.until(&changeset("b", "_expected=0"), is_gone).await;
    assert_eq!(reader.get(HEARTBEAT).await.json()["rejected"], json!([]));
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn another_database_does_not_empty_a_reader() {
    let (database, other) = (Database::create().await, Database::create().await);
    let directory = std::env::temp_dir().join(format!("countersign-other-{}", std::process::id()));
    let disk = ("snapshot_dir", directory.to_str().unwrap());
    leave(reader(&database, &[disk]).await).await;
    other.publish(T + 1_000).await;

    let reader = next(&other, &[disk]).await;
    let both = |got: &Got| got.json()["rejected"].as_array().unwrap().len() == 2;
    reader.until(HEARTBEAT, both).await;
    assert_eq!(reader.get(&changeset("b", "_expected=0")).await.status, StatusCode::OK);
    let _ = std::fs::remove_dir_all(&directory);
}
