//! What arrives byte by byte: the server as proxies and attackers meet it.

use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use reader::server::serve;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

use crate::fixture::{Database, Reader, changeset};

const OFF: (&str, &str) = ("signature.verify", "off");
const PING: &str = "GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\n\r\n";

pub(crate) async fn connect(reader: &Reader) -> TcpStream {
    TcpStream::connect(reader.address).await.unwrap()
}

/// All that comes until the server closes.
pub(crate) async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(Duration::from_secs(10), stream.read_to_end(&mut bytes)).await;
    assert!(matches!(read, Ok(Ok(_))), "the server did not close: {read:?}");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Sends `text`, says that nothing follows, and reads all that comes.
pub(crate) async fn exchange(reader: &Reader, text: &str) -> String {
    let mut stream = connect(reader).await;
    stream.write_all(text.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    rest(&mut stream).await
}

fn statuses(text: &str) -> Vec<&str> {
    text.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect()
}

/// An unloaded reader: its heartbeats and refusals need no database.
pub(crate) async fn bare(settings: &[(&str, &str)]) -> Reader {
    Reader::start("postgresql://nobody@127.0.0.1:1/none", settings).await
}

#[tokio::test]
async fn each_request_is_answered_once_and_in_order() {
    let reader = bare(&[]).await;
    let head = "HEAD /v1/__lbheartbeat__ HTTP/1.1\r\nHost: a\r\n\r\n";
    let lost = "GET /v1/nothing HTTP/1.1\r\nHost: a\r\n\r\n";

    let text = exchange(&reader, &[PING, lost, head, PING].concat()).await;

    assert_eq!(statuses(&text), ["200", "404", "200", "200"], "{text}");
    assert_eq!(text.matches("\r\n\r\n{}").count(), 2, "HEAD has no body: {text}");
}

#[tokio::test]
async fn an_answer_to_head_has_no_body_whatever_is_asked() {
    let database = Database::create().await;
    for (id, stamp) in [("a", 4), ("b", 5)] {
        database.record("cfr", id, stamp, &serde_json::json!({"title": "x".repeat(99)})).await;
    }
    database.collection("cfr", 6, &serde_json::json!({}), 5).await;
    database.publish(6).await;
    let reader = Reader::of(&database, &[OFF]).await;
    for (query, header) in [
        ("_expected=0", ""),
        ("_expected=0", "If-None-Match: \"x\"\r\n"),
        ("_expected=0", "Available-Dictionary: :x:\r\nAccept-Encoding: dcz\r\n"),
        ("_expected=0&_limit=1", ""),
        ("_expected=0&_since=4", ""),
        ("_expected=0&unknown=1", ""),
    ] {
        let path = changeset("cfr", query);
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n{header}\r\n");
        let text = exchange(&reader, &[&*head, PING].concat()).await;
        assert_eq!(statuses(&text), ["200", "200"], "{query} {header}");
        assert!(!text.contains("\"changes\""), "{query} {header}: {text}");
    }
}

#[tokio::test]
async fn requests_may_arrive_in_pieces() {
    let reader = bare(&[]).await;
    let mut stream = connect(&reader).await;
    let _ = stream.set_nodelay(true);
    for byte in [PING, PING].concat().into_bytes() {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream.shutdown().await.unwrap();

    assert_eq!(statuses(&rest(&mut stream).await), ["200", "200"]);
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_connection_ends() {
    let reader = bare(&[]).await;
    let long = |count| "a".repeat(count);
    for (text, expected) in [
        ("GET /__lbheartbeat__ HTTP/1.1\r\n\r\n".to_owned(), "400"),
        ("GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), "400"),
        ("GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\nX: y\r\n\r\n".to_owned(), "400"),
        ("GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n".to_owned(), "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            "400",
        ),
        ("CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("\u{16}\u{3}\u{1} a TLS greeting\r\n\r\n".to_owned(), "400"),
        ("GET foo HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "400"),
        ("GET /v1/ HTTP/1.1\r\nHost: a b\"<\r\n\r\n".to_owned(), "400"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", long(20_000)), "414"),
        (format!("GET /{}", long(1 << 20)), "414"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", long(40_000)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", long(1 << 20)), "431"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100)), "431"),
    ] {
        let text = exchange(&reader, &[&*text, PING].concat()).await;

        assert_eq!(statuses(&text), [expected], "{text}");
        assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
        assert!(text.contains("\r\ncache-control: no-store\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-type: application/json\r\n"), "{text}");
    }
}

#[tokio::test]
async fn a_head_with_bare_newlines_is_refused_at_once() {
    let reader = bare(&[]).await;
    for pieces in [
        &["GET / HTTP/1.1\nHost: a\n\n"][..],
        &["GET / HTTP/1.1\r\nHost: a", "\n"],
        &["GET / HTTP/1.1\r", "\nHost: a\r", "\n\n"],
    ] {
        let mut stream = connect(&reader).await;
        let _ = stream.set_nodelay(true);
        let begun = Instant::now();
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            sleep(Duration::from_millis(50)).await;
        }
        let text = rest(&mut stream).await;
        assert_eq!(statuses(&text), ["400"], "{pieces:?}: {text}");
        // The client is given a second to read it.
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_empty_line_before_a_request_is_passed_over() {
    let reader = bare(&[]).await;
    let text = exchange(&reader, &["\r\n", PING, "\r\n", PING, PING].concat()).await;
    assert_eq!(statuses(&text), ["200", "200", "200"], "{text}");
    let mut stream = connect(&reader).await;
    let _ = stream.set_nodelay(true);
    for piece in ["\r", "\n", PING] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    stream.shutdown().await.unwrap();
    assert_eq!(statuses(&rest(&mut stream).await), ["200"]);
}

#[tokio::test]
async fn close_goes_before_keep_alive() {
    let reader = bare(&[]).await;
    let close = "GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n";
    let text = exchange(&reader, &[close, PING].concat()).await;
    assert_eq!(statuses(&text), ["200"], "{text}");
    assert!(text.contains("\r\nconnection: close\r\n"));
}

#[tokio::test]
async fn a_refused_head_has_no_body() {
    let reader = bare(&[]).await;
    let long = "a".repeat(20_000);
    for (text, expected) in [
        ("HEAD / HTTP/1.1\r\n\r\n".to_owned(), "400"),
        (format!("HEAD /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), "414"),
        (format!("HEAD / HTTP/1.1\r\nHost: a\r\nX: {long}{long}\r\n\r\n"), "431"),
        ("HEAD /v1/nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), "404"),
    ] {
        let answer = exchange(&reader, &text).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();

        assert_eq!((statuses(head), body), (vec![expected], ""));
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert!(length.unwrap().parse::<usize>().unwrap() > 0, "that of the answer to GET: {head}");
    }
}

#[tokio::test]
async fn a_body_is_not_taken_for_the_next_request() {
    let reader = bare(&[]).await;
    for framing in ["Content-Length: 44", "Transfer-Encoding: chunked"] {
        let post = format!("POST /v1/batch HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        let text = exchange(&reader, &[&*post, PING].concat()).await;
        assert_eq!(statuses(&text), ["405"], "{framing}: {text}");
    }
}

#[tokio::test]
async fn old_clients_are_told_whether_the_connection_stays() {
    let reader = bare(&[]).await;
    let keep = "GET /__lbheartbeat__ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let close = "GET /__lbheartbeat__ HTTP/1.0\r\n\r\n";

    let text = exchange(&reader, &[keep, close, PING].concat()).await;

    assert_eq!(statuses(&text), ["200", "200"]);
    assert!(text.contains("connection: keep-alive") && text.contains("connection: close"));
}

#[tokio::test]
async fn slow_heads_and_long_silence_end_a_connection() {
    let settings = [("http.head_timeout_seconds", "1"), ("http.idle_timeout_seconds", "2")];
    let reader = bare(&settings).await;
    let begun = Instant::now();
    let mut silent = connect(&reader).await;
    let mut slow = connect(&reader).await;
    let mut idle = connect(&reader).await;
    idle.write_all(PING.as_bytes()).await.unwrap();
    // Never silent for long, and never done.
    let trickle = tokio::spawn(async move {
        for _ in 0..40 {
            if slow.write_all(b"G").await.is_err() {
                return true;
            }
            sleep(Duration::from_millis(100)).await;
        }
        false
    });

    assert_eq!(rest(&mut silent).await, "");
    assert!(trickle.await.unwrap(), "a head that trickles in is not waited for");
    assert_eq!(statuses(&rest(&mut idle).await), ["200"]);
    let elapsed = begun.elapsed();
    assert!(elapsed > Duration::from_millis(1_900), "idle connections live longer: {elapsed:?}");
    assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let database = Database::create().await;
    let title = "x".repeat(8 << 20);
    database.record("cfr", "a", 5, &serde_json::json!({ "title": title })).await;
    database.collection("cfr", 6, &serde_json::json!({}), 5).await;
    database.publish(6).await;
    let settings = [OFF, ("http.stall_timeout_seconds", "1"), ("http.max_connections", "3")];
    let reader = Reader::of(&database, &settings).await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&reader).await;
        let path = changeset("cfr", "_expected=0");
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stalled.push(stream);
    }
    sleep(Duration::from_millis(200)).await;

    // Every place is taken: others are told so at once, and in Kinto's words.
    let text = exchange(&reader, PING).await;
    assert_eq!(statuses(&text), ["503"], "{text}");
    assert!(text.contains("\r\nretry-after: 30\r\n"), "{text}");

    // They take nothing: after a second their places are free.
    let mut text = String::new();
    for _ in 0..50 {
        text = exchange(&reader, PING).await;
        if statuses(&text) == ["200"] {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(statuses(&text), ["200"], "their places are free after a second");
    drop(stalled);
}

#[tokio::test]
async fn a_connection_has_its_share_of_requests() {
    let reader = bare(&[("http.requests_per_connection", "3")]).await;

    let text = exchange(&reader, &PING.repeat(5)).await;

    assert_eq!(statuses(&text), ["200", "200", "200"]);
    assert_eq!(text.matches("connection: close").count(), 1);
}

#[tokio::test]
async fn large_bodies_arrive_whole_however_slowly_they_are_read() {
    let database = Database::create().await;
    let title = "y".repeat(3 << 20);
    database.record("cfr", "a", 5, &serde_json::json!({ "title": title })).await;
    database.collection("cfr", 6, &serde_json::json!({}), 5).await;
    database.publish(6).await;
    let reader = Reader::of(&database, &[OFF]).await;
    let path = changeset("cfr", "_expected=0");
    let expected = reader.get(&path).await.body;
    let mut stream = connect(&reader).await;
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();

    let mut received = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut piece).await.unwrap() {
            0 => break,
            count => received.extend_from_slice(&piece[..count]),
        }
        sleep(Duration::from_millis(1)).await;
    }

    assert!(received.ends_with(&expected), "{} of {}", received.len(), expected.len());
}

#[tokio::test]
async fn a_reader_that_stops_says_so_first_and_finishes_what_was_begun() {
    let settings = [("http.drain_seconds", "1"), ("http.grace_seconds", "5")];
    let app = bare(&settings).await.app();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let limits = app.config.limits.clone();
    let serving = tokio::spawn(serve(listener, app, limits, None, async {
        let _ = stopped.await;
    }));
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut begun = TcpStream::connect(address).await.unwrap();
    begun.write_all(&PING.as_bytes()[..20]).await.unwrap();
    sleep(Duration::from_millis(100)).await;

    stop.send(()).unwrap();
    sleep(Duration::from_millis(200)).await;
    let mut asking = TcpStream::connect(address).await.unwrap();
    asking
        .write_all([PING, "GET /v1/ HTTP/1.1\r\nHost: a\r\n\r\n"].concat().as_bytes())
        .await
        .unwrap();
    asking.shutdown().await.unwrap();
    assert_eq!(statuses(&rest(&mut asking).await), ["503", "200"], "still answered, as leaving");
    sleep(Duration::from_millis(1_200)).await;

    assert_eq!(rest(&mut idle).await, "", "idle connections are closed");
    assert!(TcpStream::connect(address).await.is_err(), "and no new ones taken");
    begun.write_all(&PING.as_bytes()[20..]).await.unwrap();
    let text = rest(&mut begun).await;
    assert_eq!(statuses(&text), ["503"], "what was begun is answered: {text}");
    assert!(text.contains("connection: close"));
    timeout(Duration::from_secs(2), serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn http2_is_spoken_with_those_who_know() {
    let reader = bare(&[]).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let request = http::Request::builder()
        .method(Method::GET)
        .uri(format!("http://{}/__lbheartbeat__", reader.address))
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();

    let response = client.request(request).await.unwrap();

    assert_eq!((response.status(), response.version()), (StatusCode::OK, http::Version::HTTP_2));
}
