//! The reader's commands.

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::{io, num::NonZero, process::ExitCode, thread::available_parallelism, time::Duration};

use clap::Parser as _;
use mimalloc::MiMalloc;
use reader::cli::{Arguments, run};
use shared::{console::complain, telemetry};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match runtime() {
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

/// Threads that verify and compress keep much of the memory that they took, for the next time, and
/// tasks go to all of them in turn: there are few, and not for long when nothing is to do.
fn runtime() -> io::Result<Runtime> {
    let threads = available_parallelism().map_or(1, NonZero::get) + 6;
    Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(threads)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
}
