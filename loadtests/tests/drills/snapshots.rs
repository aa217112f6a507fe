//! A reader without its database starts from its disk, and goes back in time nowhere.

use std::{fs, time::Duration};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    cluster::Directory,
    faults::Mount,
    stack::{Reader, Stack, url},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_starts_and_serves_without_its_database() {
    let mut stack = Stack::start(&[]).await;
    let directory = Directory::new("snapshot");
    let settings = [("snapshot_dir", directory.0.to_str().unwrap())];
    let reader = stack.reader(&[&stack.primary], &settings).await;
    let timestamp = stack.publish(1).await.unwrap();
    reader.has(timestamp).await;
    let mut broadcasts = json!({});
    while broadcasts["broadcasts"]["remote-settings/monitor_changes"].is_null() {
        broadcasts = reader.client.get("/__broadcasts__").await.json;
        sleep(Duration::from_millis(20)).await;
    }
    // A snapshot a second, and this one with the broadcast.
    sleep(Duration::from_millis(1_500)).await;
    is_saved(&reader).await;
    reader.stop().await;

    let mut backup = stack.primary.backup(&[], &[]);
    let later = stack.publish(2).await.unwrap();
    stack.primary.stop();
    let without = url("countersign_reader", &[&stack.primary]);
    let reader = Reader::start(&without, &stack, &settings).await;
    reader.until("ready", |got| got.status == 200 && got.json["storage"] == false).await;
    let watch = reader.watch();
    assert_eq!(reader.timestamp().await, timestamp);
    assert_eq!(
        reader.client.get("/__broadcasts__").await.json["broadcasts"],
        broadcasts["broadcasts"]
    );
    assert!(reader.metric("snapshot_age_seconds").await > 0.0, "as old as it is");

    stack.primary.start().await;
    reader.has(later).await;
    is_saved(&reader).await;
    watch.end().await;
    reader.stop().await;

    // A database from before what is on disk.
    backup.start().await;
    stack.primary.stop();
    let reader = Reader::start(&url("countersign_reader", &[&backup]), &stack, &settings).await;
    reader.until("older", |got| got.json["database_is_older"] == true).await;
    assert_eq!(reader.timestamp().await, later);
    reader.stop().await;

    // A file that is not what was written: as if there were none.
    for entry in fs::read_dir(&directory.0).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("collection-") {
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    let reader = Reader::start(&without, &stack, &settings).await;
    while reader.metric("disk_snapshot_errors_total").await < 1.0 {
        assert_eq!(reader.heartbeat().await.status, 503, "a damaged snapshot is served");
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(reader.heartbeat().await.status, 503, "a damaged snapshot is served");
    stack.primary.start().await;
    reader.has(later).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_reader_is_told_and_stops_nothing() {
    let Some(mount) = Mount::new(2) else {
        eprintln!("skipped: a file system of bounded size needs root, and mount");
        return;
    };
    let stack = Stack::start(&[]).await;
    let directory = mount.0.join("snapshot");
    let settings = [("snapshot_dir", directory.to_str().unwrap())];
    let reader = stack.reader(&[&stack.primary], &settings).await;
    is_saved(&reader).await;
    let watch = reader.watch();
    let before = reader.metric("disk_snapshot_errors_total").await;

    let ballast = mount.0.join("ballast");
    // As large as there is room: it ends with an error.
    let _ = fs::write(&ballast, vec![0; 4 << 20]);
    let mut number = 1;
    while reader.metric("disk_snapshot_errors_total").await <= before {
        let timestamp = stack.publish(number).await.unwrap();
        reader.has(timestamp).await;
        number += 1;
        assert!(number < 500, "the disk was never full");
    }
    fs::remove_file(&ballast).unwrap();
    let timestamp = stack.publish(number).await.unwrap();
    reader.has(timestamp).await;
    is_saved(&reader).await;
    watch.end().await;
    println!("{number} publications, served all");
}

async fn is_saved(reader: &Reader) {
    for _ in 0..200 {
        let served = reader.metric("watermark_timestamp_seconds").await;
        let saved = reader.metric("disk_snapshot_watermark_timestamp_seconds").await;
        if (served - saved).abs() < 0.000_1 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the snapshot was not written");
}
