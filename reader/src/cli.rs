//! The command line, and what each command does first and last.

use std::{fmt::Display, io, net::SocketAddr, path::PathBuf, sync::Arc};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use rustix::process::{Resource, getrlimit, setrlimit};
use shared::{
    console::{complain, print},
    http, telemetry,
};
use tokio::{
    net::TcpListener,
    task::{JoinSet, spawn_blocking},
};

use crate::{
    answer::files::allow as allow_files,
    app::App,
    config::{Config, Mode},
    operators::Operators,
    polish::polish,
    server::{self, Tls},
    verify, versions,
};

/// All went well.
pub const OK: u8 = 0;
/// Something did not verify.
pub const FAILED: u8 = 1;
/// The server, the database or the port is not available.
pub const UNAVAILABLE: u8 = 69;
/// The configuration has problems.
pub const BAD_CONFIGURATION: u8 = 78;

const AFTER_HELP: &str = "\
Examples:
  countersign-reader serve --config /etc/countersign/reader.toml
      Serve the collections of changes.resources. Settings may also come from the environment:
      COUNTERSIGN_STORAGE_URL=postgresql://countersign_reader@db/countersign
  countersign-reader config check /etc/countersign/reader.toml
      Print every setting with its origin, or all that is wrong.
  countersign-reader verify https://rs.example.net/v1
      Fetch everything that is published, as a client would, and check every signature.
  countersign-reader completions bash > /etc/bash_completion.d/countersign-reader

Exit codes:
   0  all went well
   1  something did not verify
   2  the command line is wrong
  69  the server, the database or the port is not available
  78  the configuration is wrong; all problems are printed";

/// Serves verified changesets from memory, behind a CDN.
#[derive(Debug, Parser)]
#[command(name = "countersign-reader", version, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the published collections until SIGTERM or Ctrl-C.
    ///
    /// Starts without the database as well: it answers 503 until the first load, and serves what
    /// it has loaded when the database goes away later.
    Serve {
        /// Settings: TOML, or a Kinto file when its name ends in .ini.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Address and port, instead of the setting `listen`.
        #[arg(long, value_name = "ADDRESS:PORT")]
        listen: Option<String>,
    },
    /// Check the signatures of everything that a server publishes.
    Verify(verify::Options),
    /// Print a completion script.
    Completions {
        /// The shell that will read it.
        shell: Shell,
    },
    /// Look at settings without starting anything.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print the effective settings and their origin, secrets masked; or all problems.
    Check {
        /// Settings: TOML, or a Kinto file when its name ends in .ini.
        file: PathBuf,
    },
}

impl Arguments {
    /// Whether they ask for the service.
    pub const fn is_to_serve(&self) -> bool {
        matches!(self.command, Command::Serve { .. })
    }
}

/// Runs a command and returns the exit code.
pub async fn run(arguments: Arguments, environment: impl Iterator<Item = (String, String)>) -> u8 {
    match arguments.command {
        Command::Serve { config, listen } => {
            let mut layers = Config::layers(config.as_deref(), environment, listen.as_deref());
            match Config::read(&mut layers) {
                Ok(config) => serve(config, layers.warnings()).await,
                Err(problems) => {
                    complain(problems);
                    BAD_CONFIGURATION
                }
            }
        }
        Command::Verify(options) => verify::run(&options).await,
        Command::Completions { shell } => {
            let mut command = Arguments::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "countersign-reader", &mut script);
            printed([String::from_utf8_lossy(&script).trim_end()])
        }
        Command::Config(ConfigCommand::Check { file }) => {
            let mut layers = Config::layers(Some(&file), environment, None);
            let outcome = Config::read(&mut layers);
            for warning in layers.warnings() {
                complain(format!("warning: {warning}"));
            }
            if let Err(problems) = outcome {
                complain(problems);
                return BAD_CONFIGURATION;
            }
            printed(layers.effective())
        }
    }
}

/// Prints lines, and returns the exit code.
pub(crate) fn printed(lines: impl IntoIterator<Item = impl Display>) -> u8 {
    match print(lines) {
        Ok(()) => OK,
        Err(error) => {
            complain(error);
            FAILED
        }
    }
}

/// Open files beside connections and bodies, at most: those that are turned away, databases, the
/// snapshot, certificates, the log.
const OTHER_FILES: u64 = 500;
/// So many bodies should get a file: all forms of hundreds of collections.
const BODY_FILES: u64 = 1_500;

async fn serve(config: Config, warnings: &[String]) -> u8 {
    if let Err(problem) = telemetry::init(config.telemetry.format, &config.telemetry.filter) {
        complain(format!("log.level: {problem}"));
        return BAD_CONFIGURATION;
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    raise_file_limit(config.limits.max_connections);
    warn_about_keys(&config);
    let listen = config.listen.clone();
    let app = match App::new(config) {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return BAD_CONFIGURATION;
        }
    };
    let listener = match TcpListener::bind(listen.address).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, address = %listen.address, "cannot listen");
            return UNAVAILABLE;
        }
    };
    let tls = match app.config.tls.clone().map(Tls::new).transpose() {
        Ok(tls) => tls.map(Arc::new),
        Err(problem) => {
            tracing::error!(problem, "cannot speak TLS");
            return BAD_CONFIGURATION;
        }
    };
    let mut tasks = JoinSet::new();
    if let Some(address) = app.config.operators
        && let Err(error) = serve_operators(&mut tasks, address, app.clone()).await
    {
        tracing::error!(%error, %address, "cannot listen");
        return UNAVAILABLE;
    }
    match (server::hangups(), tls.clone()) {
        (Ok(hangups), Some(tls)) => drop(tasks.spawn(tls.reload(hangups))),
        (Ok(hangups), None) => drop(tasks.spawn(server::ignore_hangups(hangups))),
        (Err(error), _) => tracing::warn!(%error, "SIGHUP will end this process"),
    }
    tracing::info!(address = %listen.address, version = env!("CARGO_PKG_VERSION"), "listening");
    tasks.spawn(versions::follow(app.clone()));
    tasks.spawn(polish(app.clone()));
    let disk = app.disk.clone();
    let limits = app.config.limits.clone();
    let served = server::serve(listener, app, limits, tls, http::shutdown_signal()).await;
    tasks.shutdown().await;
    // The last publication of this second is not on disk yet.
    if let Some(disk) = disk {
        let _ = spawn_blocking(move || disk.flush()).await;
    }
    if let Err(error) = served {
        tracing::error!(%error, "stopped");
        return UNAVAILABLE;
    }
    OK
}

/// A second port, until the process ends.
async fn serve_operators(tasks: &mut JoinSet<()>, address: SocketAddr, app: App) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    let limits = app.config.limits.http2.clone();
    let metrics = app.metrics.http.clone();
    tracing::info!(%address, "listening for operators");
    tasks.spawn(async move {
        let service = Operators(app);
        let served = http::serve(listener, service, limits, metrics, std::future::pending());
        if let Err(error) = served.await {
            tracing::error!(%error, "operators are not answered any more");
        }
    });
    Ok(())
}

/// Every connection is an open file, and so may be every large body: as many as the system grants.
/// Bodies get what connections leave over, or one in eight where the system grants too few for all; beyond
/// that, they are sent by a copy.
fn raise_file_limit(max_connections: usize) {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    let granted = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let left = granted.saturating_sub(max_connections as u64 + OTHER_FILES);
    allow_files(usize::try_from(left.max(granted / 8)).unwrap_or(usize::MAX));
    if left < BODY_FILES {
        tracing::warn!(
            granted,
            max_connections,
            "fewer files may be open than http.max_connections and bodies need: bodies are copied, and new connections \
             may have to wait"
        );
    }
}

fn warn_about_keys(config: &Config) {
    let rules = &config.signature;
    if rules.mode == Mode::Off {
        tracing::warn!("signature.verify is off: what the database holds is served unchecked");
    } else if rules.keys.is_empty() && rules.roots.is_empty() {
        tracing::warn!(
            "signature.public_keys and signature.root_hashes are empty: the key beside each signature is used, which finds \
             damage and no forgery"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
