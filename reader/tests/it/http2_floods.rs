//! Floods of frames of HTTP/2: what costs the client nothing must not cost the reader much, nor others
//! anything.
//!
//! As in `flood.rs`, against a reader in a process of its own.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::{io::AsyncWriteExt as _, time::timeout};

use crate::{
    fixture::{Reader, changeset},
    flood::{Bystander, Flooded, amount, connections},
    http2::{HEADERS, Raw, SETTINGS, WINDOW_UPDATE, frame, get, reset},
};

const PRIORITY: u8 = 2;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// The largest frame that a server takes by default.
const LARGEST: usize = 16 * 1024;
/// A connection that only floods is idle: it ends after the 2 s of an idle one, and as long again in
/// which it may say goodbye.
const PATIENCE: Duration = Duration::from_secs(12);

/// Pours frames into a connection until the server ends it.
async fn pour(address: SocketAddr, first: &[u8], frames: &[u8], reads: bool) -> (usize, Duration) {
    let Raw { stream, .. } = Raw::open(address, 65_535).await;
    let (mut from, mut to) = stream.into_split();
    let begun = Instant::now();
    let mut poured = 0;
    let writing = async {
        to.write_all(first).await?;
        loop {
            to.write_all(frames).await?;
            poured += frames.len();
        }
    };
    let ended: Result<std::io::Result<()>, _> = if reads {
        let reading = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
        });
        let ended = timeout(PATIENCE, writing).await;
        reading.abort();
        ended
    } else {
        timeout(PATIENCE, writing).await
    };
    assert!(ended.is_ok(), "still open after {poured} bytes in {:?}", begun.elapsed());
    (poured, begun.elapsed())
}

/// Pours over some connections at once; the most that one took, and the longest that one lasted.
async fn pour_all(
    address: SocketAddr,
    first: &[u8],
    frames: &[u8],
    reads: bool,
) -> (usize, Duration) {
    let count = (amount() / 1_000).clamp(4, 32);
    let all = join_all((0..count).map(|_| pour(address, first, frames, reads))).await;
    let most = all.iter().map(|one| one.0).max().unwrap();
    (most, all.iter().map(|one| one.1).max().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_end_the_connection() {
    let (flooded, reader) = Flooded::start("resets").await;
    let others = Bystander::start(&flooded);
    let path = changeset("cfr", "_expected=0");
    let burst: Vec<u8> = (0..u32::try_from(amount()).unwrap())
        .flat_map(|number| [get(number * 2 + 1, &path), reset(number * 2 + 1)].concat())
        .collect();
    let mut codes = Vec::new();
    for _ in 0..20 {
        let mut connection = Raw::open(reader.address, 65_535).await;
        // The server ends it before all is sent.
        let _ = timeout(Duration::from_secs(10), connection.stream.write_all(&burst)).await;
        connection.rest().await;
        codes.append(&mut connection.goodbyes);
    }

    others.end("resets").await;
    println!("20 x {} resets: {codes:?}", amount());
    // ENHANCE_YOUR_CALM; its frame may be lost with what the client went on sending.
    assert!(codes.iter().all(|code| *code == 11), "{codes:?}");
    assert!(connections(&reader).await <= 2);
}

/// A field that no table knows, which takes the decoder's memory if it is kept.
fn fields(bytes: usize) -> Vec<u8> {
    let field = [&[0, 4][..], b"name", &[100], &[b'v'; 100]].concat();
    field.repeat(bytes / field.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_without_an_end_end_the_connection() {
    let (flooded, reader) = Flooded::start("continuations").await;
    let others = Bystander::start(&flooded);
    // Neither this block nor what follows says that it is whole.
    let block = [&[0x82, 0x86, 4, 1][..], b"/", &fields(200)].concat();
    let first = frame(HEADERS, 1, 1, &block);
    for (what, payload) in [
        ("large", fields(LARGEST)),
        ("small", fields(110)),
        ("empty", Vec::new()),
        // Half a field: the decoder can do nothing but keep it.
        ("half", [&[0, 127, 0xff, 0xff, 0xff, 0x7f][..], &[b'n'; 1_000]].concat()),
    ] {
        let frames = frame(CONTINUATION, 0, 1, &payload).repeat(LARGEST / (payload.len() + 9) + 1);
        for reads in [true, false] {
            let (most, longest) = pour_all(reader.address, &first, &frames, reads).await;
            println!("{what} continuations: ended after {most} bytes at most, {longest:.1?}");
            assert!(longest < Duration::from_secs(2), "{what}: {longest:?}");
        }
    }

    others.end("continuations").await;
    assert!(connections(&reader).await <= 2);
}

/// A reader that has made the forms which take long, and much memory.
async fn polished(name: &str) -> (Flooded, Reader) {
    let (flooded, reader) = Flooded::start(name).await;
    reader.until_encoded(&changeset("cfr", "_expected=0"), "br").await;
    (flooded, reader)
}

/// Frames that ask for nothing but the server's time: a PING and SETTINGS want an answer each.
fn idle_frames() -> [(&'static str, Vec<u8>); 3] {
    [
        ("settings", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0xff, 0xff])),
        ("pings", frame(PING, 0, 0, b"abcdefgh")),
        ("priorities", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 7])),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_pings_and_priorities_without_end_take_no_memory_and_nobody_s_time() {
    let (flooded, reader) = polished("frames").await;
    let others = Bystander::start(&flooded);
    for (what, one) in idle_frames() {
        let frames = one.repeat(1_000);
        // Who reads no answers must not make the server keep them.
        for reads in [true, false] {
            let (most, longest) = pour_all(reader.address, &[], &frames, reads).await;
            println!("{what}, read: {reads}: ended after {most} bytes at most, {longest:.1?}");
        }
    }

    others.end("settings, pings, priorities").await;
    assert!(connections(&reader).await <= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_with_requests_in_it_takes_no_memory_and_nobody_s_time() {
    let (flooded, reader) = polished("between").await;
    let path = changeset("cfr", "_expected=0");
    let others = Bystander::start(&flooded);
    for (what, one) in idle_frames() {
        // It is never idle, and takes what it asks for: it may go on, as long as others do not wait.
        let flood = async |_| {
            let Raw { stream, .. } = Raw::open(reader.address, 1 << 30).await;
            let (mut from, mut to) = stream.into_split();
            let reading = tokio::spawn(async move {
                tokio::io::copy(&mut from, &mut tokio::io::sink()).await.unwrap_or_default()
            });
            to.write_all(&frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes())).await.unwrap();
            let (begun, mut stream, mut sent) = (Instant::now(), 1, 0);
            let frames = one.repeat(1_000);
            while begun.elapsed() < Duration::from_secs(2) {
                let burst = [&frames[..], &get(stream, &path)].concat();
                if to.write_all(&burst).await.is_err() {
                    break;
                }
                (stream, sent) = (stream + 2, sent + 1_000);
            }
            drop(to);
            let received = timeout(PATIENCE, reading).await.unwrap().unwrap();
            (sent, received)
        };
        let all = join_all((0..4).map(flood)).await;
        println!("{what} between requests: {all:?} (frames sent, bytes received)");
    }

    others.end("floods between requests").await;
}
