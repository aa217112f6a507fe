//! The scenarios with a load: each on the target, then on its peers, one after another.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::{Duration, Instant},
};

use super::{
    arguments::{HerdArguments, LoadArguments, SlowArguments, read_key},
    catalogue::Catalogue,
    check::Checker,
    engine, herd, idle, mix,
    outcome::Outcome,
    pace::Burst,
    plan::Plan,
    process, report,
    server::Server,
    slow::SlowClients,
};
use crate::failure::Failure;

/// Pause between two runs, so that one does not pay for the other.
const PAUSE: Duration = Duration::from_millis(300);

/// A scenario that is nothing but a plan.
///
/// # Errors
///
/// [`Failure::Failed`] when a server broke a promise.
pub(crate) async fn steady(
    name: &str,
    arguments: &LoadArguments,
    plan_of: impl Fn(&Catalogue, &str) -> Plan,
) -> Result<(), Failure> {
    let mut outcomes = Vec::new();
    let mut ended = Ok(());
    for (number, server) in arguments.servers()?.into_iter().enumerate() {
        let one = one(name, arguments, server, number == 0, &plan_of, &mut outcomes).await;
        // What was measured before is told all the same.
        if one.is_err() {
            ended = one;
            break;
        }
    }
    if outcomes.is_empty() {
        ended
    } else {
        report::deliver(&arguments.output, &outcomes).and(ended)
    }
}

async fn one(
    name: &str,
    arguments: &LoadArguments,
    server: Arc<Server>,
    is_target: bool,
    plan_of: impl Fn(&Catalogue, &str) -> Plan,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Failure> {
    let catalogue = Arc::new(Catalogue::read(&server.client).await?);
    let plan = Arc::new(plan_of(&catalogue, &server.prefix));
    let measured = Measured { arguments, server, catalogue, plan, is_target };
    outcomes.push(measured.run(name).await?);
    if is_target && arguments.idle > 0 {
        outcomes.push(measured.beside_idle(name).await?);
    }
    Ok(())
}

/// The fleet, alone and then beside slow clients.
///
/// # Errors
///
/// As above.
pub(crate) async fn slow_network(arguments: &SlowArguments) -> Result<(), Failure> {
    const NAME: &str = "slow-network";
    let load = &arguments.load;
    let mut outcomes = Vec::new();
    for (number, server) in load.servers()?.into_iter().enumerate() {
        let catalogue = Arc::new(Catalogue::read(&server.client).await?);
        let plan = Arc::new(mix::fleet(&catalogue, &server.prefix));
        let largest = catalogue.collections.iter().max_by_key(|it| it.records.len());
        let path = largest.map(|it| format!("{}?_expected={}", it.path(), it.timestamp));
        let is_target = number == 0;
        let measured = Measured {
            arguments: load,
            server: Arc::clone(&server),
            catalogue: Arc::clone(&catalogue),
            plan,
            is_target,
        };
        let alone = measured.run(NAME).await?;
        let path = path.unwrap_or_default();
        let slow = SlowClients::start(&server, &path, arguments.slow, arguments.bytes_per_second);
        tokio::time::sleep(PAUSE).await;
        let mut beside = measured.run(NAME).await?;
        beside.notes.push(slow.stop().await);
        beside.notes.push(compared("slow clients", &alone, &beside));
        beside.server = format!("{}, {} slow clients", server.name, arguments.slow);
        outcomes.extend([alone, beside]);
    }
    report::deliver(&load.output, &outcomes)
}

/// The fleet, and a publication in its midst.
///
/// # Errors
///
/// As above.
pub(crate) async fn herd(arguments: &HerdArguments) -> Result<(), Failure> {
    let load = &arguments.load;
    let mut outcomes = Vec::new();
    for (number, server) in load.servers()?.into_iter().enumerate() {
        let is_target = number == 0;
        // Only the target has the writer behind it.
        let people = Some(&arguments.people).filter(|_| arguments.publish && is_target);
        let (publisher, catalogue) = super::publication::prepare(people, &server.client).await?;
        let (catalogue, prefix) = (Arc::new(catalogue), server.prefix.clone());
        let plan = Arc::new(mix::fleet(&catalogue, &prefix));
        let (bursts, received) = channel();
        let shape = herd::Herd::new(arguments, Arc::clone(&catalogue), prefix);
        let measured = Measured { arguments: load, server, catalogue, plan, is_target };
        let running = engine::run(measured.job(received)?);
        let (outcome, note) = tokio::try_join!(running, shape.come(publisher, bursts))?;
        let mut outcome = Outcome { scenario: "herd".to_owned(), ..outcome };
        outcome.notes.push(note);
        outcomes.push(outcome);
    }
    report::deliver(&load.output, &outcomes)
}

/// A server, and what it is asked.
struct Measured<'a> {
    arguments: &'a LoadArguments,
    server: Arc<Server>,
    catalogue: Arc<Catalogue>,
    plan: Arc<Plan>,
    /// Only the target's signatures are by the given key, and only its promises count.
    is_target: bool,
}

impl Measured<'_> {
    fn checker(&self) -> Result<Option<Checker>, Failure> {
        if !self.is_target {
            return Ok(None);
        }
        let key = read_key(self.arguments.public_key.as_ref())?;
        Ok(Some(Checker::start(Arc::clone(&self.catalogue), key, self.arguments.verify)))
    }

    fn job(&self, bursts: Receiver<Burst>) -> Result<engine::Job, Failure> {
        Ok(engine::Job {
            server: Arc::clone(&self.server),
            plan: Arc::clone(&self.plan),
            load: self.arguments.load(),
            checker: self.checker()?,
            bursts,
        })
    }

    async fn run(&self, name: &str) -> Result<Outcome, Failure> {
        tokio::time::sleep(PAUSE).await;
        // Nobody sends bursts here.
        let (_, bursts) = channel();
        let outcome = engine::run(self.job(bursts)?);
        let mut outcome = Outcome { scenario: name.to_owned(), ..outcome.await? };
        if let Some(mib) = self.resident() {
            outcome.notes.push(format!("the server's memory after it: {mib:.1} MiB resident"));
        }
        Ok(outcome)
    }

    /// The same once more, beside connections that do nothing.
    async fn beside_idle(&self, name: &str) -> Result<Outcome, Failure> {
        let before = self.resident();
        let begins = Instant::now();
        let idle = idle::open(&self.server, self.arguments.idle).await?;
        let opened = begins.elapsed().as_secs_f64();
        let with = self.resident();
        let mut outcome = self.run(name).await?;
        let open = idle.iter().filter(|connection| connection.is_open()).count();
        outcome.server = format!("{}, {} idle", self.server.name, self.arguments.idle);
        outcome.notes.push(format!(
            "{} idle connections, opened in {opened:.1} s; {open} of them were open at the end",
            idle.len()
        ));
        if let Some((before, with)) = before.zip(with) {
            let more = with - before;
            outcome.notes.push(format!(
                "the server's memory: {before:.1} MiB without, {with:.1} MiB with them: {more:.1} more"
            ));
        }
        Ok(outcome)
    }

    fn resident(&self) -> Option<f64> {
        self.arguments.pid.filter(|_| self.is_target).and_then(process::resident_mib)
    }
}

/// What others made of the latency.
fn compared(others: &str, alone: &Outcome, beside: &Outcome) -> String {
    let [Some(alone), Some(beside)] = [alone, beside].map(|outcome| outcome.rows.first()) else {
        return format!("nothing to compare without and with {others}");
    };
    format!(
        "without and with {others}: p50 {:.2} and {:.2} ms, p99 {:.2} and {:.2} ms",
        alone.p50, beside.p50, alone.p99, beside.p99
    )
}
