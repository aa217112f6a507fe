//! What a poll costs in allocations: none for whole lists, next to none for kept deltas.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
};

use allocation_counter::measure;
use reader::server::serve;
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};

use crate::fixture::{Database, Reader};

const T: i64 = 1_700_000_000_000;
/// Polls before the counting begins: buffers get their size, an answer its file.
const WARM: usize = 8;

/// Allocations of the serving thread while a client on one connection sends `count` times `request`.
fn allocations(reader: &Reader, request: &str, count: usize) -> u64 {
    let app = reader.app();
    let limits = app.config.limits.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = runtime.spawn(serve(listener, app, limits, None, std::future::pending()));
    let request = request.to_owned();
    let (warm, is_warm) = oneshot::channel();
    let (done, is_done) = oneshot::channel();
    let (go, may_go) = std::sync::mpsc::channel();
    let asker = thread::spawn(move || {
        let length = poll(&mut client, &request, None);
        for _ in 1..WARM {
            poll(&mut client, &request, Some(length));
        }
        warm.send(()).unwrap();
        may_go.recv().unwrap();
        for _ in 0..count {
            poll(&mut client, &request, Some(length));
        }
        done.send(()).unwrap();
    });
    runtime.block_on(is_warm).unwrap();
    let counted = measure(|| {
        go.send(()).unwrap();
        runtime.block_on(is_done).unwrap();
    });
    asker.join().unwrap();
    server.abort();
    counted.count_total
}

/// Sends one request and reads its answer, whose length is told, or else found by its head.
fn poll(client: &mut TcpStream, request: &str, length: Option<usize>) -> usize {
    client.write_all(request.as_bytes()).unwrap();
    let mut read = Vec::new();
    let mut space = vec![0; 256 * 1024];
    loop {
        let count = client.read(&mut space).unwrap();
        assert!(count > 0, "the server closed");
        read.extend_from_slice(&space[..count]);
        let wanted = length.or_else(|| {
            let text = String::from_utf8_lossy(&read);
            let head = text.find("\r\n\r\n")? + 4;
            let body = text.split("content-length: ").nth(1)?.split("\r\n").next()?;
            Some(head + body.parse::<usize>().unwrap())
        });
        if wanted.is_some_and(|wanted| read.len() >= wanted) {
            assert!(read.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&read));
            return read.len();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_allocates_next_to_nothing() {
    let database = Database::create().await;
    for number in 0..300 {
        let data = json!({"title": format!("{number} of some records"), "rank": number});
        database.record("cfr", &format!("r{number}"), T + number, &data).await;
    }
    database.collection("cfr", T, &json!({}), T + 299).await;
    database.publish(T + 300).await;
    let reader = Reader::of(&database, &[("signature.verify", "off")]).await;
    let changeset = "/v1/buckets/main/collections/cfr/changeset";
    let monitor = "/v1/buckets/monitor/collections/changes/changeset?_expected=0".to_owned();
    let whole = format!("{changeset}?_expected={}", T + 299);
    let delta = format!("{whole}&_since=%22{}%22", T + 280);
    // The last of each: most allocations in 1,000 polls. The cache of deltas does its housekeeping.
    let cases = [
        (monitor, "identity", 10),
        (whole.clone(), "identity", 10),
        (whole, "gzip, deflate, br, zstd", 10),
        (delta, "gzip", 250),
    ];
    tokio::task::spawn_blocking(move || {
        for (target, encoding, most) in cases {
            let request =
                format!("GET {target} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: {encoding}\r\n\r\n");
            // What waiting and the clock cost is in both.
            let few = allocations(&reader, &request, 50);
            let many = allocations(&reader, &request, 1_050);
            assert!(many.saturating_sub(few) <= most, "{target} ({encoding}): {few}, then {many}");
        }
    })
    .await
    .unwrap();
}
