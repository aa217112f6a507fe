//! `open`: load as it comes from millions of clients, who do not wait for each other.
//!
//! Arrivals follow a schedule, whatever the server does, and a latency begins when its client was to
//! come (no coordinated omission). `docs/load-tests.md` says how to read the results.

mod arguments;
mod catalogue;
mod chart;
mod check;
mod connection;
mod engine;
mod herd;
mod histogram;
mod html;
mod idle;
mod mix;
mod outcome;
mod pace;
mod plan;
mod process;
mod publication;
mod publisher;
mod queue;
mod record;
mod report;
mod save;
mod scenarios;
mod schedule;
mod server;
mod slow;
mod svg;
mod table;
mod trust;

pub(crate) use self::arguments::OpenCommand;
use crate::failure::Failure;

/// Runs a scenario.
///
/// # Errors
///
/// [`Failure`] when a server does not answer, or breaks a promise.
pub(crate) async fn run(command: &OpenCommand) -> Result<(), Failure> {
    match command {
        OpenCommand::Fleet(arguments) => scenarios::steady("fleet", arguments, mix::fleet).await,
        OpenCommand::Herd(arguments) => scenarios::herd(arguments).await,
        OpenCommand::FirstStart(arguments) => {
            scenarios::steady("first-start", arguments, mix::first_start).await
        }
        OpenCommand::Deltas(arguments) => {
            let plan = |catalogue: &_, prefix: &_| mix::deltas(catalogue, prefix, arguments.seed);
            scenarios::steady("deltas", arguments, plan).await
        }
        OpenCommand::SlowNetwork(arguments) => scenarios::slow_network(arguments).await,
        OpenCommand::Publication(arguments) => publication::run(arguments).await,
        OpenCommand::Save(arguments) => save::run(arguments).await,
        OpenCommand::Report(arguments) => report::merge(arguments),
    }
}
