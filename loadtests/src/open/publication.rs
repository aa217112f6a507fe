//! `publication`: how long it takes from the approval to a client that has verified what is new.

use std::time::{Duration, Instant};

use shared::signature::PublicKey;

use super::{
    arguments::{PublicationArguments, read_key},
    catalogue::{Catalogue, Published},
    histogram::{Latency, as_float},
    outcome::{Outcome, Row},
    publisher::{self, Publisher},
    report, trust,
};
use crate::{client::Client, failure::Failure};

/// What the figures mean.
const NOTE: &str = "all from the moment when the approval is sent, one after the other; through the \
    cache as clients that push has told of the new version";

/// Where a publication has arrived, each from the moment when the reviewer approves.
#[derive(Debug)]
struct Stages {
    /// The writer has answered.
    approved: Latency,
    /// The reader lists it.
    listed: Latency,
    /// A client of the reader has verified it.
    verified: Latency,
    /// The cache lists it.
    listed_through: Latency,
    /// A client of the cache has verified it.
    verified_through: Latency,
}

/// Publishes, and watches.
///
/// # Errors
///
/// [`Failure::Failed`] when a publication did not arrive, or was not what was signed.
pub(crate) async fn run(arguments: &PublicationArguments) -> Result<(), Failure> {
    let key = read_key(arguments.public_key.as_ref())?;
    let reader = Client::new(&arguments.target)?;
    let cache = arguments.through.as_deref().map(Client::new).transpose()?;
    let publisher = Publisher::open(&arguments.people, &reader).await?;
    let mut stages = Stages::new()?;
    let begins = Instant::now();
    for round in 1..=arguments.rounds {
        tokio::time::sleep(Duration::from_millis(arguments.pause_ms)).await;
        let round = usize::try_from(round).unwrap_or(1);
        stages.measure(&publisher, round, &reader, cache.as_ref(), key.as_ref()).await?;
    }
    let seconds = begins.elapsed().as_secs_f64();
    let outcome = stages.outcome(arguments, seconds);
    report::deliver(&arguments.output, &[outcome])
}

impl Stages {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            approved: Latency::new(3)?,
            listed: Latency::new(3)?,
            verified: Latency::new(3)?,
            listed_through: Latency::new(3)?,
            verified_through: Latency::new(3)?,
        })
    }

    async fn measure(
        &mut self,
        publisher: &Publisher,
        round: usize,
        reader: &Client,
        cache: Option<&Client>,
        key: Option<&PublicKey>,
    ) -> Result<(), Failure> {
        let before = publisher::newest(reader).await?;
        publisher.propose(round).await?;
        let begins = Instant::now();
        let approve = async {
            publisher.approve().await?;
            Ok::<_, Failure>(begins.elapsed())
        };
        let arrive = async {
            let now = publisher.seen_at(reader, before).await?;
            self.listed.record(begins.elapsed());
            fetch(reader, now, key).await?;
            self.verified.record(begins.elapsed());
            if let Some(cache) = cache {
                publisher::told(cache, now).await?;
                self.listed_through.record(begins.elapsed());
                fetch(cache, now, key).await?;
                self.verified_through.record(begins.elapsed());
            }
            Ok(())
        };
        let (approved, ()) = tokio::try_join!(approve, arrive)?;
        self.approved.record(approved);
        Ok(())
    }

    fn outcome(&self, arguments: &PublicationArguments, seconds: f64) -> Outcome {
        let stages = [
            ("approval answered", &self.approved),
            ("listed by the reader", &self.listed),
            ("verified from the reader", &self.verified),
            ("listed through the cache", &self.listed_through),
            ("verified through the cache", &self.verified_through),
        ];
        let rows: Vec<Row> = stages
            .into_iter()
            .filter(|(_, latency)| latency.count() > 0)
            .map(|(name, latency)| Row::new(name, latency))
            .collect();
        let has_cache = self.verified_through.count() > 0;
        let last = if has_cache { &self.verified_through } else { &self.verified };
        Outcome {
            scenario: "publication".to_owned(),
            server: "countersign".to_owned(),
            rate: f64::from(arguments.rounds) / seconds,
            seconds,
            arrivals: u64::from(arguments.rounds),
            answered: u64::from(arguments.rounds),
            throughput: as_float(last.count()) / seconds,
            rows,
            curve: last.curve(),
            checks: super::outcome::Checks {
                verified: self.verified.count() + self.verified_through.count(),
                ..super::outcome::Checks::default()
            },
            notes: vec![NOTE.to_owned()],
            ..Outcome::default()
        }
    }
}

/// Fetches what is new, and believes it, as a client does.
async fn fetch(server: &Client, now: i64, key: Option<&PublicKey>) -> Result<(), Failure> {
    let path = format!("{}/changeset?_expected={now}", Publisher::path());
    let changeset = server.get_json(&path).await?;
    let wrong = |text: String| Failure::Failed(format!("{}{path}: {text}", server.base()));
    let timestamp = changeset["timestamp"].as_i64().unwrap_or_default();
    if timestamp < now {
        return Err(wrong(format!("{timestamp} came, {now} is listed")));
    }
    let (bucket, id) = Publisher::name();
    let nothing = Published {
        bucket: bucket.to_owned(),
        id: id.to_owned(),
        timestamp: 0,
        records: Vec::new(),
        times: Vec::new(),
    };
    trust::verify(&nothing, 0, timestamp, &changeset, key).map_err(wrong)
}

/// The state before a herd, and a publisher, when there is to be a publication.
///
/// # Errors
///
/// [`Failure`] when the servers refuse.
pub(crate) async fn prepare(
    people: Option<&crate::cli::People>,
    reader: &Client,
) -> Result<(Option<Publisher>, Catalogue), Failure> {
    let publisher = match people {
        Some(people) => Some(Publisher::open(people, reader).await?),
        None => None,
    };
    Ok((publisher, Catalogue::read(reader).await?))
}
