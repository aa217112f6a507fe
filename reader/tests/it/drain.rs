//! A reader that leaves while clients poll it: nobody's request is lost.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use reader::server::serve;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    fixture::Reader,
    http2::{Raw, get},
};

const NOWHERE: &str = "postgresql://nobody@127.0.0.1:1/none";
const REQUEST: &str = "GET /v1/ HTTP/1.1\r\nHost: a\r\n\r\n";

/// A server that leaves within a second.
struct Leaving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

async fn leaving() -> Leaving {
    let settings = [("http.drain_seconds", "1"), ("http.grace_seconds", "5")];
    let app = Reader::start(NOWHERE, &settings).await.app();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let limits = app.config.limits.clone();
    let serving = tokio::spawn(async move {
        let stop = async {
            let _ = stopped.await;
        };
        serve(listener, app, limits, None, stop).await.unwrap();
    });
    Leaving { address, stop, serving }
}

/// The head of one answer, whose body is read as well.
async fn answer(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.write_all(REQUEST.as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.split("content-length: ").nth(1).unwrap();
        if body.len() == length.split("\r\n").next().unwrap().parse::<usize>().unwrap() {
            return Ok(head.to_owned());
        }
    }
}

/// Polls, on new connections where it is told to leave, until nobody listens; how often it was told.
async fn poll(address: SocketAddr, answers: Arc<AtomicUsize>) -> usize {
    let mut told = 0;
    while let Ok(mut stream) = TcpStream::connect(address).await {
        loop {
            let head = answer(&mut stream).await.unwrap();
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            answers.fetch_add(1, Ordering::Relaxed);
            sleep(Duration::from_millis(2)).await;
            if head.contains("\r\nconnection: close") {
                told += 1;
                break;
            }
        }
        // Few new connections at once: one that the kernel takes in the very instant in which it
        // closes the listener is lost, whatever we do.
        sleep(Duration::from_millis(10)).await;
    }
    told
}

/// The same over HTTP/2, by a client that knows what GOAWAY means.
async fn poll_http2(address: SocketAddr, answers: Arc<AtomicUsize>) {
    let client =
        Client::builder(TokioExecutor::new()).http2_only(true).build_http::<Empty<Bytes>>();
    loop {
        let uri = format!("http://{address}/v1/").parse().unwrap();
        let got = match client.get(uri).await {
            Ok(got) => got,
            Err(error) if error.is_connect() => return,
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(got.status(), 200);
        got.into_body().collect().await.unwrap();
        answers.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_polls_meanwhile_gets_every_answer() {
    let server = leaving().await;
    let answers = Arc::new(AtomicUsize::new(0));
    let old: Vec<_> = (0..8).map(|_| tokio::spawn(poll(server.address, answers.clone()))).collect();
    let new: Vec<_> =
        (0..4).map(|_| tokio::spawn(poll_http2(server.address, answers.clone()))).collect();
    sleep(Duration::from_millis(500)).await;
    let before = answers.load(Ordering::Relaxed);
    let begun = Instant::now();

    server.stop.send(()).unwrap();
    let told = join_all(old).await;
    for client in join_all(new).await {
        client.unwrap();
    }

    assert!(begun.elapsed() > Duration::from_millis(900), "served to the end of the drain");
    let told: Vec<usize> = told.into_iter().map(Result::unwrap).collect();
    assert!(told.iter().all(|told| *told > 3), "{told:?}: told to leave, each time");
    let during = answers.load(Ordering::Relaxed) - before;
    println!("{before} answers before, {during} during the drain, {told:?} times told");
    timeout(Duration::from_secs(5), server.serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn clients_of_http2_are_told_when_it_begins_or_with_their_first_answer() {
    let server = leaving().await;
    let mut there = Raw::open(server.address, 65_535).await;
    there.send(&get(1, "/v1/")).await;
    there.body(1).await;
    let begun = Instant::now();

    server.stop.send(()).unwrap();
    until_goodbye(&mut there).await;
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());

    let mut late = Raw::open(server.address, 65_535).await;
    late.send(&get(1, "/v1/")).await;
    assert!(!late.body(1).await.is_empty());
    until_goodbye(&mut late).await;
    assert!(begun.elapsed() < Duration::from_millis(950), "{:?}", begun.elapsed());
}

async fn until_goodbye(connection: &mut Raw) {
    while connection.goodbyes.is_empty() {
        assert!(connection.next().await.is_some(), "ended without a word");
    }
    assert_eq!(connection.goodbyes, [0], "no error");
}

#[tokio::test]
async fn who_has_just_connected_may_still_ask_and_who_is_idle_is_left_at_the_end() {
    let server = leaving().await;
    let mut idle = TcpStream::connect(server.address).await.unwrap();
    answer(&mut idle).await.unwrap();
    let begun = Instant::now();
    server.stop.send(()).unwrap();
    sleep(Duration::from_millis(900)).await;
    let mut fresh = TcpStream::connect(server.address).await.unwrap();

    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0, "ended with nothing lost");
    let elapsed = begun.elapsed();
    assert!(elapsed > Duration::from_millis(950), "not before the end of the drain: {elapsed:?}");
    sleep(Duration::from_millis(300)).await;

    let head = answer(&mut fresh).await.unwrap();
    assert!(head.contains("\r\nconnection: close"), "{head}");
    timeout(Duration::from_secs(5), server.serving).await.unwrap().unwrap();
}
