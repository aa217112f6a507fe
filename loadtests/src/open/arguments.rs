//! The arguments of `open`.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use shared::signature::PublicKey;

use super::{engine::Load, schedule::Process, server::Server};
use crate::{cli::People, failure::Failure};

/// What to try.
#[derive(Debug, Subcommand)]
pub(crate) enum OpenCommand {
    /// Steady polling, as by Firefox: mostly the monitor, and changesets of what is new.
    Fleet(LoadArguments),
    /// The fleet, and in its midst a publication, after which everybody asks for the same new URLs.
    Herd(HerdArguments),
    /// Clients that begin with nothing: a connection, the monitor, and every collection.
    FirstStart(LoadArguments),
    /// Clients that were away for different times.
    Deltas(LoadArguments),
    /// The fleet, alone and then beside clients that read slowly.
    SlowNetwork(SlowArguments),
    /// How long a publication takes from the approval to a client that has verified it.
    Publication(PublicationArguments),
    /// Save what the scenarios ask for as files, and a configuration of nginx that serves them.
    Save(SaveArguments),
    /// Make one HTML report of several results.
    Report(ReportArguments),
}

/// Arguments of a scenario.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArguments {
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    pub(crate) target: String,
    /// Its name in the report.
    #[arg(long, default_value = "countersign")]
    pub(crate) name: String,
    /// Another server that gets the same load afterwards; may be repeated.
    #[arg(long, value_name = "NAME=URL")]
    pub(crate) peer: Vec<String>,
    /// Clients that come in a second, on average. What one asks for may be several requests.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) rate: u32,
    /// Seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) duration: u64,
    /// What draws everything: the same number repeats a run.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How the time between two clients is drawn.
    #[arg(long, value_enum, default_value_t = Process::Poisson)]
    pub(crate) arrivals: Process,
    /// Connections: a client that finds none free waits, and its latency counts that.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    pub(crate) connections: u32,
    /// Seconds that a client waits for an answer.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub(crate) patience: u64,
    /// Connections that are open all the time and ask once: the target is measured without them
    /// first, and then with them.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pub(crate) idle: u32,
    /// The target's process, whose memory is told.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// PEM file with the public key of the target's signatures; without it, the key beside each.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Percent of the target's answers that are verified.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(crate) verify: u32,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Where the result goes, besides the table.
#[derive(Debug, Clone, Args)]
pub(crate) struct Output {
    /// Write the whole result, for machines and for `report`.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write a report with plots.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// Arguments of `herd`.
#[derive(Debug, Args)]
pub(crate) struct HerdArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// How many clients come with the herd.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) clients: u32,
    /// In so many seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) within: u64,
    /// After so many seconds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub(crate) at: u64,
    /// Publish on the writer. Without it, clients ask for what was published last.
    #[arg(long)]
    pub(crate) publish: bool,
    #[command(flatten)]
    pub(crate) people: People,
}

/// Arguments of `slow-network`.
#[derive(Debug, Args)]
pub(crate) struct SlowArguments {
    #[command(flatten)]
    pub(crate) load: LoadArguments,
    /// How many clients read slowly, each on a connection of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=8_192))]
    pub(crate) slow: u32,
    /// How slowly, in bytes a second.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(64..=10_000_000))]
    pub(crate) bytes_per_second: u32,
}

/// Arguments of `publication`.
#[derive(Debug, Args)]
pub(crate) struct PublicationArguments {
    /// The reader.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    pub(crate) target: String,
    /// A cache in front of it, through which the client reads.
    #[arg(long, value_name = "URL")]
    pub(crate) through: Option<String>,
    #[command(flatten)]
    pub(crate) people: People,
    /// How many publications.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rounds: u32,
    /// Pause between two of them, in milliseconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=60_000))]
    pub(crate) pause_ms: u64,
    /// PEM file with the public key; without it, the key beside each signature.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// Arguments of `save`.
#[derive(Debug, Args)]
pub(crate) struct SaveArguments {
    /// The server whose answers are saved.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    pub(crate) target: String,
    /// Where to; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Where nginx shall listen, on loopback.
    #[arg(long)]
    pub(crate) port: u16,
    /// The seed of the runs, which draws what `deltas` asks for.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// Arguments of `report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArguments {
    /// What scenarios wrote with --json, in the order of the report.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) results: Vec<PathBuf>,
    /// The report.
    #[arg(long, value_name = "FILE")]
    pub(crate) html: PathBuf,
    /// A line below its title.
    #[arg(long, default_value = "")]
    pub(crate) note: String,
}

impl LoadArguments {
    /// The target first, then its peers.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] unless all are on loopback.
    pub(crate) fn servers(&self) -> Result<Vec<Arc<Server>>, Failure> {
        let target = Server::new(&self.name, &self.target)?;
        let peers = self.peer.iter().map(|peer| Server::peer(peer));
        std::iter::once(Ok(target)).chain(peers).map(|server| server.map(Arc::new)).collect()
    }

    /// The load.
    pub(crate) fn load(&self) -> Load {
        Load {
            process: self.arrivals,
            rate: f64::from(self.rate),
            length: Duration::from_secs(self.duration),
            seed: self.seed,
            connections: self.connections,
            patience: Duration::from_secs(self.patience),
        }
    }
}

/// The key in a PEM file.
///
/// # Errors
///
/// [`Failure::Usage`] when there is none.
pub(crate) fn read_key(file: Option<&PathBuf>) -> Result<Option<PublicKey>, Failure> {
    let Some(file) = file else { return Ok(None) };
    fs::read(file)
        .map_err(|error| error.to_string())
        .and_then(|pem| PublicKey::from_pem(&pem).map_err(|error| error.to_string()))
        .map(Some)
        .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))
}
