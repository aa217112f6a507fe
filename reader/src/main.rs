//! The reader's commands.

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

use std::{
    env, io,
    num::NonZero,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
    thread::available_parallelism,
    time::Duration,
};

use clap::Parser as _;
use mimalloc::MiMalloc;
use reader::cli::{Arguments, run};
use shared::{console::complain, telemetry};
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.is_to_serve() && env::var_os(PURGE_DELAY).is_none() {
        start_again();
    }
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(run(arguments, env::vars()));
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

/// How long the allocator keeps what was freed, in milliseconds: it looks only when memory is asked
/// for, and a reader that has loaded asks for next to none. It reads this before `main`.
const PURGE_DELAY: &str = "MIMALLOC_PURGE_DELAY";

/// Becomes the same program with the same arguments, whose allocator gives back at once what is freed:
/// a fifth of the memory of a large set (docs/performance.md). Where that fails, all stays as it is.
fn start_again() {
    let Ok(program) = env::current_exe() else { return };
    let mut arguments = env::args_os();
    let mut again = Command::new(program);
    if let Some(name) = arguments.next() {
        again.arg0(name);
    }
    let error = again.args(arguments).env(PURGE_DELAY, "0").exec();
    complain(format!("{PURGE_DELAY} could not be set, more memory is kept: {error}"));
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
