//! Bodies get files as far as some are left beside the connections.

use std::fs;

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    fixture::changeset,
    flood::{Client, Flooded, T},
    process::Process,
};

/// The files of bodies that a process has open.
fn body_files(id: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let names = descriptors.filter_map(|descriptor| fs::read_link(descriptor.unwrap().path()).ok());
    names.filter(|name| name.to_string_lossy().contains("memfd:countersign")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_leave_files_to_connections() {
    // 500 are for other things: 40 are left, and an eighth is more.
    let more = "http.max_connections = 20\n";
    let limited = |directory: &_, url: &str| Process::limited(directory, url, 560);
    let (flooded, reader) = Flooded::with("bodies", more, limited).await;
    for number in 0..80 {
        let id = format!("large-{number}");
        let record = json!({"title": "countersign ".repeat(1_000)});
        flooded.database.record(&id, "r", T + 400, &record).await;
        flooded.database.collection(&id, T + 400 + number, &json!({}), T + 400).await;
    }
    flooded.database.publish(T + 500).await;
    reader.until(&changeset("large-79", "_expected=0"), |got| got.status == 200).await;

    let mut client = Client::connect(reader.address).await;
    for round in 0..2 {
        for number in 0..80 {
            let path = changeset(&format!("large-{number}"), "_expected=0");
            assert_eq!(client.ask(&path, "").await, 200, "{path}, round {round}");
        }
    }

    assert_eq!(body_files(flooded.process.id()), 70);
    let others = join_all((0..15).map(|_| async {
        let mut client = Client::connect(reader.address).await;
        client.ask(&changeset("large-79", "_expected=0"), "").await
    }));
    assert_eq!(others.await, [200; 15]);
    assert!(!flooded.process.log().contains("cannot accept a connection"));
}
