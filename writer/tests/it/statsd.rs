//! Kinto's metrics over UDP (`kinto-http-api.md` §7.6), to a socket of the test's.

use std::time::Duration;

use serde_json::json;
use tokio::{net::UdpSocket, time::timeout};

use crate::harness::{Harness, user_id};

/// What Kinto 26.5 sends of the requests below, but for how long they took and the users' ids.
const OF_KINTO: [&str; 15] = [
    "authentication:type.basicauth|s",
    "request_duration_seconds.method.get.endpoint.bucket-object.bucket_id.b.collection_id..group_id..record_id.:N|ms",
    "request_duration_seconds.method.put.endpoint.record-object.bucket_id.b.collection_id.c.group_id..record_id.r1:N|ms",
    "request_size:N|g",
    "request_summary:method.delete.endpoint.bucket-object.bucket_id.b.collection_id..group_id..record_id..status.200|s",
    "request_summary:method.get.endpoint.bucket-object.bucket_id.b.collection_id..group_id..record_id..status.200|s",
    "request_summary:method.get.endpoint.bucket-object.bucket_id..collection_id..group_id..record_id..status.401|s",
    "request_summary:method.get.endpoint.group-plural.bucket_id.b.collection_id..group_id..record_id..status.200|s",
    "request_summary:method.get.endpoint.record-object.bucket_id..collection_id..group_id..record_id..status.404|s",
    "request_summary:method.get.endpoint.record-plural.bucket_id.b.collection_id.c.group_id..record_id..status.200|s",
    "request_summary:method.get.endpoint.unknown.bucket_id..collection_id..group_id..record_id..status.404|s",
    "request_summary:method.post.endpoint.batch.bucket_id..collection_id..group_id..record_id..status.200|s",
    "request_summary:method.put.endpoint.collection-object.bucket_id.b.collection_id.c.group_id..record_id..status.201|s",
    "request_summary:method.put.endpoint.record-object.bucket_id.b.collection_id.c.group_id..record_id.r1.status.201|s",
    "users:auth.basicauth.userid.USER|s",
];

/// A line without its number.
fn without_number(line: &str) -> String {
    match line.rsplit_once(':') {
        Some((name, value)) if value.ends_with("|ms") => format!("{name}:N|ms"),
        Some((name, value)) if value.ends_with("|g") => format!("{name}:N|g"),
        _ => line.to_owned(),
    }
}

#[tokio::test]
async fn what_kinto_measures_is_sent_under_its_names() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.statsd"),
        ("statsd_url", &url),
        ("project_name", "remote-settings"),
    ])
    .await;
    let alice = &harness.alice;
    let id = user_id(alice).await;

    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c/records/r1", json!({})).await.expect(201);
    alice.get("/buckets/b/collections/c/records?_limit=1").await.expect(200);
    alice.get("/buckets/b/collections/c/records/zz").await.expect(404);
    alice.get("/nowhere").await.expect(404);
    harness.anonymous.get("/buckets/b").await.expect(401);
    let requests = json!([{"path": "/buckets/b"}, {"path": "/buckets/b/groups"}]);
    alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);
    alice.send("DELETE", "/buckets/b", json!({})).await.expect(200);

    let mut missing: Vec<String> = OF_KINTO
        .iter()
        .map(|line| {
            format!("remote-settings.{line}").replace("USER", &id.replace("basicauth:", ""))
        })
        .collect();
    missing.push("remote-settings.backend.storage.seconds.method.transaction:N|ms".to_owned());
    let mut bytes = [0; 2_048];
    while !missing.is_empty() {
        let received = timeout(Duration::from_secs(10), socket.recv(&mut bytes)).await;
        let length = received.unwrap_or_else(|_| panic!("never came: {missing:#?}")).unwrap();
        let lines = std::str::from_utf8(&bytes[..length]).unwrap();
        for line in lines.lines().map(without_number) {
            missing.retain(|wanted| *wanted != line);
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_away_costs_lines_and_nothing_else() {
    let harness = Harness::with(&[
        ("includes", "kinto.plugins.statsd"),
        ("statsd_url", "udp://does-not-exist.invalid"),
    ])
    .await;

    harness.alice.put("/buckets/b", json!({})).await.expect(201);

    let told = async {
        loop {
            let reply = harness.anonymous.get("/__metrics__").await.expect(200);
            let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
            let name = "countersign_statsd_lines_dropped_total ";
            if text.lines().any(|line| line.starts_with(name) && !line.ends_with(" 0")) {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(30), told).await.unwrap();
}
