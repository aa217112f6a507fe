//! `countersign-writer`: the command line.

#![forbid(unsafe_code)]
// `shared::console` does not panic when nobody reads.
#![warn(clippy::print_stderr, clippy::print_stdout)]

mod create_user;
mod job_commands;
mod outbox_command;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use mimalloc::MiMalloc;
use shared::{
    config::Layers,
    console::{complain, print},
    error::with_causes,
    http::{serve, shutdown_signal},
    model::Timestamp,
    store::{
        Opener,
        migrate::{self, SchemaError},
    },
    telemetry,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};
use tokio_postgres::config::TargetSessionAttrs;
use writer::{
    Writer,
    app::App,
    config::{Config, DEFAULTS},
    failpoint,
    jobs::scheduler,
    outbox,
    pki::{self, publication},
    plugins::rebuild::rebuild,
    signer,
    signoff::auto_create,
};

use self::outbox_command::OutboxCommand;

// A batch makes and drops many small values: half of an import's time with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The source of truth: Kinto's HTTP API, review, signing, publication.
///
/// Editors write in a workspace, reviewers approve, and each approval is signed and published in
/// one transaction; `countersign-reader` serves what is published.
#[derive(Parser)]
#[command(name = "countersign-writer", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed; 2 wrong usage; 69 PostgreSQL or the \
    address is not available, or the schema is not the one expected; 78 the configuration is wrong.
    Of create-user and jobs: 51 the service is read-only. Of create-user: 52 accounts are not
    switched on; 53 nothing typed. A job that another process runs is left to it: 0.

Every setting has a default (`config check` shows all), and can come from a file, or from the
environment as COUNTERSIGN_<NAME>; Kinto's names also as KINTO_<NAME>.";

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or Ctrl-C; on SIGHUP, read the signers' keys again.
    Serve {
        /// TOML, or a Kinto INI by its extension.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where to listen, instead of the setting `listen`.
        #[arg(long, value_name = "ADDR:PORT")]
        listen: Option<SocketAddr>,
    },
    /// Bring the database schema to this binary's version.
    Migrate {
        /// TOML, or a Kinto INI by its extension.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Count anew what buckets and collections hold, after quotas were switched on.
    RebuildQuotas {
        /// TOML, or a Kinto INI by its extension.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Only tell; store nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a P-384 key pair: private-key.pem and public-key.pem.
    Keygen {
        /// The directory to write to; existing keys are never overwritten.
        #[arg(long, value_name = "DIR", default_value = ".")]
        out: PathBuf,
    },
    /// Make certificates for keys that sign: a root that clients pin, an intermediate, and leaf
    /// certificates (docs/pki.md).
    Pki {
        #[command(subcommand)]
        command: pki::Command,
    },
    /// Make an account, or give it a new password; its name and password are asked for where they
    /// are not given.
    CreateUser {
        /// TOML, or a Kinto INI by its extension.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// The account's name.
        #[arg(long, short)]
        username: Option<String>,
        /// Its password, which other users of this machine can see here: better typed, or piped.
        #[arg(long, short)]
        password: Option<String>,
    },
    /// Look at what waits to be delivered (mail, messages, webhooks), and at what was given up.
    Outbox {
        /// TOML, or a Kinto INI by its extension.
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        #[command(subcommand)]
        command: OutboxCommand,
    },
    #[command(flatten)]
    Job(job_commands::JobCommand),
    /// Look at the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the effective settings, secrets masked, or everything that is wrong with them.
    Check {
        /// TOML, or a Kinto INI by its extension.
        file: PathBuf,
    },
}

/// Kinto's exit code for what cannot be written.
const READ_ONLY: u8 = 51;

/// What ends a command, with its exit code.
struct Failure(u8, String);

impl Failure {
    fn other(text: impl std::fmt::Display) -> Self {
        Self(1, text.to_string())
    }

    fn unavailable(text: impl std::fmt::Display) -> Self {
        Self(69, text.to_string())
    }

    fn configuration(text: impl std::fmt::Display) -> Self {
        Self(78, text.to_string())
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = Box::pin(run(Cli::parse().command)).await;
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(code, text)) => {
            complain(format!("countersign-writer: {text}"));
            ExitCode::from(code)
        }
    }
}

async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve { config, listen } => serve_until_stopped(config.as_deref(), listen).await,
        Command::Migrate { config } => migrate_schema(config.as_deref()).await,
        Command::RebuildQuotas { config, dry_run } => {
            rebuild_quotas(config.as_deref(), dry_run).await
        }
        Command::Keygen { out } => signer::generate(&out).map_err(Failure::other),
        Command::Pki { command } => {
            let lines = pki::run(&command, Timestamp::now()).map_err(Failure::other)?;
            print(lines).map_err(Failure::other)
        }
        Command::CreateUser { config, username, password } => {
            Box::pin(create_user::run(config.as_deref(), username, password)).await
        }
        Command::Outbox { config, command } => Box::pin(outbox_command::run(config, command)).await,
        Command::Job(command) => Box::pin(job_commands::run(command)).await,
        Command::Config { command: ConfigCommand::Check { file } } => {
            let mut layers = layers(Some(&file), None);
            let config = Config::read(&mut layers).map_err(Failure::configuration)?;
            print(layers.effective()).map_err(Failure::other)?;
            layers.warnings().iter().for_each(|line| complain(format!("warning: {line}")));
            App::new(config).map(drop).map_err(Failure::configuration)
        }
        Command::Completions { shell } => {
            let name = "countersign-writer";
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), name, &mut script);
            print([String::from_utf8_lossy(&script).trim_end()]).map_err(Failure::other)
        }
    }
}

fn layers(file: Option<&Path>, listen: Option<SocketAddr>) -> Layers {
    let mut layers = Layers::new(DEFAULTS);
    if let Some(file) = file {
        layers.file(file);
    }
    layers.environment(std::env::vars());
    if let Some(listen) = listen {
        layers.set("listen", listen.to_string());
    }
    layers
}

async fn serve_until_stopped(
    file: Option<&Path>,
    listen: Option<SocketAddr>,
) -> Result<(), Failure> {
    // From here on SIGHUP does not end the process.
    let hangups = signal(SignalKind::hangup()).map_err(Failure::other)?;
    let config = Config::read(&mut layers(file, listen)).map_err(Failure::configuration)?;
    let logs = &config.telemetry;
    telemetry::init(logs.format, &logs.filter)
        .map_err(|problem| Failure::configuration(format!("log.level: {problem}")))?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if config.identity.has_basicauth() {
        tracing::warn!("basicauth takes any user and password: for tests and development only");
    }
    let app = Arc::new(App::new(config).map_err(Failure::configuration)?);
    tokio::spawn(reload_keys(app.clone(), hangups));
    check_schema(&app).await?;
    failpoint::arm(std::env::vars_os());
    publication::publish(&app, Timestamp::now())
        .await
        .map_err(|error| Failure::unavailable(with_causes(&error)))?;
    if !app.config.service.readonly {
        auto_create(&app).await.map_err(Failure::unavailable)?;
    }
    tokio::spawn(publication::keep(app.clone()));

    let listen = app.config.listen.clone();
    let listener = TcpListener::bind(listen.address)
        .await
        .map_err(|error| Failure::unavailable(format!("{}: {error}", listen.address)))?;
    let address = listener.local_addr().map_err(Failure::unavailable)?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "writer listens");
    let metrics = app.metrics.http.clone();
    let _by_itself = scheduler::start(&app);
    let (served, is_served) = oneshot::channel::<()>();
    let deliveries = tokio::spawn(outbox::run(app.clone(), async { drop(is_served.await) }));
    let result = serve(listener, Writer::new(app), listen.limits, metrics, shutdown_signal()).await;
    // What the last requests have left is delivered by others, or after the next start.
    drop(served);
    let _ = deliveries.await;
    result.map_err(Failure::other)
}

/// On each SIGHUP.
async fn reload_keys(app: Arc<App>, mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        app.reload_keys();
        publication::publish_or_tell(&app).await;
    }
}

/// A binary serves only the schema that it knows.
async fn check_schema(app: &App) -> Result<(), Failure> {
    let client = app.pool.get().await.map_err(|error| {
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        Failure::unavailable(format!("PostgreSQL: {innermost}"))
    })?;
    migrate::check(&client).await.map_err(Failure::unavailable)
}

async fn migrate_schema(file: Option<&Path>) -> Result<(), Failure> {
    let config = Config::read(&mut layers(file, None)).map_err(Failure::configuration)?;
    let unavailable = |error| Failure::unavailable(SchemaError::from(error));
    let mut database: tokio_postgres::Config = config.migrate_url.parse().map_err(unavailable)?;
    // Of several hosts, the primary.
    database.target_session_attrs(TargetSessionAttrs::ReadWrite);
    let opener = Opener::new(&database, &config.database).map_err(Failure::configuration)?;
    let (mut client, connection) = opener.open(&database).await.map_err(unavailable)?;
    let applied = migrate::migrate(&mut client).await.map_err(|error| match error {
        SchemaError::Version { .. } | SchemaError::Changed(_) => Failure::unavailable(error),
        SchemaError::Database(_) => Failure::other(error),
    })?;
    drop(client);
    let _ = connection.await;
    let done = format!("schema version {}: {applied} migration(s) applied", migrate::VERSION);
    print([done]).map_err(Failure::other)
}

async fn rebuild_quotas(file: Option<&Path>, dry_run: bool) -> Result<(), Failure> {
    let config = Config::read(&mut layers(file, None)).map_err(Failure::configuration)?;
    let app = App::new(config).map_err(Failure::configuration)?;
    check_schema(&app).await?;
    let lines = rebuild(&app, dry_run).await.map_err(Failure::other)?;
    print(lines).map_err(Failure::other)
}
