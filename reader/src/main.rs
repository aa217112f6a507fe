//! The reader's commands.

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use reader::cli::{Arguments, run};
use shared::{console::complain, telemetry};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments, std::env::vars()));
            // Threads that still compress something do not delay the end.
            runtime.shutdown_background();
            telemetry::flush();
            ExitCode::from(code)
        }
        Err(error) => {
            complain(format!("the runtime cannot start: {error}"));
            ExitCode::from(reader::cli::UNAVAILABLE)
        }
    }
}
