//! `countersign-writer outbox`: what waits to be delivered, and what was given up.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use shared::{
    console::{complain, print},
    error::ApiError,
};
use writer::{
    app::App,
    config::Config,
    store::outbox::{self, Shown},
};

use crate::{Failure, check_schema, layers};

/// Most entries that are listed.
const MOST: i64 = 10_000;

#[derive(Subcommand)]
pub(crate) enum OutboxCommand {
    /// Print what waits, oldest first: a line each, or JSON.
    List {
        /// Only what was given up.
        #[arg(long)]
        dead: bool,
        /// A JSON object a line, with what is sent.
        #[arg(long)]
        json: bool,
    },
    /// Deliver again, as if it were new.
    Retry(Which),
    /// Erase: it is never delivered.
    Drop(Which),
}

#[derive(Args)]
#[group(required = true)]
pub(crate) struct Which {
    /// Ids, as `list` prints them.
    #[arg(value_name = "ID", conflicts_with = "dead")]
    ids: Vec<String>,
    /// All that was given up.
    #[arg(long)]
    dead: bool,
}

impl Which {
    fn ids(&self) -> Option<&[String]> {
        (!self.dead).then_some(&self.ids)
    }
}

/// Does it.
///
/// # Errors
///
/// What went wrong, with its exit code; 1 when there is no such entry.
pub(crate) async fn run(file: Option<PathBuf>, command: OutboxCommand) -> Result<(), Failure> {
    let app = app(file.as_deref()).await?;
    let client = app.pool.get().await.map_err(Failure::unavailable)?;
    match command {
        OutboxCommand::List { dead, json } => {
            let entries = outbox::list(&client, dead, MOST).await.map_err(told)?;
            if entries.is_empty() {
                complain("Nothing is there.");
            }
            let shown = if json { as_json } else { as_line };
            print(entries.iter().map(shown)).map_err(Failure::other)
        }
        OutboxCommand::Retry(which) => {
            let done = outbox::retry(&client, which.ids()).await.map_err(told)?;
            counted(done, "to be delivered", &which)
        }
        OutboxCommand::Drop(which) => {
            let done = outbox::discard(&client, which.ids()).await.map_err(told)?;
            counted(done, "dropped", &which)
        }
    }
}

async fn app(file: Option<&Path>) -> Result<App, Failure> {
    let config = Config::read(&mut layers(file, None)).map_err(Failure::configuration)?;
    let app = App::new(config).map_err(Failure::configuration)?;
    check_schema(&app).await?;
    Ok(app)
}

fn told(error: ApiError) -> Failure {
    if let ApiError::Backend(source) = error {
        return Failure::unavailable(source);
    }
    Failure::other(error)
}

fn counted(done: u64, what: &str, which: &Which) -> Result<(), Failure> {
    print([format!("{done} {what}")]).map_err(Failure::other)?;
    match which.ids() {
        Some(ids) if done < u64::try_from(ids.len()).unwrap_or(u64::MAX) => {
            Err(Failure::other("the others are not there (any more)"))
        }
        _ => Ok(()),
    }
}

fn as_json(entry: &Shown) -> String {
    serde_json::to_string(entry).unwrap_or_default()
}

fn as_line(entry: &Shown) -> String {
    let Shown { id, target, attempts, created_at, .. } = entry;
    let state = match &entry.dead_at {
        Some(time) => format!("given up {time}"),
        None => format!("due {}", entry.due_at),
    };
    let error = entry.last_error.as_deref().unwrap_or("-");
    format!("{id} {target} {created_at} {state} attempts {attempts}: {error}")
}
