//! A reader that is killed while it writes its snapshot: the next one starts from a whole one.

use std::{fs, path::PathBuf, time::Duration};

use http::StatusCode;
use tokio::time::sleep;

use crate::{
    fixture::{Database, Signer, changeset},
    process::Process,
};

const T: i64 = 1_700_000_000_000;
const NOBODY: &str = "postgresql://countersign_reader@127.0.0.1:9/none";

fn directory() -> PathBuf {
    let path = std::env::temp_dir().join(format!("countersign-disk-{}", std::process::id()));
    fs::create_dir_all(&path).unwrap();
    path
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "`make drills` tells how many rounds")]
async fn a_reader_killed_while_it_writes_leaves_a_whole_snapshot() {
    let rounds = std::env::var("DRILL_KILLS").map_or(5, |text| text.parse().unwrap());
    let (database, signer, directory) = (Database::create().await, Signer::new(), directory());
    fs::write(directory.join("key.pem"), signer.pem()).unwrap();
    let settings = format!(
        "snapshot_dir = '{0}/snapshot'\n[changes]\nresources = '/buckets/main'\n\
         [signature]\npublic_keys = '{0}/key.pem'\n[watermark]\npoll_interval_ms = 20\n",
        directory.display()
    );
    fs::write(directory.join("reader.toml"), settings).unwrap();
    let url = database.test.url("countersign_reader");
    let title = "x".repeat(200_000);
    let (mut stamp, mut kept) = (T, 0);

    for round in 0..rounds {
        let process = Process::start(&directory, &url);
        // Ten collections change again and again, until the reader is killed at some moment.
        let moment = Duration::from_millis(1_500 + (round * 389) % 1_200);
        let killed = tokio::spawn(async move {
            process.ready().await;
            sleep(moment).await;
            process.kill();
        });
        while !killed.is_finished() {
            stamp += 10;
            let id = format!("c{}", stamp / 10 % 10);
            database.signed(&id, &signer, &format!("{title}{stamp}"), stamp).await;
            database.publish(stamp + 2).await;
        }
        killed.await.unwrap();

        let process = Process::start(&directory, NOBODY);
        let reader = process.ready().await;
        let watermark = reader.get("/v1/__heartbeat__").await.json()["watermark"].as_i64().unwrap();
        assert!(watermark >= kept, "the disk went back from {kept} to {watermark}");
        assert!(watermark <= stamp + 2);
        kept = watermark;
        for id in 0..10 {
            let got = reader.get(&changeset(&format!("c{id}"), "_expected=0")).await;
            // A collection may not have been published yet in the first round.
            assert!([200, 404].contains(&got.status.as_u16()), "{:?}", got.status);
            if got.status == StatusCode::OK {
                let body = got.json();
                let (stamp, title) = (&body["timestamp"], &body["changes"][0]["title"]);
                assert!(
                    title.as_str().unwrap().ends_with(&stamp.to_string()),
                    "half of it is older"
                );
            }
        }
        process.kill();
    }
    assert!(kept > T, "no snapshot was ever written");
    fs::remove_dir_all(&directory).unwrap();
}
