//! What settings change.

use std::{fs, time::Duration};

use http::StatusCode;
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, time::Instant};

use crate::{
    fixture::{Database, Reader, changeset, monitor},
    flood::{Flooded, T},
    process::Process,
    sockets::{bare, connect, rest},
};

#[tokio::test]
async fn a_limit_is_bounded_by_pages() {
    let database = Database::create().await;
    for number in 0..9 {
        database.record("cfr", &format!("r{number}"), 5 + number, &json!({})).await;
        let id = format!("other-{number}");
        database.collection(&id, 21 + number, &json!({}), 21 + number).await;
    }
    database.collection("cfr", 20, &json!({}), 20).await;
    database.publish(40).await;
    let pages = [
        ("signature.verify", "off"),
        ("changes.since_max_age_days", "-1"),
        ("paginate_by", "5"),
        ("storage_max_fetch_size", "3"),
    ];
    let reader = Reader::of(&database, &pages).await;
    let count =
        async |path: &str| reader.get(path).await.json()["changes"].as_array().unwrap().len();

    for path in [changeset as fn(&str, &str) -> String, |_, query| monitor(query)] {
        assert_eq!(count(&path("cfr", "_expected=0&_limit=100")).await, 3);
        assert_eq!(count(&path("cfr", "_expected=0&_since=1&_limit=100")).await, 3);
        assert_eq!(count(&path("cfr", "_expected=0&_limit=2")).await, 2);
        assert!(count(&path("cfr", "_expected=0")).await >= 9, "whole");
    }
    assert_eq!(count(&monitor("_expected=0&bucket=main&_limit=100")).await, 3);
}

#[tokio::test]
async fn silence_may_be_shorter_than_a_head() {
    let settings = [("http.idle_timeout_seconds", "1"), ("http.head_timeout_seconds", "10")];
    let reader = bare(&settings).await;
    let mut stream = connect(&reader).await;
    let begun = Instant::now();
    stream.write_all(b"GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();

    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn the_scheme_of_urls_is_that_of_the_settings_or_what_is_spoken() {
    for (scheme, expected) in [("", "http://127"), ("https", "https://127")] {
        let reader = bare(&[("http_scheme", scheme)]).await;
        let url = reader.get("/v1/").await.json()["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with(expected), "{scheme}: {url}");
    }
}

#[tokio::test]
async fn a_log_in_a_file_has_no_colours() {
    let (flooded, reader) = Flooded::with("colours", "log.format = 'text'\n", Process::start).await;

    assert_eq!(reader.get("/v1/nothing").await.status, StatusCode::NOT_FOUND);
    let log = flooded.process.log();
    assert!(log.contains("listening") && !log.contains('\u{1b}'), "{log}");
}

#[tokio::test]
async fn a_snapshot_that_somebody_took_away_is_written_again() {
    let path = std::env::temp_dir().join(format!("countersign-{}-taken", std::process::id()));
    let text =
        format!("snapshot_dir = '{}'\nwatermark.recheck_interval_seconds = 1\n", path.display());
    let (flooded, reader) = Flooded::with("taken", &text, Process::start).await;
    let files = || fs::read_dir(&path).map_or(0, Iterator::count);
    let full = async |wanted: usize| {
        for _ in 0..500 {
            if files() == wanted && path.join("snapshot").exists() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} files, not {wanted}: {}", files(), flooded.process.log());
    };
    // The lock, the list, and a collection.
    full(3).await;

    for entry in fs::read_dir(&path).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    flooded.database.collection("more", T + 400, &json!({}), T + 400).await;
    flooded.database.publish(T + 400).await;
    full(4).await;

    fs::remove_dir_all(&path).unwrap();
    full(4).await;
    let beside = flooded.directory.join("beside");
    fs::create_dir_all(&beside).unwrap();
    fs::copy(flooded.directory.join("reader.toml"), beside.join("reader.toml")).unwrap();
    let other = Process::start(&beside, &flooded.database.test.url("countersign_reader"));
    other.ready().await;
    assert!(other.log().contains("another process uses this directory"), "it is locked again");

    let log = flooded.process.log();
    assert!(log.contains("the snapshot is written again"), "{log}");
    assert_eq!(reader.get("/v1/").await.status, StatusCode::OK);
    fs::remove_dir_all(&path).unwrap();
}
