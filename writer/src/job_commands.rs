//! The commands of jobs (`remote-settings.md` §7). Options, and the environment by the reference's
//! names, go before the settings.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, builder::FalseyValueParser};
use shared::console::print;
use writer::{
    app::App,
    config::{self, Config},
    jobs::{Job, Mapping},
};

use crate::{Failure, READ_ONLY, check_schema, layers};

/// Jobs: run them from cron or a systemd timer, on as many hosts as you like (docs/jobs.md).
#[derive(Subcommand)]
pub(crate) enum JobCommand {
    /// Sign again what was signed long ago, before certificates expire.
    RefreshSignatures {
        #[command(flatten)]
        common: Common,
        /// Younger signatures stay.
        #[arg(long, env = "MAX_SIGNATURE_AGE", value_name = "DAYS")]
        max_signature_age: Option<u32>,
        /// Sign all again.
        #[arg(long)]
        force: bool,
    },
    /// Delete old entries of the history of buckets.
    PurgeHistory {
        #[command(flatten)]
        common: Common,
        /// In these buckets.
        #[arg(long, env = "BUCKETS", value_name = "IDS")]
        buckets: Option<String>,
        /// Of these users.
        #[arg(long, env = "USER_IDS", value_name = "IDS")]
        user_ids: Option<String>,
        /// That are older.
        #[arg(long, env = "MAX_AGE_DAYS", value_name = "DAYS",
              value_parser = clap::value_parser!(u32).range(1..))]
        max_age_days: Option<u32>,
    },
    /// Delete old tombstones of signed collections.
    PurgeTombstones {
        #[command(flatten)]
        common: Common,
        /// That are older.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
        max_age_days: Option<u32>,
    },
    /// Make collections copies of others, and ask for their review.
    BackportRecords {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        mappings: Mappings,
        /// Whether records that somebody changed meanwhile are left alone.
        #[arg(long, env = "SAFE_HEADERS", value_name = "BOOL")]
        safe_headers: Option<bool>,
    },
}

#[derive(Args)]
pub(crate) struct Common {
    /// TOML, or a Kinto INI by its extension.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only tell; store nothing.
    #[arg(long, env = "DRY_RUN", value_parser = FalseyValueParser::new())]
    dry_run: bool,
}

/// One mapping in parts, or several as lines.
#[derive(Args)]
pub(crate) struct Mappings {
    /// Lines: bucket/collection?filter=value -> bucket/collection
    #[arg(long = "mappings", env = "BACKPORT_RECORDS_MAPPINGS", value_name = "LINES")]
    lines: Option<String>,
    /// Or one mapping: its source's bucket.
    #[arg(long, env = "BACKPORT_RECORDS_SOURCE_BUCKET", value_name = "ID")]
    source_bucket: Option<String>,
    /// Its source.
    #[arg(long, env = "BACKPORT_RECORDS_SOURCE_COLLECTION", value_name = "ID")]
    source_collection: Option<String>,
    /// Filters of its source.
    #[arg(long, env = "BACKPORT_RECORDS_SOURCE_FILTERS", value_name = "JSON")]
    source_filters: Option<String>,
    /// Its destination's bucket, where it is another.
    #[arg(long, env = "BACKPORT_RECORDS_DEST_BUCKET", value_name = "ID")]
    dest_bucket: Option<String>,
    /// Its destination, where its name is another.
    #[arg(long, env = "BACKPORT_RECORDS_DEST_COLLECTION", value_name = "ID")]
    dest_collection: Option<String>,
}

/// Runs a job, and prints what it did.
///
/// # Errors
///
/// What went wrong, with its exit code: 1 when a part of the job failed.
pub(crate) async fn run(command: JobCommand) -> Result<(), Failure> {
    let common = command.common();
    let config = read(common.config.as_deref())?;
    let dry_run = common.dry_run;
    let job = command.job(&config).map_err(|problem| Failure(2, problem))?;
    let app = App::new(config).map_err(Failure::configuration)?;
    check_schema(&app).await?;
    let Some(report) = job.run(&app, dry_run).await.map_err(Failure::unavailable)? else {
        let left = format!("{}: another process runs it; nothing was done", job.name());
        return print([left]).map_err(Failure::other);
    };
    let (done, failed) = (report.done.len(), report.failed.len());
    let summary = format!("{}: {done} done, {failed} failed", job.name());
    let printed = print(report.done.iter().chain([&summary]));
    if report.failed.is_empty() {
        return printed.map_err(Failure::other);
    }
    let lines = report.failed.iter().map(|line| format!("\n  - {line}"));
    Err(Failure::other(format!("{failed} failed:{}", lines.collect::<String>())))
}

fn read(file: Option<&Path>) -> Result<Config, Failure> {
    let config = Config::read(&mut layers(file, None)).map_err(Failure::configuration)?;
    if config.service.readonly {
        return Err(Failure(READ_ONLY, "the service is read-only (readonly)".to_owned()));
    }
    Ok(config)
}

impl JobCommand {
    const fn common(&self) -> &Common {
        match self {
            Self::RefreshSignatures { common, .. }
            | Self::PurgeHistory { common, .. }
            | Self::PurgeTombstones { common, .. }
            | Self::BackportRecords { common, .. } => common,
        }
    }

    /// What the options ask for, or else the settings.
    fn job(self, config: &Config) -> Result<Job, String> {
        let settings = &config.jobs;
        Ok(match self {
            Self::RefreshSignatures { max_signature_age, force, .. } => Job::RefreshSignatures {
                max_age_days: max_signature_age.unwrap_or(settings.max_signature_age_days),
                force,
            },
            Self::PurgeHistory { buckets, user_ids, max_age_days, .. } => Job::PurgeHistory {
                buckets: words_or(buckets, &settings.history_buckets),
                user_ids: words_or(user_ids, &settings.history_user_ids),
                max_age_days: max_age_days.unwrap_or(settings.history_max_age_days),
            },
            Self::PurgeTombstones { max_age_days, .. } => Job::PurgeTombstones {
                max_age_days: max_age_days.unwrap_or(settings.tombstone_max_age_days),
            },
            Self::BackportRecords { mappings, safe_headers, .. } => Job::BackportRecords {
                mappings: mappings.read(&settings.backport_mappings)?,
                safe_headers: safe_headers.unwrap_or(settings.backport_safe_headers),
            },
        })
    }
}

fn words_or(given: Option<String>, else_: &[String]) -> Vec<String> {
    given.map_or_else(|| else_.to_vec(), |text| config::words(&text))
}

impl Mappings {
    fn read(self, settings: &[Mapping]) -> Result<Vec<Mapping>, String> {
        if let Some(lines) = self.lines.as_deref().filter(|lines| !lines.trim().is_empty()) {
            let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
            return lines.map(Mapping::parse).collect();
        }
        let mappings = match (self.source_bucket, self.source_collection) {
            (Some(bucket), Some(collection)) => {
                let filters = self.source_filters.as_deref().map(Mapping::filters_from_json);
                let destination = (
                    self.dest_bucket.unwrap_or_else(|| bucket.clone()),
                    self.dest_collection.unwrap_or_else(|| collection.clone()),
                );
                let filters = filters.transpose()?.unwrap_or_default();
                vec![Mapping::new((bucket, collection), filters, destination)?]
            }
            (None, None) => settings.to_vec(),
            _ => return Err("a mapping needs the source's bucket and collection".to_owned()),
        };
        if mappings.is_empty() {
            return Err("no mapping: say what is copied where".to_owned());
        }
        Ok(mappings)
    }
}
