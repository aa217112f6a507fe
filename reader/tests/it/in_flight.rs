//! Memory for what is being sent: bounded, whatever is asked for and however slowly it is taken.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::{sleep, timeout},
};

use crate::{
    fixture::{Database, Reader, changeset},
    http2::{DATA, Raw, get},
};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;
const RECORDS: i64 = 8;
const MEGABYTE: usize = 1 << 20;
/// What may be under way, and all that caches may keep besides: 1 MiB for deltas, 4 for the monitor's.
const IN_FLIGHT: u64 = 8 << 20;
const BOUND: u64 = IN_FLIGHT + (5 << 20);

/// A reader of a collection of 8 records of 1 MB, and of one with a small record.
async fn reader(settings: &[(&str, &str)]) -> Reader {
    let database = Database::create().await;
    for row in 0..RECORDS {
        let data = json!({ "title": "n".repeat(MEGABYTE) });
        database.record("big", &format!("r{row}"), T + row, &data).await;
    }
    for row in 0..2 {
        database
            .record("few", &format!("r{row}"), T + row, &json!({ "a": "b".repeat(9_000) }))
            .await;
    }
    database.collection("big", T + 8, &json!({}), T + 8).await;
    database.collection("few", T + 9, &json!({}), T + 9).await;
    database.publish(T + 9).await;
    let own = [
        OFF,
        ("changes.since_max_age_days", "-1"),
        ("cache.max_bytes", "1048576"),
        ("http.max_body_bytes_in_flight", "8388608"),
        // Others may be slower than the test's machine.
        ("http.stall_timeout_seconds", "60"),
    ];
    Reader::of(&database, &own.iter().chain(settings).copied().collect::<Vec<_>>()).await
}

/// Some parts, each of which is a body of its own: 56 MB together; and pages, which are made anew each time.
fn parts() -> Vec<String> {
    let parts = 1..RECORDS;
    let limited =
        parts.clone().map(|count| changeset("big", &format!("_expected=0&_limit={count}")));
    let since = parts
        .clone()
        .map(|count| changeset("big", &format!("_expected=0&_since={}", T + RECORDS - 1 - count)));
    let pages =
        parts.map(|count| format!("/v1/buckets/main/collections/big/records?_limit={count}"));
    limited.chain(since).chain(pages).collect()
}

/// Sends a request, and reads no more of the answer than its status.
async fn ask(reader: &Reader, path: &str) -> (String, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let mut stream = socket.connect(reader.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).await.unwrap();
    (String::from_utf8_lossy(&start[9..]).into_owned(), stream)
}

/// What everybody may have whatever others do, and what nobody may have now.
async fn others_get_what_is_there(reader: &Reader) {
    let whole = reader.get(&changeset("big", "_expected=0")).await;
    let length = usize::try_from(RECORDS).unwrap() * MEGABYTE;
    assert_eq!((whole.status, whole.body.len() > length), (StatusCode::OK, true));
    assert_eq!(reader.get("/v1/").await.status, StatusCode::OK);
    for path in [
        changeset("few", "_expected=0&_limit=1"),
        "/v1/buckets/main/collections/big/records?_limit=3".to_owned(),
    ] {
        let refused = reader.get(&path).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(refused.header("retry-after"), Some("30"));
        assert_eq!(refused.header("cache-control"), Some("no-store"));
    }
}

/// All is given back but what the cache keeps, which is looked after as others ask.
async fn all_is_given_back(reader: &Reader) {
    for _ in 0..200 {
        let got = reader.get(&changeset("few", "_expected=0&_limit=1")).await;
        if got.status == StatusCode::OK && reader.app().budget.used() <= 2 << 20 {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("{} bytes are taken still", reader.app().budget.used());
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_slow_clients_hold_are_bounded_over_http1() {
    let reader = reader(&[]).await;
    let asked = join_all(parts().iter().map(|path| ask(&reader, path))).await;

    let refused = asked.iter().filter(|(status, _)| status == "503").count();
    let sent = asked.iter().filter(|(status, _)| status == "200").count();
    assert_eq!(refused + sent, asked.len());
    assert!(refused > 0 && sent > 2, "{sent} were sent, {refused} refused");
    let used = reader.app().budget.used();
    // The last one may be larger than what was left.
    assert!((BOUND..BOUND + (9 << 20)).contains(&used), "{used}");
    others_get_what_is_there(&reader).await;

    drop(asked);
    all_is_given_back(&reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_slow_clients_hold_are_bounded_over_http2() {
    let reader = reader(&[]).await;
    let app = reader.app();
    let mut connection = Raw::open(reader.address, 0).await;
    for (number, path) in (0..).zip(parts()) {
        connection.send(&get(number * 2 + 1, &path)).await;
    }
    for _ in 0..200 {
        if app.metrics.refused.get() > 0 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    // What is begun ends.
    sleep(Duration::from_millis(500)).await;

    assert!(app.metrics.refused.get() > 0);
    let used = app.budget.used();
    assert!((BOUND..BOUND + (9 << 20)).contains(&used), "{used}");
    others_get_what_is_there(&reader).await;

    drop(connection);
    all_is_given_back(&reader).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_counts_until_its_last_byte_is_sent() {
    let reader = reader(&[("cache.max_bytes", "0")]).await;
    let path = "/v1/buckets/main/collections/big/records?_limit=1";
    let length = u32::try_from(reader.get(path).await.body.len()).unwrap();
    let mut connection = Raw::open(reader.address, 0).await;
    connection.send(&get(1, path)).await;
    connection.open_window(1, length - 1).await;
    let mut received = 0;
    while received < length - 1 {
        let frame = connection.next().await.unwrap();
        if frame.kind == DATA {
            received += u32::try_from(frame.payload.len()).unwrap();
        }
    }
    sleep(Duration::from_millis(100)).await;
    assert!(reader.app().budget.used() > u64::from(length), "the last byte holds them all");

    connection.open_window(1, 1).await;
    assert_eq!(connection.next().await.unwrap().payload.len(), 1);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(reader.app().budget.used(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_many_hold_counts_once() {
    let reader = reader(&[]).await;
    let path = changeset("big", "_expected=0&_limit=4");
    let asked = join_all((0..20).map(|_| ask(&reader, &path))).await;

    assert!(asked.iter().all(|(status, _)| status == "200"));
    let used = reader.app().budget.used();
    assert!(used < 13 << 20, "{used}: twice or thrice, as it is too large for the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_never_taken_does_not_live_by_others() {
    let reader = reader(&[("http.stall_timeout_seconds", "1")]).await;
    // Much is under way: clients must take 16 KiB each second.
    let _others = reader.app().budget.take(10 << 20).unwrap();
    let mut connection = Raw::open(reader.address, 0).await;
    connection.send(&get(1, &changeset("few", "_expected=0&_limit=1"))).await;
    let begun = Instant::now();
    let briskly = async {
        for stream in (3..).step_by(2) {
            connection.send(&get(stream, "/v1/")).await;
            connection.open_window(stream, 100_000).await;
            while let Some(frame) = connection.next().await {
                if frame.stream == stream && frame.kind == DATA {
                    break;
                }
                if frame.kind == 7 {
                    return;
                }
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    assert!(timeout(Duration::from_secs(8), briskly).await.is_ok(), "told to leave");
    assert!(begun.elapsed() > Duration::from_millis(900), "{:?}", begun.elapsed());
    connection.rest().await;
}
