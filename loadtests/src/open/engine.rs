//! A run: clients arrive by the schedule, and connections serve them.

use std::{
    sync::{Arc, mpsc::Receiver},
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Builder, task::JoinSet};

use super::{
    check::{Checker, Sample},
    connection::{Connection, Trouble},
    outcome::Outcome,
    pace::{self, Burst},
    plan::{Call, Plan},
    process,
    queue::{Arrival, Queue},
    record::Recorder,
    schedule::{Process, Schedule},
    server::Server,
};
use crate::failure::Failure;

/// Time to open the connections before the first client comes, in which nothing else is done.
const LEAD: Duration = Duration::from_millis(100);

/// How many clients come, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// How the time between two is drawn.
    pub(crate) process: Process,
    /// Clients a second, more than zero.
    pub(crate) rate: f64,
    /// For how long.
    pub(crate) length: Duration,
    /// What draws everything.
    pub(crate) seed: u64,
    /// Connections that they share.
    pub(crate) connections: u32,
    /// How long one waits for an answer, and for how long those are served that are there at the end.
    pub(crate) patience: Duration,
}

/// What is run.
pub(crate) struct Job {
    /// Against which server.
    pub(crate) server: Arc<Server>,
    /// What clients ask for.
    pub(crate) plan: Arc<Plan>,
    /// How many come.
    pub(crate) load: Load,
    /// Who checks some of the answers.
    pub(crate) checker: Option<Checker>,
    /// More of them, sent while it runs.
    pub(crate) bursts: Receiver<Burst>,
}

/// What workers share.
struct Run {
    server: Arc<Server>,
    queue: Queue,
    recorder: Recorder,
    checker: Option<Checker>,
    patience: Duration,
    /// Nobody is served after this.
    closes: Instant,
}

/// Runs on two threads of its own: one keeps the schedule, one does all requests, because the server
/// needs the machine more than we do. Bursts may be sent while it runs.
///
/// # Errors
///
/// [`Failure::Unavailable`] when no connection could be opened at all.
pub(crate) async fn run(job: Job) -> Result<Outcome, Failure> {
    if job.plan.is_empty() {
        return Err(Failure::failed("there is nothing to ask for"));
    }
    tokio::task::spawn_blocking(move || run_here(job))
        .await
        .map_err(|error| Failure::failed(error.to_string()))?
}

fn run_here(job: Job) -> Result<Outcome, Failure> {
    let Job { server, plan, load, checker, bursts } = job;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(error.to_string()))?;
    let is_fresh = plan.is_fresh;
    let connections = runtime.block_on(open(&server, &load, is_fresh))?;
    let begins = Instant::now() + LEAD;
    let ends = begins + load.length;
    let run = Arc::new(Run {
        queue: Queue::new(),
        recorder: Recorder::new(begins)?,
        checker,
        patience: load.patience,
        closes: ends + load.patience,
        server,
    });
    for _ in connections.iter().flatten() {
        run.recorder.connected();
    }
    let pacer = {
        let run = Arc::clone(&run);
        let schedule = Schedule::new(load.process, load.rate, load.length, load.seed);
        let workers = connections.len();
        let base = Burst { begins, plan, schedule };
        thread::spawn(move || {
            pace::run(base, &bursts, ends, load.seed, &run.queue, &run.recorder);
            run.queue.end(workers);
        })
    };
    let cpu = process::cpu_seconds();
    runtime.block_on(serve_all(&run, connections));
    let cpu = process::cpu_seconds() - cpu;
    let elapsed = begins.elapsed().max(load.length).as_secs_f64();
    pacer.join().map_err(|_| Failure::failed("the schedule's thread failed"))?;
    // The workers' tasks, which had the other references, are gone.
    drop(runtime);
    let run = Arc::into_inner(run).ok_or_else(|| Failure::failed("a worker is still there"))?;
    let mut outcome = Outcome {
        server: run.server.name.clone(),
        rate: load.rate,
        seconds: load.length.as_secs_f64(),
        seed: load.seed,
        connections: load.connections,
        ..Outcome::default()
    };
    outcome.fill(&run.recorder.finish(), elapsed);
    outcome.pace.cpu_percent = cpu / elapsed * 100.0;
    if let Some(checker) = run.checker {
        outcome.checks = checker.finish();
    }
    Ok(outcome)
}

/// The connections that clients share. Fresh clients bring their own.
async fn open(
    server: &Server,
    load: &Load,
    is_fresh: bool,
) -> Result<Vec<Option<Connection>>, Failure> {
    let mut connections = Vec::new();
    let mut is_reachable = false;
    for number in 0..load.connections {
        // One of them tells whether anybody is there.
        let connection = if is_fresh && number > 0 {
            None
        } else {
            Connection::open(server, load.patience).await.ok()
        };
        is_reachable |= connection.is_some();
        connections.push(connection.filter(|_| !is_fresh));
    }
    if is_reachable {
        Ok(connections)
    } else {
        Err(Failure::Unavailable(format!("{} does not accept connections", server.client.base())))
    }
}

async fn serve_all(run: &Arc<Run>, connections: Vec<Option<Connection>>) {
    let mut workers = JoinSet::new();
    for connection in connections {
        let run = Arc::clone(run);
        workers.spawn(Worker { run, connection }.work());
    }
    while workers.join_next().await.is_some() {}
}

/// Serves one client after another.
struct Worker {
    run: Arc<Run>,
    connection: Option<Connection>,
}

impl Worker {
    async fn work(mut self) {
        while let Some(arrival) = self.run.queue.take().await {
            self.serve(&arrival).await;
        }
    }

    async fn serve(&mut self, arrival: &Arrival) {
        let run = Arc::clone(&self.run);
        let mut intended = arrival.intended;
        let mut calls = arrival.plan.calls_of(arrival.visit);
        let now = Instant::now();
        if now >= run.closes {
            if let Some(call) = calls.next() {
                run.recorder.abandoned(call.kind, intended);
            }
            return;
        }
        run.recorder.started(arrival.is_queued, now.saturating_duration_since(intended));
        if arrival.plan.is_fresh {
            self.connection = None;
        }
        let is_long = calls.len() > 1;
        for call in calls {
            if !self.call(call, intended).await {
                return;
            }
            // What comes next, the client asks for when it has read the answer before.
            intended = Instant::now();
        }
        if is_long {
            run.recorder.visited(arrival.intended.elapsed());
        }
    }

    /// Makes a call; false when there was no good answer.
    async fn call(&mut self, call: &Call, intended: Instant) -> bool {
        let run = Arc::clone(&self.run);
        let checker = run.checker.as_ref().filter(|checker| checker.wants_next());
        let sent = Instant::now();
        let received = self.exchange(call, checker.is_some()).await;
        let came = Instant::now();
        let answer = match received {
            Ok(answer) => answer,
            Err(trouble) => {
                self.connection = None;
                run.recorder.failed(call.kind, [intended, came], trouble);
                return false;
            }
        };
        run.recorder.answered(call.kind, [intended, came], answer.status, answer.bytes);
        let body = answer.body.filter(|_| answer.status == 200);
        if let Some((checker, body)) = checker.zip(body) {
            let is_gzip = answer.is_gzip;
            checker.take(Sample { call: call.clone(), sent, came, body, is_gzip });
        }
        answer.status < 400
    }

    async fn exchange(
        &mut self,
        call: &Call,
        is_kept: bool,
    ) -> Result<super::connection::Received, Trouble> {
        let run = &self.run;
        if self.connection.as_ref().is_none_or(|connection| !connection.is_open()) {
            self.connection = None;
            self.connection = Some(Connection::open(&run.server, run.patience).await?);
            run.recorder.connected();
        }
        let connection = self.connection.as_mut().ok_or(Trouble::Connect)?;
        connection.ask(&run.server, call, is_kept, run.patience).await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        sync::mpsc::channel,
    };

    use super::*;
    use crate::open::plan::Kind;

    /// Answers every request at once, but for a time in which it does nothing at all.
    fn stalling_server(stall: [Duration; 2]) -> Arc<Server> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let begins = Instant::now();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || answer_all(&stream, begins, stall));
            }
        });
        Arc::new(Server::new("slow", &base).unwrap())
    }

    fn answer_all(mut stream: &TcpStream, begins: Instant, [from, until]: [Duration; 2]) {
        let mut request = [0; 4_096];
        while stream.read(&mut request).is_ok_and(|count| count > 0) {
            let now = begins.elapsed();
            if now >= from {
                thread::sleep(until.saturating_sub(now));
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }

    fn job(server: Arc<Server>, load: Load, bursts: Receiver<Burst>) -> Job {
        Job { server, plan: one_call(), load, checker: None, bursts }
    }

    fn one_call() -> Arc<Plan> {
        let mut plan = Plan::new("/v1");
        let call = plan.call("/x".to_owned(), Kind::Monitor, None, [0, 0]);
        plan.visit(1.0, [call]);
        Arc::new(plan)
    }

    fn load(rate: f64, seconds: u64, connections: u32) -> Load {
        Load {
            process: Process::Constant,
            rate,
            length: Duration::from_secs(seconds),
            seed: 1,
            connections,
            patience: Duration::from_secs(5),
        }
    }

    /// Half a second of three is 17 % of the clients, of whom the first waits 500 ms. A closed loop
    /// would have sent one request in that time, and seen a p99 of a millisecond.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_stall_is_the_latency_of_all_who_came_meanwhile() {
        let millis = Duration::from_millis;
        let server = stalling_server([millis(1_500), millis(2_000)]);
        let (_bursts, received) = channel();
        let outcome = run(job(server, load(200.0, 3, 1), received)).await.unwrap();

        let all = &outcome.rows[0];
        assert_eq!((outcome.arrivals, all.count, outcome.failed), (600, 600, 0));
        assert!((400.0..900.0).contains(&all.p99), "{all:?}");
        assert!((200.0..900.0).contains(&all.p90), "the first tenth: {all:?}");
        assert!(all.p50 < 100.0, "{all:?}");
        assert!(outcome.pace.queued >= 60, "{:?}", outcome.pace);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_never_served_is_counted_and_waited() {
        let forever = Duration::from_hours(1);
        let server = stalling_server([Duration::ZERO, forever]);
        let (_bursts, received) = channel();
        let mut load = load(50.0, 1, 1);
        load.patience = Duration::from_millis(700);
        let outcome = run(job(server, load, received)).await.unwrap();

        assert_eq!(outcome.rows[0].count, 50, "{outcome:?}");
        assert_eq!(
            outcome.answers.get("timeout").copied().unwrap_or(0) + outcome.pace.abandoned,
            50
        );
        assert!(outcome.pace.abandoned > 0);
        assert!(outcome.rows[0].p50 > 500.0, "{:?}", outcome.rows);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_burst_comes_on_top() {
        let server = stalling_server([Duration::from_mins(1); 2]);
        let (bursts, received) = channel();
        let begins = Instant::now() + Duration::from_millis(500);
        let length = Duration::from_millis(500);
        let schedule = Schedule::new(Process::Constant, 100.0, length, 1);
        bursts.send(Burst { begins, plan: one_call(), schedule }).unwrap();
        let outcome = run(job(server, load(50.0, 2, 4), received)).await.unwrap();

        assert_eq!((outcome.arrivals, outcome.answered), (150, 150), "{outcome:?}");
        assert!(outcome.timeline[0].offered > 75, "{:?}", outcome.timeline);
    }

    #[tokio::test]
    async fn nobody_there_is_told() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = Arc::new(Server::new("x", &format!("http://{free}/v1")).unwrap());
        let (_bursts, received) = channel();
        let failure = run(job(server, load(1.0, 1, 2), received)).await.unwrap_err();
        assert_eq!(failure.exit_code(), 69);
    }
}
