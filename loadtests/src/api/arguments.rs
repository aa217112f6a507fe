//! The arguments of `api`.

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;

use crate::{client::Client, failure::Failure};

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    /// Create records one by one, as fast as the server takes them.
    Create(CreateArguments),
    /// Write the sample records, in batches.
    Import(ImportArguments),
    /// Ask for one URL, again and again.
    Get(GetArguments),
    /// Read a whole list page by page, and check that every object comes exactly once.
    Walk(WalkArguments),
    /// Read and write from many clients; fails on any 5xx, and on any update that was lost.
    ///
    /// Counters are read, and written with `If-Match` one higher; ids are created by several
    /// clients with `If-None-Match: *`. Each counter must end at the number of its successful
    /// writes, and each id must have been created once.
    Mixed(MixedArguments),
    /// Let a new user ask for the default bucket for the first time, many times at once.
    ///
    /// Fails unless every request succeeds, and one bucket with one collection is there then.
    FirstRequests(FirstRequestsArguments),
}

/// Which server is asked, by whom, and how the result is shown.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The server.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8888/v1")]
    pub(crate) server: String,
    /// Who asks.
    #[arg(long, value_name = "USER:PASSWORD", default_value = "load:load")]
    pub(crate) user: String,
    /// Print one JSON object, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}

impl Target {
    /// A client with connections of its own.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] unless the server is on loopback.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.server)?.with_user(&self.user))
    }
}

/// How many ask, and for how long.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Duration {
    /// How many connections ask at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) connections: u32,
    /// For how long.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// How records are created.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Creation {
    /// To the list: the server chooses the id.
    Post,
    /// To an id of our own.
    Put,
}

impl Creation {
    /// The method's name in the protocol.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
        }
    }
}

/// A collection, which is created if it is not there.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The bucket.
    #[arg(long, value_name = "ID", default_value = "load")]
    pub(crate) bucket: String,
    /// The collection.
    #[arg(long, value_name = "ID")]
    pub(crate) collection: String,
}

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(flatten)]
    pub(crate) duration: Duration,
    /// How.
    #[arg(long, value_enum, default_value_t = Creation::Post)]
    pub(crate) method: Creation,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) place: Place,
    /// The number of the first sample record; its id tells it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) first: u64,
    /// How many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) records: u64,
    /// Requests in a batch; by default, as many as the server allows.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: Option<u32>,
    /// How many batches are on their way at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) connections: u32,
}

/// Arguments of `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    /// What to ask for, below the URL of the server: `/buckets/load/collections/c/records?_limit=20`.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: String,
    /// Ask for the headers only, as for a count.
    #[arg(long)]
    pub(crate) head: bool,
    #[command(flatten)]
    pub(crate) duration: Duration,
}

/// Arguments of `walk`.
#[derive(Debug, Args)]
pub(crate) struct WalkArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The list, perhaps filtered and sorted, below the URL of the server.
    #[arg(long, value_name = "PATH")]
    pub(crate) path: String,
    /// Objects on a page.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u32,
    /// How many objects there must be.
    #[arg(long, value_name = "N")]
    pub(crate) expect: Option<usize>,
}

/// Arguments of `mixed`.
#[derive(Debug, Args)]
pub(crate) struct MixedArguments {
    #[command(flatten)]
    pub(crate) target: Target,
    /// How many clients, with a connection each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) clients: u32,
    /// For how long.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
}

/// Arguments of `first-requests`.
#[derive(Debug, Args)]
pub(crate) struct FirstRequestsArguments {
    /// The server; it must have the default bucket switched on.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8888/v1")]
    pub(crate) server: String,
    /// How many requests at once, with a connection each.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(2..=256))]
    pub(crate) clients: u32,
    /// Print one JSON object, for machines.
    #[arg(long)]
    pub(crate) json: bool,
}
