//! HTTP/2 frame by frame (RFC 9113), as clients send it that mean no good.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::fixture::{Database, Reader, changeset};

const OFF: (&str, &str) = ("signature.verify", "off");
const NOWHERE: &str = "postgresql://nobody@127.0.0.1:1/none";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    fn is_end(&self) -> bool {
        [DATA, HEADERS].contains(&self.kind) && self.flags & END_STREAM != 0
    }
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A GET; the fields are written as RFC 7541 §6.2.2 has it, without any compression.
pub(crate) fn get(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86];
    for (name, value) in [(4_u8, path), (1, "a")] {
        block.push(name);
        let length = value.len();
        assert!(length < 127 + 128, "a longer number is not written here");
        match u8::try_from(length).unwrap() {
            short @ ..127 => block.push(short),
            long => block.extend_from_slice(&[127, long - 127]),
        }
        block.extend_from_slice(value.as_bytes());
    }
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &block)
}

/// Takes a request back.
pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())
}

/// A connection of HTTP/2.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    /// The codes of the GOAWAYs so far.
    pub(crate) goodbyes: Vec<u32>,
}

impl Raw {
    /// Opens one whose streams may begin with so many bytes.
    pub(crate) async fn open(address: std::net::SocketAddr, window: u32) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
        let hello =
            [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &settings)].concat();
        stream.write_all(&hello).await.unwrap();
        Self { stream, goodbyes: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Lets the server send so much more, on the stream and on the connection.
    pub(crate) async fn open_window(&mut self, stream: u32, bytes: u32) {
        for stream in [stream, 0] {
            self.send(&frame(WINDOW_UPDATE, 0, stream, &bytes.to_be_bytes())).await;
        }
    }

    /// The next frame; nothing at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
        if head[3] == GOAWAY {
            self.goodbyes.push(u32::from_be_bytes(payload[4..8].try_into().unwrap()));
        }
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// Everything up to the end, which must come.
    pub(crate) async fn rest(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let all = async {
            while let Some(frame) = self.next().await {
                frames.push(frame);
            }
        };
        let ended = timeout(Duration::from_secs(10), all).await;
        assert!(ended.is_ok(), "the server did not close");
        frames
    }

    /// The body of the answer on `stream`.
    pub(crate) async fn body(&mut self, stream: u32) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(frame) = self.next().await {
            if frame.stream == stream {
                if frame.kind == DATA {
                    body.extend_from_slice(&frame.payload);
                }
                if frame.is_end() {
                    break;
                }
            }
        }
        body
    }
}

/// A reader with a body of 3 MB, and its path.
async fn large(settings: &[(&str, &str)]) -> (Reader, String) {
    let database = Database::create().await;
    let title = "z".repeat(3 << 20);
    database.record("cfr", "a", 5, &json!({ "title": title })).await;
    database.collection("cfr", 6, &json!({}), 5).await;
    database.publish(6).await;
    let settings: Vec<_> = [OFF].iter().chain(settings).copied().collect();
    (Reader::of(&database, &settings).await, changeset("cfr", "_expected=0"))
}

#[tokio::test]
async fn who_asks_for_nothing_is_told_goodbye() {
    let reader = Reader::start(NOWHERE, &[("http.idle_timeout_seconds", "1")]).await;
    let begun = Instant::now();
    let mut never = Raw::open(reader.address, 65_535).await;
    let mut once = Raw::open(reader.address, 65_535).await;
    sleep(Duration::from_millis(700)).await;
    once.send(&get(1, "/__lbheartbeat__")).await;
    assert_eq!(once.body(1).await, b"{}");

    for (connection, least) in [(&mut never, 900), (&mut once, 1_600)] {
        connection.rest().await;
        assert!(connection.goodbyes.contains(&0), "{:?}", connection.goodbyes);
        let elapsed = begun.elapsed();
        assert!(elapsed >= Duration::from_millis(least), "not before its time: {elapsed:?}");
    }
}

#[tokio::test]
async fn a_client_that_never_opens_its_window_is_left() {
    let settings = [("http.stall_timeout_seconds", "1"), ("http.max_connections", "3")];
    let (reader, path) = large(&settings).await;
    let open = reader.app().metrics.connections.clone();
    let is = |open: &prometheus::Gauge, count: f64| (open.get() - count).abs() < 0.5;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut connection = Raw::open(reader.address, 0).await;
        connection.send(&get(1, &path)).await;
        stalled.push(connection);
    }
    sleep(Duration::from_millis(200)).await;
    assert!(is(&open, 3.0), "every place is taken");

    let asking = &mut stalled[0];
    // That it asks for more does not help it.
    for stream in [3, 5, 7, 9, 11, 13] {
        let _ = asking.stream.write_all(&get(stream, &path)).await;
        sleep(Duration::from_millis(200)).await;
    }
    for connection in &mut stalled {
        let data = connection.rest().await.iter().filter(|frame| frame.kind == DATA).count();
        assert_eq!(data, 0);
    }
    assert!(is(&open, 0.0), "their places are free");
    assert_eq!(reader.get("/v1/").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_client_that_takes_little_at_a_time_gets_all() {
    let settings = [("http.stall_timeout_seconds", "1"), ("http.idle_timeout_seconds", "1")];
    let (reader, path) = large(&settings).await;
    let expected = reader.get(&path).await.body;
    let mut connection = Raw::open(reader.address, 0).await;
    connection.send(&get(1, &path)).await;

    let begun = Instant::now();
    for _ in 0..6 {
        connection.open_window(1, 32 * 1024).await;
        sleep(Duration::from_millis(400)).await;
    }
    connection.open_window(1, 8 << 20).await;

    assert!(begun.elapsed() > Duration::from_secs(2), "longer than either limit");
    assert!(connection.body(1).await == expected, "the whole body");
}

#[tokio::test]
async fn a_connection_has_its_share_of_requests() {
    let settings = [("http.requests_per_connection", "3"), ("http.stall_timeout_seconds", "1")];
    let reader = Reader::start(NOWHERE, &settings).await;
    let mut connection = Raw::open(reader.address, 65_535).await;
    for stream in [1, 3, 5] {
        connection.send(&get(stream, "/__lbheartbeat__")).await;
        assert_eq!(connection.body(stream).await, b"{}", "{stream}");
    }

    connection.rest().await;

    assert!(connection.goodbyes.contains(&0), "{:?}", connection.goodbyes);
}

#[tokio::test]
async fn who_goes_on_after_goodbye_is_cut_off() {
    let settings = [("http.requests_per_connection", "3"), ("http.stall_timeout_seconds", "60")];
    let reader = Reader::start(NOWHERE, &settings).await;
    let mut connection = Raw::open(reader.address, 65_535).await;

    // It never answers the ping by which h2 finds out what the client has sent so far.
    let (mut stream, mut is_open) = (1, true);
    while stream < 2_000 && is_open {
        is_open = connection.stream.write_all(&get(stream, "/__lbheartbeat__")).await.is_ok();
        stream += 2;
        if stream % 40 == 1 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    connection.rest().await;

    // Counted at the reader: what was sent last is lost with the connection.
    let metrics = String::from_utf8(reader.get("/__metrics__").await.body.to_vec()).unwrap();
    let of_this = |line: &&str| {
        line.starts_with("countersign_requests_total") && line.contains("lbheartbeat")
    };
    let answered: u32 = metrics
        .lines()
        .filter(of_this)
        .map(|l| l.rsplit(' ').next().unwrap().parse::<u32>().unwrap())
        .sum();
    // Of a thousand: three, what arrived with them, and what may have been on its way.
    assert!((3..=303).contains(&answered), "{answered} answers");
}

#[tokio::test]
async fn a_refusal_carries_what_every_answer_does() {
    let reader =
        Reader::start(NOWHERE, &[("backoff", "33"), ("http.max_body_bytes", "1024")]).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http();
    let ask = async |method: &str, query: &str, header: usize, body: usize| {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/v1/?x={query}", reader.address))
            .header("x-long", "a".repeat(header))
            .body(http_body_util::Full::new(bytes::Bytes::from(vec![b'a'; body])))
            .unwrap();
        let (head, body) = client.request(request).await.unwrap().into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        (head, body)
    };
    let long = "a".repeat(17_000);
    for (method, query, header, body, status, errno) in [
        ("GET", &*long, 1, 0, 414, 107),
        ("GET", "", 40_000, 0, 431, 107),
        ("POST", "", 1, 2_000, 413, 113),
        ("HEAD", &*long, 1, 0, 414, 0),
    ] {
        let (head, body) = ask(method, query, header, body).await;
        assert_eq!(head.status.as_u16(), status);
        for (name, value) in [
            ("backoff", "33"),
            ("access-control-allow-origin", "*"),
            ("surrogate-key", "countersign"),
            ("cache-control", "no-store"),
            ("content-type", "application/json"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(head.headers.get(name).unwrap(), value, "{status}: {name}");
        }
        if method == "HEAD" {
            assert!(body.is_empty() && head.headers["content-length"] != "0");
        } else {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body["code"], status, "{body}");
            assert!(body["errno"].as_i64() >= Some(errno.min(100)), "{body}");
        }
    }
}
