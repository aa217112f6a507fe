//! `countersign-load`: seeding, load, races and crash drills, against loopback only.

#![forbid(unsafe_code)]

mod api;
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

use crate::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Seed(arguments) => seed::run(&arguments).await,
        Command::Race(arguments) => race::run(&arguments).await,
        Command::PublishRace(arguments) => publish_race::run(&arguments).await,
        Command::Watch(arguments) => watch::run(&arguments).await,
        Command::Fleet(arguments) => fleet::run(&arguments).await,
        Command::Proxy(arguments) => proxy_command::run(&arguments).await,
        Command::Api { command } => api::run(&command).await,
        Command::Soak(arguments) => soak::run(&arguments).await,
        Command::Open { command } => open::run(&command).await,
        Command::Primitives(arguments) => primitives::run(&arguments),
        Command::Drill { command } => drill::run(&command).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign-load: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
