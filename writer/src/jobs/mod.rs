//! What is done on a schedule (`remote-settings.md` §7): one file each.
//!
//! A job is a command, and some the writer runs itself ([`scheduler`]). It works on the database by
//! the same operations as requests, with their locks, refusals and history, under the name of
//! `plugin:remote-settings`. Each part is a transaction of its own: a part that fails does not stop
//! the others, and a job that was interrupted is simply run again. Of several processes one runs a
//! job, by an advisory lock.

mod backport_records;
mod broadcast;
mod mapping;
mod purge_history;
mod purge_tombstones;
mod refresh_signatures;
pub mod scheduler;

use deadpool_postgres::Object;
pub use mapping::Mapping;
use shared::error::{ApiError, with_causes};

use crate::{app::App, store::advisory};

/// A job, and what of it was asked for.
#[derive(Debug, Clone)]
pub enum Job {
    /// Signs again what was signed long ago (§7.2).
    RefreshSignatures {
        /// Younger signatures stay.
        max_age_days: u32,
        /// All are signed again.
        force: bool,
    },
    /// Deletes old entries of histories (§7.8).
    PurgeHistory {
        /// In these buckets.
        buckets: Vec<String>,
        /// Of these users.
        user_ids: Vec<String>,
        /// That are older.
        max_age_days: u32,
    },
    /// Deletes old tombstones of signed collections (§7.10).
    PurgeTombstones {
        /// That are older.
        max_age_days: u32,
    },
    /// Copies collections into others (§7.3).
    BackportRecords {
        /// What is copied where.
        mappings: Vec<Mapping>,
        /// Whether records that somebody else changed meanwhile are not overwritten.
        safe_headers: bool,
    },
}

/// What a job did, and what it could not do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// One line for each part that was done.
    pub done: Vec<String>,
    /// One line for each part that failed, and why.
    pub failed: Vec<String>,
}

impl Report {
    fn note(&mut self, part: &str, result: Result<String, ApiError>) {
        match result {
            Ok(text) => self.done.push(format!("{part}: {text}")),
            Err(error) => self.failed.push(format!("{part}: {}", with_causes(&error))),
        }
    }
}

impl Job {
    /// Its command's name, and its lock's.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RefreshSignatures { .. } => "refresh-signatures",
            Self::PurgeHistory { .. } => "purge-history",
            Self::PurgeTombstones { .. } => "purge-tombstones",
            Self::BackportRecords { .. } => "backport-records",
        }
    }

    /// Runs it; `None` when another process does at this moment. With `dry_run` nothing is written.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away before the first part.
    pub async fn run(&self, app: &App, dry_run: bool) -> Result<Option<Report>, ApiError> {
        // Not the pool's any more: the lock ends with the session, whatever happens.
        let session = Object::take(app.pool.get().await?);
        if !advisory::try_lock(&session, self.name()).await? {
            return Ok(None);
        }
        let report = self.run_here(app, dry_run).await;
        // What was done is done, whether the lock is given back now or with the session.
        let _ = advisory::unlock(&session, self.name()).await;
        report.map(Some)
    }

    async fn run_here(&self, app: &App, dry_run: bool) -> Result<Report, ApiError> {
        match self {
            Self::RefreshSignatures { max_age_days, force } => {
                let max_age = (!force).then_some(*max_age_days);
                refresh_signatures::run(app, max_age, dry_run).await
            }
            Self::PurgeHistory { buckets, user_ids, max_age_days } => {
                let of = (buckets.as_slice(), user_ids.as_slice());
                Ok(purge_history::run(app, of, *max_age_days, dry_run).await)
            }
            Self::PurgeTombstones { max_age_days } => {
                purge_tombstones::run(app, *max_age_days, dry_run).await
            }
            Self::BackportRecords { mappings, safe_headers } => {
                Ok(backport_records::run(app, mappings, *safe_headers, dry_run).await)
            }
        }
    }
}

/// The instant so many days ago.
fn days_ago(now: shared::model::Timestamp, days: u32) -> shared::model::Timestamp {
    now.plus_millis(-i64::from(days) * 24 * 3_600 * 1_000)
}
