//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
}

/// Who publishes where.
#[derive(Debug, Args)]
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
