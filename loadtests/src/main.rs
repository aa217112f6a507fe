//! `countersign-load`: seeding, load, races and crash drills, against loopback only.

#![forbid(unsafe_code)]

mod api;
mod bare;
mod batch;
mod cli;
mod client;
mod drill;
mod failure;
mod fleet;
mod follower;
mod open;
mod primitives;
mod proxy_command;
mod publish_race;
mod race;
mod seed;
mod soak;
mod stats;
mod watch;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::{Cli, Command},
    failure::Failure,
};

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let result = runtime(&command).and_then(|runtime| runtime.block_on(run(&command)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign-load: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

/// Threads that wake each other would be a part of what is measured: those who ask an API again and
/// again share one. What checks signatures and bodies needs all CPUs.
fn runtime(command: &Command) -> Result<Runtime, Failure> {
    let mut builder = if matches!(command, Command::Api { .. }) {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.enable_all().build().map_err(|error| Failure::failed(error.to_string()))
}

async fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Seed(arguments) => seed::run(arguments).await,
        Command::Race(arguments) => race::run(arguments).await,
        Command::PublishRace(arguments) => publish_race::run(arguments).await,
        Command::Watch(arguments) => watch::run(arguments).await,
        Command::Fleet(arguments) => fleet::run(arguments).await,
        Command::Proxy(arguments) => proxy_command::run(arguments).await,
        Command::Api { command } => api::run(command).await,
        Command::Soak(arguments) => soak::run(arguments).await,
        Command::Open { command } => open::run(command).await,
        Command::Primitives(arguments) => primitives::run(arguments),
        Command::Bare(arguments) => bare::run(arguments),
        Command::Drill { command } => drill::run(command).await,
    }
}
