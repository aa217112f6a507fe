//! A clock that jumps: dates jump with it, and nothing else.
//!
//! The clock is that of the reader's process alone, by libfaketime. The clock by which time limits are
//! measured stays as it is: it never jumps.

use std::{fs, path::PathBuf, time::Duration};

use http::StatusCode;
use shared::model::Timestamp;
use tokio::time::sleep;

use crate::{
    fixture::{Reader, changeset},
    flood::{Bystander, Flooded, T},
    process::Process,
};

/// The library, where it is installed.
fn library() -> Option<PathBuf> {
    let directories = fs::read_dir("/usr/lib").ok()?.flatten();
    directories.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1")).find(|it| it.exists())
}

/// A reader whose clock is wrong by as many seconds as are in the file `offset`.
fn start(library: &std::path::Path, directory: &std::path::Path, url: &str) -> Process {
    let offset = directory.join("offset");
    fs::write(&offset, "+0").unwrap();
    let file = format!("FAKETIME_TIMESTAMP_FILE={}", offset.display());
    let preload = format!("LD_PRELOAD={}", library.display());
    let steady = ["FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", "FAKETIME_NO_CACHE=1"];
    let command = [&["env", &preload, &file][..], &steady].concat();
    Process::under(&command, directory, url)
}

/// Whether this is the date of now and so many seconds, or nearly.
fn is_at(date: Option<&str>, seconds: i64) -> bool {
    let now = Timestamp::now();
    let at = |more: i64| now.plus_millis((seconds + more) * 1_000).http_date();
    (-3..=3).any(|more| date == Some(&at(more)))
}

async fn age(reader: &Reader) -> f64 {
    let text = reader.get("/__metrics__").await.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|l| l.strip_prefix("countersign_snapshot_age_seconds "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_moves_dates_and_nothing_else() {
    let Some(library) = library() else {
        eprintln!("skipped: libfaketime is not installed (deploy/dev/install.sh faketime)");
        return;
    };
    let settings = "main.record_cache_expires_seconds = 3600\n";
    let (flooded, reader) =
        Flooded::with("clock", settings, |directory: &_, url: &_| start(&library, directory, url))
            .await;
    let jump = |seconds: i64| {
        // At once, as a clock jumps.
        let next = flooded.directory.join("next");
        fs::write(&next, format!("{seconds:+}")).unwrap();
        fs::rename(next, flooded.directory.join("offset")).unwrap();
    };
    let (path, database) = (changeset("cfr", "_expected=0"), &flooded.database);
    let others = Bystander::start(&flooded);
    let mut before = reader.get(&path).await;
    for (step, seconds) in [86_400, -3_600, 0, 315_360_000, -86_400, 0].into_iter().enumerate() {
        jump(seconds);

        let got = reader.until(&path, |got| is_at(got.header("date"), seconds)).await;
        assert_eq!((&got.body, got.header("etag")), (&before.body, before.header("etag")));
        assert!(is_at(got.header("expires"), seconds + 3_600), "{:?}", got.headers);
        let at = T + 400 + i64::try_from(step).unwrap();
        database.record("cfr", "r7", at, &serde_json::json!({ "title": step })).await;
        database.collection("cfr", at, &serde_json::json!({}), at).await;
        database.publish(at).await;
        before = reader.until(&path, |got| got.json()["timestamp"] == at).await;
        let heartbeat = reader.get("/__heartbeat__").await;
        assert_eq!(heartbeat.status, StatusCode::OK);
        assert!(age(&reader).await < 5.0, "{seconds}: {}", heartbeat.json());
    }

    // How old the state is, when nobody confirms it any more.
    database.run("revoke select on publication_clock from countersign_reader").await;
    reader.until("/__heartbeat__", |got| got.json()["storage"] == false).await;
    for seconds in [-7_200, 7_200] {
        let young = age(&reader).await;
        jump(seconds);
        sleep(Duration::from_millis(1_500)).await;
        reader.until(&path, |got| is_at(got.header("date"), seconds)).await;
        let old = age(&reader).await;
        assert!(old > young + 1.0 && old < young + 20.0, "{seconds}: from {young} to {old} s");
    }
    database.run("grant select on publication_clock to countersign_reader").await;
    reader.until("/__heartbeat__", |got| got.json()["storage"] == true).await;
    assert!(age(&reader).await < 5.0);
    others.polled("a clock that jumps").await;
    assert!(!flooded.process.log().contains("panic"), "{}", flooded.process.log());
}
