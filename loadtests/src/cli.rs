//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{api::ApiCommand, open::OpenCommand, soak::SoakArguments};

/// Seeding, load, races and crash drills.
///
/// Talks to writers and readers on this machine's loopback only, within bounds of count and time.
#[derive(Debug, Parser)]
#[command(name = "countersign-load", version, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done, and every promise was kept; 1 a server refused, or \
    a promise was broken; 2 wrong usage; 69 a server does not answer.";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Import collections from files and publish them; those that have records stay as they are.
    Seed(SeedArguments),
    /// Write to one collection from many clients, and check that a polling client misses nothing.
    ///
    /// Fails on any 409 or 5xx, on timestamps that repeat or go back, and when the copy of the
    /// client that polls with `_since` differs from the whole list, tombstones included.
    Race(RaceArguments),
    /// Publish collections at the same time, and check that the monitor hides none of it.
    PublishRace(PublishRaceArguments),
    /// Poll a reader until SIGTERM, and check each changeset's signature.
    ///
    /// Fails on any answer but 200, on a signature that is not by the key, and on timestamps that
    /// go back.
    Watch(WatchArguments),
    /// Poll as a fleet of browsers does, in every spelling of the same requests, through a cache.
    ///
    /// Fails on any answer but 200, on a body that does not verify, and on one that is older than
    /// what the monitor had promised.
    Fleet(FleetArguments),
    /// Pass TCP connections on, and misbehave as lines of the standard input say.
    ///
    /// `pass`, `delay MS` (of what clients send), `hole` (nothing passes), `limit BYTES` (a second, to
    /// clients), `cut` (what is open), `close` (cut, and accept no more).
    Proxy(ProxyArguments),
    /// Measure Kinto's HTTP API, and check its promises under load.
    ///
    /// Only the public protocol is used, so that the same commands measure other servers of it.
    Api {
        /// What to measure.
        #[command(subcommand)]
        command: ApiCommand,
    },
    /// Let clients come as they come, whether the server is ready or not, and measure what they see.
    ///
    /// Fails when a body is not what was signed, or a timestamp goes back.
    Open {
        /// Which scenario.
        #[command(subcommand)]
        command: OpenCommand,
    },
    /// Publish and poll for a long time, verify every answer, and watch what the servers take.
    ///
    /// Fails on any answer but 200, on what does not verify, on timestamps that go back, and when the
    /// memory of a watched process in the last quarter of the time is more than 10 %, or 10 MiB, above
    /// that in the second quarter (4 MiB are no growth).
    Soak(SoakArguments),
    /// Measure signing and verifying by themselves: medians in microseconds, without a server.
    Primitives(PrimitivesArguments),
    /// Serve one answer, whatever is asked, with the system calls of a reader and nothing else.
    ///
    /// What it reaches is the most that a server can reach here: it shows what a measurement leaves open.
    Bare(BareArguments),
    /// Steps of the crash drills, which deploy/dev/drill.sh puts together.
    Drill {
        /// Which step.
        #[command(subcommand)]
        command: DrillCommand,
    },
}

/// Steps of the crash drills.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Write records in one batch; ends with 69 when the writer dies before it answers.
    Batch {
        #[command(flatten)]
        people: People,
        /// A source collection; created by `propose`.
        #[arg(long, value_name = "COLLECTION")]
        collection: String,
        /// How many; the writer must allow as many in a batch.
        #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
    },
    /// Write the records of a round, and ask for review.
    Propose(Round),
    /// Approve; ends with 69 when the writer dies, and 1 when it refuses.
    Approve(Round),
    /// After a crash while a round was approved: check that all of it happened, or nothing.
    CheckApproval {
        #[command(flatten)]
        round: Round,
        /// The reader.
        #[arg(long, value_name = "URL")]
        reader: String,
        /// The approval was answered with success: it must be there.
        #[arg(long)]
        acknowledged: bool,
    },
}

/// One round of a drill.
#[derive(Debug, Args)]
pub(crate) struct Round {
    #[command(flatten)]
    pub(crate) people: People,
    /// The collection.
    #[arg(long, value_name = "COLLECTION")]
    pub(crate) collection: String,
    /// Its number, which every record then carries.
    #[arg(long = "round", value_name = "N")]
    pub(crate) number: i64,
    /// How many records the collection has.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) records: u32,
}

/// Arguments of `race`.
#[derive(Debug, Args)]
pub(crate) struct RaceArguments {
    /// The writer.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8888/v1")]
    pub(crate) writer: String,
    /// How many clients write at the same time.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// For how long.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// Arguments of `publish-race`.
#[derive(Debug, Args)]
pub(crate) struct PublishRaceArguments {
    #[command(flatten)]
    pub(crate) people: People,
    /// The reader.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    pub(crate) reader: String,
    /// How many collections are published at the same time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) collections: u32,
    /// For how long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// Arguments of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchArguments {
    /// The reader.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8889/v1")]
    pub(crate) reader: String,
    /// PEM file with the public key.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
    /// A published collection to poll, as `main/regions`; may be repeated.
    #[arg(long, value_name = "BUCKET/COLLECTION", required = true)]
    pub(crate) collection: Vec<String>,
    /// Pause between two polls.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(crate) every_ms: u64,
    /// Longest time.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
}

/// Arguments of `proxy`.
#[derive(Debug, Args)]
pub(crate) struct ProxyArguments {
    /// Port of the loopback to listen on; 0: a free one, which is printed.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Where connections lead: 127.0.0.1:PORT, or the path of a socket.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) to: String,
}

/// Arguments of `fleet`.
#[derive(Debug, Args)]
pub(crate) struct FleetArguments {
    /// The cache.
    #[arg(long, value_name = "URL")]
    pub(crate) cache: String,
    /// PEM file with the public key.
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: PathBuf,
    /// How many clients poll, each as fast as it is answered.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// For how long.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// Who publishes where.
#[derive(Debug, Clone, Args)]
pub(crate) struct People {
    /// The writer.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8888/v1")]
    pub(crate) writer: String,
    /// Who edits and asks for review.
    #[arg(long, value_name = "USER:PASSWORD", default_value = "editor:editor")]
    pub(crate) editor: String,
    /// Who approves; somebody else.
    #[arg(long, value_name = "USER:PASSWORD", default_value = "reviewer:reviewer")]
    pub(crate) reviewer: String,
}

/// Arguments of `primitives`.
#[derive(Debug, Args)]
pub(crate) struct PrimitivesArguments {
    /// The private key, PKCS#8 in PEM, as `countersign-writer pki` makes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Its certificate chain.
    #[arg(long, value_name = "FILE")]
    pub(crate) chain: PathBuf,
    /// How many records of 250 bytes are signed.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) records: u32,
    /// How often each step is done.
    #[arg(long, default_value_t = 21, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// Write records.json and document.json there, for others to do the same.
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
}

/// Arguments of `bare`.
#[derive(Debug, Args)]
pub(crate) struct BareArguments {
    /// Port of the loopback to listen on.
    #[arg(long)]
    pub(crate) port: u16,
    /// File with the status line and the headers, up to the empty line.
    #[arg(long, value_name = "FILE")]
    pub(crate) head: PathBuf,
    /// File with the body.
    #[arg(long, value_name = "FILE")]
    pub(crate) body: PathBuf,
}

/// Arguments of `seed`.
#[derive(Debug, Args)]
pub(crate) struct SeedArguments {
    #[command(flatten)]
    pub(crate) people: People,
    /// Directory with one `{collection}.json` each: `{"data": [records], "timestamp": …}`.
    #[arg(long, value_name = "DIR", default_value = "data/main")]
    pub(crate) data: PathBuf,
    /// Only this collection; may be repeated.
    #[arg(long, value_name = "COLLECTION")]
    pub(crate) only: Vec<String>,
    /// Print one JSON object a line, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}
