//! Floods: what one client sends must not take memory, nor the time of others.
//!
//! Against a reader in a process of its own, whose memory is measured. `make drills` sends more of
//! it (`DRILL_FLOOD`).

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    fixture::{Database, Reader, changeset},
    process::{Process, resident},
};

pub(crate) const T: i64 = 1_700_000_000_000;
/// Most memory that a flood may cost, in MiB: some is the caches', which are bounded, and some the
/// allocator keeps.
const MOST_MEMORY: f64 = 48.0;
/// The longest that another client may wait, as tests share two cores.
const LONGEST: Duration = Duration::from_secs(2);

/// How much is sent: little in tests, 100,000 in the drill.
#[expect(clippy::disallowed_methods, reason = "`make drills` tells how much")]
pub(crate) fn amount() -> usize {
    std::env::var("DRILL_FLOOD").map_or(4_000, |text| text.parse().unwrap())
}

/// A reader of 300 records and its directory.
pub(crate) struct Flooded {
    pub(crate) database: Database,
    pub(crate) process: Process,
    pub(crate) directory: PathBuf,
}

impl Drop for Flooded {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Flooded {
    pub(crate) async fn start(name: &str) -> (Self, Reader) {
        Self::with(name, "log.level = 'error'\n", Process::start).await
    }

    pub(crate) async fn with(
        name: &str,
        more: &str,
        start: impl FnOnce(&Path, &str) -> Process,
    ) -> (Self, Reader) {
        let database = Database::create().await;
        for row in 0..300 {
            let record =
                json!({"title": format!("record {row}"), "noise": "countersign".repeat(9)});
            database.record("cfr", &format!("r{row}"), T + row, &record).await;
        }
        database.collection("cfr", T + 300, &json!({}), T + 300).await;
        database.publish(T + 300).await;
        let name = format!("countersign-flood-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let settings = "changes.resources = '/buckets/main'\nsignature.verify = 'off'\n\
                        changes.since_max_age_days = -1\n\
                        http.head_timeout_seconds = 2\nhttp.idle_timeout_seconds = 2\n\
                        http.stall_timeout_seconds = 2\n";
        fs::write(directory.join("reader.toml"), format!("{settings}{more}")).unwrap();
        let process = start(&directory, &database.test.url("countersign_reader"));
        let reader = process.ready().await;
        (Self { database, process, directory }, reader)
    }
}

/// A client of HTTP/1.1 that asks again and again on one connection.
pub(crate) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: Vec::new() }
    }

    /// The status of the answer, which is read to its end.
    pub(crate) async fn ask(&mut self, target: &str, headers: &str) -> u16 {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        self.stream.write_all(request.as_bytes()).await.unwrap();
        self.buffer.clear();
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await;
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |text| text.parse().unwrap());
        while self.buffer.len() < end + length {
            self.read().await;
        }
        head[9..12].parse().unwrap()
    }

    async fn read(&mut self) {
        let count = self.stream.read_buf(&mut self.buffer).await.unwrap();
        assert!(count > 0, "the connection ended");
    }
}

/// Somebody who polls meanwhile, and looks at the reader's memory.
pub(crate) struct Bystander {
    is_over: Arc<AtomicBool>,
    before: f64,
    task: JoinHandle<(Vec<Duration>, f64)>,
}

impl Bystander {
    pub(crate) fn start(flooded: &Flooded) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (over, address, id) = (is_over.clone(), flooded.process.address, flooded.process.id());
        let before = resident(id);
        let task = tokio::spawn(async move {
            let (mut client, mut waits) = (Client::connect(address).await, Vec::new());
            let mut most = before;
            let path = changeset("cfr", "_expected=0");
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                assert_eq!(client.ask(&path, "Accept-Encoding: gzip\r\n").await, 200);
                waits.push(begun.elapsed());
                most = most.max(resident(id));
                sleep(Duration::from_millis(2)).await;
            }
            (waits, most)
        });
        Self { is_over, before, task }
    }

    /// Ends, and fails if others had to wait for long, or it took memory.
    pub(crate) async fn end(self, what: &str) {
        let more = self.polled(what).await;
        assert!(more < MOST_MEMORY, "{what}: {more:.1} MiB more");
    }

    /// Ends, and fails if others had to wait for long; how much more memory there was at most, in MiB.
    pub(crate) async fn polled(self, what: &str) -> f64 {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut waits, most) = self.task.await.unwrap();
        let before = self.before;
        waits.sort();
        let at = |part: usize| waits[(waits.len() * part / 1_000).min(waits.len() - 1)];
        let (median, late, longest) = (at(500), at(990), at(1_000));
        println!(
            "{what}: others: {} polls, p50 {median:.1?}, p99 {late:.1?}, longest {longest:.1?}; \
             {before:.1} MiB, {most:.1} at most",
            waits.len()
        );
        assert!(waits.len() > 2 && longest < LONGEST, "{what}: the longest took {longest:?}");
        most - before
    }
}

/// No two of them are the same.
fn target(number: usize) -> (String, String) {
    let main = "/v1/buckets/main/collections/cfr";
    let monitor = "/v1/buckets/monitor/collections/changes";
    let target = match number % 12 {
        0 => format!("{main}/changeset?_expected={number}"),
        1 => format!(
            "{main}/changeset?_expected=0&_since={}",
            T + 7 * i64::try_from(number).unwrap() - 50_000
        ),
        2 => format!("{main}/changeset?_expected=%22a{number}%22"),
        3 => format!("{main}/changeset?_expected=0&x{number}={number}"),
        4 => format!("{main}/changeset?_expected=0&_limit={number}"),
        5 => format!("{monitor}/changeset?_expected=0&bucket=main&_since={number}"),
        6 => format!("{monitor}/changeset?_expected=0&bucket=b{number}"),
        7 => format!("{monitor}/records?_since={number}&_limit=3"),
        8 => format!("{main}/records?_limit=5&gt_n={number}"),
        9 => format!("/v1/{number}/nothing"),
        10 => format!("/v2/buckets/main/collections/cfr/changeset?_expected={number}"),
        // Read from the database, a few at once: a slow one.
        _ if number % 240 == 11 => format!("/v1/buckets/b{number}"),
        _ => format!("{main}/changeset?_expected=0&y={number}"),
    };
    let dictionary =
        format!("Accept-Encoding: gzip, br, dcz\r\nAvailable-Dictionary: :{number:042}0=:\r\n");
    (target, if number.is_multiple_of(3) { dictionary } else { String::new() })
}

/// Sends `count` different requests over eight connections; how many were answered by what.
async fn send(address: SocketAddr, from: usize, count: usize) -> [usize; 6] {
    let next = Arc::new(AtomicUsize::new(from));
    let workers = (0..8).map(|_| {
        let next = next.clone();
        tokio::spawn(async move {
            let (mut client, mut statuses) = (Client::connect(address).await, [0; 6]);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= from + count {
                    return statuses;
                }
                let (target, headers) = target(number);
                let status = client.ask(&target, &headers).await;
                statuses[usize::from(status / 100)] += 1;
            }
        })
    });
    let mut all = [0; 6];
    for statuses in join_all(workers).await {
        all.iter_mut().zip(statuses.unwrap()).for_each(|(sum, one)| *sum += one);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_query_strings_take_no_memory_and_nobody_s_time() {
    let (flooded, reader) = Flooded::start("queries").await;
    // The caches fill, and the allocator gives back what the start took.
    send(reader.address, 0, amount() / 2).await;
    let series = |text: &[u8]| String::from_utf8_lossy(text).lines().count();
    let lines = series(&reader.get("/__metrics__").await.body);
    let others = Bystander::start(&flooded);

    let begun = Instant::now();
    let statuses = send(reader.address, amount() / 2, amount()).await;
    let elapsed = begun.elapsed();

    others.end("query strings").await;
    println!("{} requests in {elapsed:.1?}, by class {statuses:?}", amount());
    let more = series(&reader.get("/__metrics__").await.body);
    assert!(more < lines + 40, "metrics grow with what is asked: {lines} lines, then {more}");
    assert!(statuses[2] > amount() / 2, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_a_megabyte_take_no_memory_and_nobody_s_time() {
    let (flooded, reader) = Flooded::start("heads").await;
    let others = Bystander::start(&flooded);
    let address = reader.address;
    for _ in 0..(amount() / 1_000).max(4) {
        let heads = (0..100).map(|number| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                let name =
                    if number % 2 == 0 { "GET / HTTP/1.1\r\nHost: a\r\nX: " } else { "GET /" };
                let head = [name.as_bytes(), &vec![b'a'; 1 << 20]].concat();
                // The server may have ended it before all is sent.
                let _ = stream.write_all(&head).await;
                let mut answer = Vec::new();
                let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
                let status = String::from_utf8_lossy(answer.get(9..12).unwrap_or_default());
                // Its answer may be lost where the client went on sending.
                assert!(["431", "414", ""].contains(&&*status), "{status}");
            })
        });
        for done in join_all(heads).await {
            done.unwrap();
        }
    }

    others.end("heads").await;
}

/// The open connections, as the reader counts them; this question's own is one.
pub(crate) async fn connections(reader: &Reader) -> usize {
    let text = reader.get("/__metrics__").await.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("countersign_connections "));
    line.unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_closed_and_abandoned_connections_end() {
    let (flooded, reader) = Flooded::start("halves").await;
    let path = changeset("cfr", "_expected=0");
    let whole = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let others = Bystander::start(&flooded);
    let mut kept = Vec::new();
    for number in 0..600 {
        let mut stream = TcpStream::connect(reader.address).await.unwrap();
        match number % 3 {
            // Half a head, and nothing follows.
            0 => stream.write_all(&whole.as_bytes()[..40]).await.unwrap(),
            // Many requests, nothing follows, and no answer is read.
            1 => stream.write_all(whole.repeat(20).as_bytes()).await.unwrap(),
            _ => {}
        }
        if number % 2 == 0 {
            stream.shutdown().await.unwrap();
        }
        kept.push(stream);
    }
    let most = connections(&reader).await;

    // Two seconds are the longest that any of them may take.
    let mut left = most;
    for _ in 0..100 {
        left = connections(&reader).await;
        if left <= 3 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }

    others.end("halves").await;
    println!("{most} connections, then {left}");
    assert!(left <= 3, "{left} of {most} are left");
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_files_are_survived() {
    let limited = |directory: &Path, url: &str| Process::limited(directory, url, 90);
    let (flooded, reader) = Flooded::with("files", "", limited).await;
    let mut kept = Vec::new();
    for _ in 0..400 {
        // The kernel takes those in that the reader cannot.
        let connected = timeout(Duration::from_secs(1), TcpStream::connect(reader.address)).await;
        kept.extend(connected.ok().and_then(Result::ok));
    }
    sleep(Duration::from_secs(1)).await;
    drop(kept);

    // What waited in the kernel's queue is worked off, and all is well again.
    let mut client = Client::connect(reader.address).await;
    let path = changeset("cfr", "_expected=0");
    let served = timeout(Duration::from_secs(10), client.ask(&path, "")).await;
    assert_eq!(served.ok(), Some(200));
    assert!(flooded.process.log().contains("cannot accept a connection"));
    assert!(flooded.process.log().contains("fewer files may be open"), "told at the start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_nobody_reads_stops_nobody() {
    let (_flooded, reader) = Flooded::with("log", "", Process::unread).await;
    let mut client = Client::connect(reader.address).await;
    let metric = async || {
        let text = reader.get("/__metrics__").await.body;
        let text = String::from_utf8_lossy(&text).into_owned();
        let line = text.lines().find_map(|l| l.strip_prefix("countersign_log_lines_dropped "));
        line.unwrap().parse::<f64>().unwrap()
    };
    let mut dropped = 0.0;
    // Each refusal is a line; a pipe has room for some hundred, and the queue for some thousand.
    for number in 0..40_000 {
        let target = format!("/v1/{number}/nothing");
        let asked = client.ask(&target, "");
        let status = timeout(Duration::from_secs(5), asked).await;
        assert_eq!(status.ok(), Some(404), "{number}");
        if number % 1_000 == 0 {
            dropped = metric().await;
            if dropped > 0.0 {
                break;
            }
        }
    }
    assert!(dropped > 0.0, "nothing was lost: this test has lost its point");
    assert_eq!(client.ask(&changeset("cfr", "_expected=0"), "").await, 200);
}
