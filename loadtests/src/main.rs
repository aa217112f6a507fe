//! `countersign-load`: seeding, load, races and crash drills, against loopback only.

#![forbid(unsafe_code)]

mod cli;
mod client;
mod failure;
mod seed;
mod workspace;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Seed(arguments) => seed::run(&arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign-load: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}
