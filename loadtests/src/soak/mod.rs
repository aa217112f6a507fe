//! `soak`: publications and polls for a long time, every answer believed only when it verifies, and what
//! the servers take meanwhile.

mod bodies;
mod copies;
mod judge;
mod poll;
mod publish;
mod sample;

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use clap::Args;
use shared::signature::PublicKey;
use tokio::task::JoinSet;

use self::{
    copies::Copies,
    poll::Poller,
    publish::Publisher,
    sample::{Observer, Sample},
};
use crate::{cli::People, client::Client, failure::Failure};

/// So many problems are shown.
const SHOWN: usize = 10;
/// Connections of those who poll.
const POLLERS: u32 = 16;

/// Arguments of `soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArguments {
    #[command(flatten)]
    people: People,
    /// The reader.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    reader: String,
    /// PEM file with the public key.
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    /// A process to be watched, as `reader=4711`; may be repeated.
    #[arg(long, value_name = "NAME=PID", required = true, value_parser = watched)]
    watch: Vec<(String, u32)>,
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=1_440))]
    minutes: u64,
    /// Publications a second.
    #[arg(long, default_value_t = 2.0, value_parser = rate)]
    publications: f64,
    /// Polls a second.
    #[arg(long, default_value_t = 300.0, value_parser = rate)]
    polls: f64,
    /// Collections, which are published in turn.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    collections: u32,
    /// Where each sample becomes a line.
    #[arg(long, value_name = "FILE")]
    csv: PathBuf,
}

fn watched(text: &str) -> Result<(String, u32), String> {
    let (name, pid) = text.split_once('=').ok_or("NAME=PID is meant")?;
    Ok((name.to_owned(), pid.parse().map_err(|_| "PID is a number")?))
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a number is meant")?;
    if (0.01..=10_000.0).contains(&rate) { Ok(rate) } else { Err("0.01 to 10000".to_owned()) }
}

/// What all tasks share.
#[derive(Debug)]
struct Soak {
    key: PublicKey,
    end: Instant,
    is_over: AtomicBool,
    copies: Copies,
    polls: AtomicU64,
    verified: AtomicU64,
    publications: AtomicU64,
    problems: Mutex<Problems>,
}

/// What must not happen.
#[derive(Debug, Default)]
struct Problems {
    count: u64,
    shown: Vec<String>,
}

impl Soak {
    fn goes_on(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed) && Instant::now() < self.end
    }

    /// Counts a problem, and tells of the first ones at once: the run goes on for long.
    fn problem(&self, text: String) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.count += 1;
        if problems.shown.len() < SHOWN {
            eprintln!("soak: {text}");
            problems.shown.push(text);
        }
    }
}

/// Publishes, polls and watches until the time is over, then judges.
///
/// # Errors
///
/// [`Failure::Failed`] when an answer was wrong, or a process grew.
pub(crate) async fn run(arguments: &SoakArguments) -> Result<(), Failure> {
    let file = &arguments.public_key;
    let key = fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|pem| PublicKey::from_pem(&pem).map_err(|error| error.to_string()))
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
    let reader = Client::new(&arguments.reader)?;
    let mut publisher = Publisher::open(&arguments.people, arguments.collections).await?;
    let mut observer = Observer::create(&arguments.csv, &arguments.watch, reader.clone())?;
    let copies = Copies::new(publisher.names());
    copies.await_first(&reader).await?;
    println!("soak: {} collections are there", arguments.collections);

    let length = Duration::from_secs(arguments.minutes * 60);
    let soak = Arc::new(Soak {
        key,
        end: Instant::now() + length,
        is_over: AtomicBool::new(false),
        copies,
        polls: AtomicU64::default(),
        verified: AtomicU64::default(),
        publications: AtomicU64::default(),
        problems: Mutex::default(),
    });
    let mut tasks = JoinSet::new();
    let each = Duration::from_secs_f64(f64::from(POLLERS) / arguments.polls);
    for _ in 0..POLLERS {
        let poller = Poller::new(reader.clone(), Arc::clone(&soak));
        tasks.spawn(poller.run(each));
    }
    let (pause, shared) = (Duration::from_secs_f64(1.0 / arguments.publications), soak.clone());
    tasks.spawn(async move { publisher.run(&shared, pause).await });
    let samples = watch(&soak, &mut observer, length).await;
    // Also when a watched process has ended.
    soak.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::failed(error.to_string()))?;
    }
    conclude(&soak, &samples?, arguments)
}

/// A sample each half minute, or as many that quarters can be told from each other.
async fn watch(
    soak: &Soak,
    observer: &mut Observer,
    length: Duration,
) -> Result<Vec<Sample>, Failure> {
    let mut samples = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_secs(30).min(length / 40));
    let begun = Instant::now();
    while soak.goes_on() {
        ticks.tick().await;
        samples.extend(observer.take(soak, begun.elapsed()).await?);
    }
    Ok(samples)
}

fn conclude(soak: &Soak, samples: &[Sample], arguments: &SoakArguments) -> Result<(), Failure> {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let problems = soak.problems.lock().unwrap_or_else(PoisonError::into_inner).count;
    println!(
        "soak: {} min, {} publications, {} polls ({} bodies verified), {problems} problems",
        arguments.minutes,
        of(&soak.publications),
        of(&soak.polls),
        of(&soak.verified),
    );
    let mut faults = Vec::new();
    for (name, _) in &arguments.watch {
        let verdict = judge::judge(name, samples);
        println!("{verdict}");
        if !verdict.is_good() {
            faults.push(format!("the memory of {name} grew"));
        }
    }
    if problems > 0 {
        faults.push(format!("{problems} answers were wrong"));
    }
    if of(&soak.publications) == 0 || of(&soak.verified) == 0 {
        faults.push("nothing was tried".to_owned());
    }
    if faults.is_empty() { Ok(()) } else { Err(Failure::Failed(faults.join("; "))) }
}
