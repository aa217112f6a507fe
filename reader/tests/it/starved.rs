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
/// The longest time in which the process must be seen to live, and a publication must be shown: other
/// tests may run beside these.
const PATIENCE: Duration = Duration::from_secs(10);

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

/// What a client of the target asked for, and got.
#[derive(Default)]
struct Polled {
    /// How long each answer took, the shortest first.
    waits: Vec<Duration>,
    /// Statuses other than 200.
    others: Vec<u16>,
}

impl Polled {
    fn add(&mut self, more: Self) {
        self.waits.extend(more.waits);
        self.others.extend(more.others);
        self.waits.sort();
    }

    fn median(&self) -> Duration {
        self.waits[self.waits.len() / 2]
    }

    fn longest(&self) -> Duration {
        *self.waits.last().unwrap()
    }
}

/// Asks again and again until it is over.
async fn poll(
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
    pause: Duration,
    target: impl Fn(usize) -> (String, &'static str),
) -> Polled {
    let (mut client, mut polled) = (Client::connect(address).await, Polled::default());
    while !is_over.load(Ordering::Relaxed) {
        let (path, headers) = target(polled.waits.len());
        let begun = Instant::now();
        let status = timeout(Duration::from_secs(10), client.ask(&path, headers)).await.unwrap();
        polled.waits.push(begun.elapsed());
        if status != 200 {
            polled.others.push(status);
        }
        sleep(pause).await;
    }
    polled.waits.sort();
    polled
}

/// Many at once ask for what nobody has asked for yet: how many got it, and how many were refused.
async fn burst(address: SocketAddr) -> [usize; 2] {
    let ask = |number: i64| async move {
        let path = changeset("cfr", &format!("_expected=0&_since={}", T + number / 2));
        let encoding = if number % 2 == 0 { "gzip" } else { "br" };
        let headers = format!("Accept-Encoding: {encoding}\r\n");
        let mut client = Client::connect(address).await;
        timeout(Duration::from_secs(20), client.ask(&path, &headers)).await.unwrap()
    };
    let statuses = join_all((0..500).map(|number| tokio::spawn(ask(number)))).await;
    let of = |wanted| statuses.iter().filter(|it| *it.as_ref().unwrap() == wanted).count();
    assert_eq!(of(200) + of(503), statuses.len(), "{statuses:?}");
    [of(200), of(503)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_starved_reader_lives_sheds_and_recovers() {
    let cpu = cpu();
    let start = |directory: &_, url: &_| Process::under(&["taskset", "-c", &cpu], directory, url);
    let (flooded, reader) = Flooded::with("starved", "log.level = 'error'\n", start).await;
    let (address, database) = (reader.address, &flooded.database);
    let busy = Busy::start(&cpu);
    let is_over = Arc::new(AtomicBool::new(false));
    let alive = tokio::spawn(poll(address, is_over.clone(), Duration::from_millis(50), |_| {
        ("/__lbheartbeat__".to_owned(), "")
    }));
    let encodings = ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n"];
    let whole = move |round: usize| (changeset("cfr", "_expected=0"), encodings[round % 3]);
    let polls: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(poll(address, is_over.clone(), Duration::ZERO, whole)))
        .collect();

    sleep(LENGTH / 2).await;
    let at = T + 400;
    database.record("cfr", "r7", at, &serde_json::json!({"title": "new"})).await;
    database.collection("cfr", at, &serde_json::json!({}), at).await;
    database.publish(at).await;
    let begun = Instant::now();
    reader.until(&changeset("cfr", "_expected=0"), |got| got.json()["timestamp"] == at).await;
    let shown = begun.elapsed();
    let [given, refused] = burst(address).await;
    sleep(LENGTH / 2).await;
    is_over.store(true, Ordering::Relaxed);
    let (alive, mut polled) = (alive.await.unwrap(), Polled::default());
    for one in join_all(polls).await {
        polled.add(one.unwrap());
    }
    drop(busy);

    println!(
        "starved: {} polls, median {:.1?}, longest {:.1?}; sign of life after {:.1?} at most; a \
         publication after {shown:.1?}; of 500 new deltas at once {given} given, {refused} refused",
        polled.waits.len(),
        polled.median(),
        polled.longest(),
        alive.longest(),
    );
    assert!(alive.others.is_empty() && alive.longest() < PATIENCE, "{:?}", alive.others);
    assert!(polled.others.is_empty(), "what is prepared is never refused: {:?}", polled.others);
    assert!(refused > 0 && shown < PATIENCE, "{refused} {shown:?}");
    recovered(address).await;
}

/// All is well again.
async fn recovered(address: SocketAddr) {
    let is_over = Arc::new(AtomicBool::new(false));
    let again = tokio::spawn(poll(address, is_over.clone(), Duration::from_millis(2), |_| {
        (changeset("cfr", "_expected=0"), "Accept-Encoding: gzip\r\n")
    }));
    sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::Relaxed);
    let polled = again.await.unwrap();
    let median = polled.median();
    println!("recovered: {} polls, median {median:.1?}", polled.waits.len());
    assert!(polled.others.is_empty() && median < Duration::from_millis(50), "{median:?}");
}
