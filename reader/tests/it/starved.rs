//! A reader that gets little of a CPU: it says that it lives, answers late or refuses, and is well again
//! when it gets more.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use crate::{
    fixture::changeset,
    flood::{Client, Flooded, T},
    process::Process,
};

/// Processes beside the reader on its CPU.
const BUSY: usize = 8;
/// Clients that ask without a pause.
const CLIENTS: usize = 32;
/// How long that lasts.
const LENGTH: Duration = Duration::from_secs(3);

/// A CPU on which this process may run.
fn cpu() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
    list.trim().split([',', '-']).next().unwrap().to_owned()
}

/// Processes that use all of a CPU; they end with the value.
struct Busy(Vec<Child>);

impl Busy {
    fn start(cpu: &str) -> Self {
        let one = |_| {
            let mut command = Command::new("taskset");
            command.args(["-c", cpu, "sh", "-c", "while :; do :; done"]).spawn().unwrap()
        };
        Self((0..BUSY).map(one).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks again and again until it is over: how long each answer took, and those other than 200.
async fn poll(
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    pause: Duration,
    target: impl Fn(usize) -> (String, &'static str),
) -> (Vec<Duration>, Vec<u16>) {
    let (mut client, mut waits, mut others) = (Client::connect(address).await, vec![], vec![]);
    while !is_over.load(Ordering::Relaxed) {
        let (path, headers) = target(waits.len());
        let begun = Instant::now();
        let status = timeout(Duration::from_secs(10), client.ask(&path, headers)).await.unwrap();
        waits.push(begun.elapsed());
        if status != 200 {
            others.push(status);
        }
        sleep(pause).await;
    }
    waits.sort();
    (waits, others)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starved_reader_lives_sheds_and_recovers() {
    let cpu = cpu();
    let (flooded, reader) =
        Flooded::with("starved", "log.level = 'error'\n", |directory: &_, url: &_| {
            Process::under(&["taskset", "-c", &cpu], directory, url)
        })
        .await;
    let address = reader.address;
    let busy = Busy::start(&cpu);
    let is_over = Arc::new(AtomicBool::new(false));
    let alive = tokio::spawn(poll(address, is_over.clone(), Duration::from_millis(50), |_| {
        ("/__lbheartbeat__".to_owned(), "")
    }));
    let polls = (0..CLIENTS).map(|client| {
        let encodings = ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n"];
        tokio::spawn(poll(address, is_over.clone(), Duration::ZERO, move |round| {
            // Every other one is a delta, most of which nobody has asked for yet.
            let number = i64::try_from(round * CLIENTS + client).unwrap();
            let since = format!("_expected=0&_since={}", T + number * 7 % 300);
            let query = if number % 2 == 0 { "_expected=0" } else { &since };
            (changeset("cfr", query), encodings[round % 3])
        }))
    });
    let polls: Vec<_> = polls.collect();

    sleep(LENGTH / 3).await;
    let at = T + 400;
    flooded.database.record("cfr", "r7", at, &serde_json::json!({"title": "new"})).await;
    flooded.database.collection("cfr", at, &serde_json::json!({}), at).await;
    flooded.database.publish(at).await;
    let begun = Instant::now();
    reader.until(&changeset("cfr", "_expected=0"), |got| got.json()["timestamp"] == at).await;
    let shown = begun.elapsed();
    sleep(LENGTH / 3 * 2).await;
    is_over.store(true, Ordering::Relaxed);
    let (signs, not_alive) = alive.await.unwrap();
    let (mut waits, mut refused) = (vec![], vec![]);
    for one in join_all(polls).await {
        let (mut some, mut others) = one.unwrap();
        waits.append(&mut some);
        refused.append(&mut others);
    }
    drop(busy);
    waits.sort();

    let (middle, last) = (waits[waits.len() / 2], *waits.last().unwrap());
    let slowest = *signs.last().unwrap();
    println!(
        "starved: {} answers, {} of them refusals; median {middle:.1?}, longest {last:.1?}; sign of \
         life after {slowest:.1?} at most; a publication after {shown:.1?}",
        waits.len(),
        refused.len()
    );
    assert!(not_alive.is_empty() && slowest < Duration::from_secs(3), "{not_alive:?} {slowest:?}");
    assert!(refused.iter().all(|status| *status == 503), "{refused:?}");
    assert!(shown < Duration::from_secs(10), "{shown:?}");

    let is_over = Arc::new(AtomicBool::new(false));
    let again = tokio::spawn(poll(address, is_over.clone(), Duration::from_millis(2), |_| {
        (changeset("cfr", "_expected=0"), "Accept-Encoding: gzip\r\n")
    }));
    sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::Relaxed);
    let (waits, refused) = again.await.unwrap();
    let middle = waits[waits.len() / 2];
    println!("recovered: {} polls, median {middle:.1?}", waits.len());
    assert!(refused.is_empty() && middle < Duration::from_millis(50), "{refused:?} {middle:?}");
}
