//! Clients that poll with the timestamp of their last answer hear of everything, also of what was refused
//! for a while (`reliability.md` §3.2).

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::fixture::{Database, Got, Reader, Signer, changeset, monitor};

const HEARTBEAT: &str = "/v1/__heartbeat__";
const BROADCASTS: &str = "/v1/__broadcasts__";
const RECORDS: &str = "/v1/buckets/monitor/collections/changes/records";
const LIFETIMES: [(&str, &str); 2] = [
    ("monitor.changes.record_cache_minimum_expires_seconds", "60"),
    ("monitor.changes.record_cache_maximum_expires_seconds", "3600"),
];

/// A minute ago: a `_since` must not be too old.
fn recently() -> i64 {
    shared::model::Timestamp::now().as_millis() - 60_000
}

fn collections(got: &Got) -> Vec<String> {
    let body = got.json();
    let entries = body["changes"].as_array().or(body["data"].as_array()).unwrap();
    entries.iter().map(|entry| entry["collection"].as_str().unwrap().to_owned()).collect()
}

fn told(got: &Got) -> Value {
    got.json()["broadcasts"]["remote-settings/monitor_changes"].clone()
}

fn rejects(count: usize) -> impl Fn(&Got) -> bool {
    move |got| got.json()["rejected"].as_array().unwrap().len() == count
}

async fn forge(database: &Database, id: &str) {
    let poison = r#"update record set data = '{"title": "evil"}' where collection_id = "#;
    database.run(&format!("{poison} '{id}'")).await;
}

async fn repair(database: &Database, id: &str, title: &str) {
    let data = json!({"title": title});
    database.run(&format!("update record set data = '{data}' where collection_id = '{id}'")).await;
}

/// A state at `t`, of which b was good and is refused at `t + 10`, and c is good at `t + 20`.
async fn held_back(
    database: &Database,
    signer: &Signer,
    settings: &[(&str, &str)],
    t: i64,
) -> Reader {
    database.signed("a", signer, "a", t).await;
    database.signed("b", signer, "b", t - 10).await;
    database.publish(t).await;
    let reader = Reader::of(database, settings).await;
    assert_eq!(told(&reader.get(BROADCASTS).await), format!("\"{t}\""));
    // In one step, so that no state between is seen.
    database.run("begin").await;
    database.signed("b", signer, "new", t + 10).await;
    forge(database, "b").await;
    database.signed("c", signer, "c", t + 20).await;
    database.publish(t + 20).await;
    database.run("commit").await;
    reader.until(HEARTBEAT, rejects(1)).await;
    reader
}

#[tokio::test]
async fn no_cursor_passes_what_is_held_back() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let reader = held_back(&database, &signer, &LIFETIMES, t).await;
    let poll = |since: i64| monitor(&format!("_expected=0&_since={since}"));

    let got = reader.get(&poll(t)).await;
    assert_eq!(collections(&got), ["c"], "what is good is shown at once");
    let cursor = got.json()["timestamp"].as_i64().unwrap();
    assert_eq!(cursor, t + 9);
    assert_eq!(collections(&reader.get(&poll(cursor)).await), ["c"]);
    // Every form of it says the same.
    let legacy = reader.get(RECORDS).await;
    assert_eq!(legacy.header("etag"), Some(format!("\"{cursor}\"").as_str()));
    assert_eq!(legacy.header("last-modified"), got.header("last-modified"));
    assert_eq!(reader.get("/v2/").await.json()["git"]["common"]["timestamp"], cursor);
    let filtered = reader.get(&monitor(&format!("_expected=0&_since={t}&bucket=main"))).await;
    assert_eq!(
        (filtered.json()["timestamp"].as_i64(), collections(&filtered)),
        (Some(cursor), vec!["c".to_owned()])
    );

    repair(&database, "b", "new").await;
    reader.until(HEARTBEAT, rejects(0)).await;
    let got = reader.get(&poll(cursor)).await;
    assert_eq!(collections(&got), ["c", "b"]);
    assert_eq!(got.json()["timestamp"], t + 20);
}

#[tokio::test]
async fn caches_keep_a_list_that_lacks_something_for_the_minimum() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let reader = held_back(&database, &signer, &LIFETIMES, t).await;
    let lives = async |path: String| {
        let control = reader.get(&path).await.header("cache-control").unwrap().to_owned();
        control.split(',').next().unwrap().to_owned()
    };

    for expected in ["0", "99991", "1", &t.to_string(), &(t + 20).to_string()] {
        let query = format!("_expected={expected}");
        assert_eq!(lives(monitor(&query)).await, "max-age=60", "{query}");
        assert_eq!(lives(monitor(&format!("{query}&bucket=main"))).await, "max-age=60", "{query}");
        assert_eq!(lives(format!("{RECORDS}?{query}")).await, "max-age=60", "{query}");
        assert_eq!(lives(monitor(&query).replace("/v1/", "/v2/")).await, "max-age=60", "{query}");
    }
    repair(&database, "b", "new").await;
    reader.until(HEARTBEAT, rejects(0)).await;
    assert_eq!(lives(monitor(&format!("_expected={}", t + 20))).await, "max-age=3600");
}

#[tokio::test]
async fn nobody_waits_for_what_is_held_back() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let reader = held_back(&database, &signer, &[], t).await;

    let begun = Instant::now();
    for _ in 0..8 {
        for stamp in [t + 10, t + 20] {
            reader.get(&monitor(&format!("_expected={stamp}"))).await;
            reader.get(&changeset("b", &format!("_expected={}", t + 10))).await;
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    let begun = Instant::now();
    reader.get(&monitor(&format!("_expected={}", t + 30))).await;
    assert!(begun.elapsed() > Duration::from_millis(240), "that may be on its way");
}

#[tokio::test]
async fn lists_that_differ_are_not_taken_for_the_same() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let reader = held_back(&database, &signer, &[], t).await;
    let ask = async |path: &str, name: &str, value: &str| {
        reader.send(Method::GET, path, &[(name, value)]).await
    };
    let path = monitor("_expected=0");
    let (before, legacy) = (reader.get(&path).await, reader.get(RECORDS).await);

    database.signed("d", &signer, "d", t + 40).await;
    database.publish(t + 40).await;
    reader.until(&path, |got| collections(got).len() == 4).await;

    let after = ask(&path, "if-none-match", before.header("etag").unwrap()).await;
    assert_eq!((after.status, collections(&after).len()), (StatusCode::OK, 4));
    assert_eq!(after.json()["timestamp"], before.json()["timestamp"]);
    let tag = legacy.header("etag").unwrap();
    let after = ask(RECORDS, "if-none-match", tag).await;
    assert_eq!((after.header("etag"), collections(&after).len()), (Some(tag), 4));
    let date = legacy.header("last-modified").unwrap();
    assert_eq!(collections(&ask(RECORDS, "if-modified-since", date).await).len(), 4);
    assert_eq!(ask(RECORDS, "if-match", "\"1\"").await.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn browsers_are_not_told_of_what_they_cannot_get() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let reader = held_back(&database, &signer, &[], t).await;
    let row = "insert into broadcast_state values ('remote-settings/monitor_changes'";
    let tell = async |value: i64| {
        let again = "on conflict (id) do update set value = excluded.value";
        database.run(&format!("{row}, {value}) {again}")).await;
        sleep(Duration::from_millis(300)).await;
        told(&reader.get(BROADCASTS).await)
    };

    assert_eq!(tell(t + 5).await, format!("\"{}\"", t + 5));
    assert_eq!(tell(t + 20).await, format!("\"{}\"", t + 5), "what was told last stays");
    let fresh = Reader::start(&database.test.url("countersign_reader"), &[]).await;
    fresh.until(HEARTBEAT, rejects(1)).await;
    assert_eq!(told(&fresh.get(BROADCASTS).await), Value::Null, "D19");
    repair(&database, "b", "new").await;
    let newest = format!("\"{}\"", t + 20);
    reader.until(BROADCASTS, |got| told(got) == newest).await;
}

/// A reader without its database, from the disk of `reader`.
async fn restarted(reader: Reader, disk: (&str, &str)) -> Reader {
    // A snapshot a second.
    sleep(Duration::from_millis(2_500)).await;
    drop(reader);
    let nobody = "postgresql://countersign_reader@127.0.0.1:9/none";
    loop {
        let reader = Reader::start(nobody, &[disk]).await;
        // The directory is free when the last task of the other one has ended.
        if reader.app().disk.is_some() {
            reader.until(HEARTBEAT, |got| got.status == StatusCode::OK).await;
            return reader;
        }
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_fresh_reader_and_one_with_its_disk_only_hold_the_same_back() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let directory = std::env::temp_dir().join(format!("countersign-held-{}", std::process::id()));
    let disk = ("snapshot_dir", directory.to_str().unwrap());
    let reader = held_back(&database, &signer, &[disk], t).await;
    let path = monitor(&format!("_expected=0&_since={t}"));

    let fresh = Reader::of(&database, &[]).await;
    let got = fresh.get(&path).await;
    assert_eq!(
        (got.json()["timestamp"].as_i64(), collections(&got)),
        (Some(t + 9), vec!["c".to_owned()])
    );

    let got = restarted(reader, disk).await.get(&path).await;
    assert_eq!(
        (got.json()["timestamp"].as_i64(), collections(&got)),
        (Some(t + 9), vec!["c".to_owned()])
    );
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn the_list_s_timestamp_stays_when_the_newest_collection_goes() {
    let (database, signer, t) = (Database::create().await, Signer::new(), recently());
    let directory = std::env::temp_dir().join(format!("countersign-shown-{}", std::process::id()));
    let disk = ("snapshot_dir", directory.to_str().unwrap());
    database.signed("a", &signer, "a", t - 10).await;
    database.signed("d", &signer, "d", t).await;
    database.publish(t).await;
    let reader = Reader::of(&database, &[disk]).await;
    let before = reader.get(&monitor("_expected=0")).await;

    database.run("update collection set deleted = true where id = 'd'").await;
    database.publish(t + 10).await;
    reader.until(&monitor("_expected=0"), |got| collections(got) == ["a"]).await;

    let check = async |reader: &Reader| {
        let begun = Instant::now();
        for _ in 0..8 {
            let got = reader.get(&monitor(&format!("_expected={t}&_since={t}"))).await;
            assert_eq!((got.json()["timestamp"].as_i64(), collections(&got).len()), (Some(t), 0));
            assert_eq!(got.header("last-modified"), before.header("last-modified"));
        }
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(reader.get(RECORDS).await.header("etag"), Some(format!("\"{t}\"").as_str()));
        assert_eq!(reader.get("/v2/").await.json()["git"]["common"]["timestamp"], t);
    };
    check(&reader).await;
    check(&restarted(reader, disk).await).await;
    let _ = std::fs::remove_dir_all(&directory);

    let reader = Reader::of(&database, &[]).await;
    let got = reader.get(&monitor("_expected=0")).await;
    assert_eq!(got.json()["timestamp"], t - 10, "this one has shown nothing else");
}
