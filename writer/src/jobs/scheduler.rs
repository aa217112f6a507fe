//! What a writer does by itself, beside serving: the broadcast's value, and the jobs that the
//! settings switch on. Every writer of a database looks; one acts.

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use shared::{
    error::{ApiError, with_causes},
    model::Timestamp,
};
use tokio::{task::JoinSet, time::sleep};

use super::{Job, broadcast};
use crate::{app::App, store::job_runs, transaction};

/// How often a scheduler looks whether a job is due.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Starts all of it; it ends when the set is dropped.
pub fn start(app: &Arc<App>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let config = &app.config;
    if config.service.readonly {
        return tasks;
    }
    if !config.changes.monitored.buckets().is_empty() {
        tasks.spawn(tell(app.clone()));
    }
    for (job, every) in switched_on(app) {
        tasks.spawn(run_every(app.clone(), job, every));
    }
    tasks
}

fn switched_on(app: &App) -> Vec<(Job, Duration)> {
    let settings = &app.config.jobs;
    let refresh =
        Job::RefreshSignatures { max_age_days: settings.max_signature_age_days, force: false };
    let purge = Job::PurgeTombstones { max_age_days: settings.tombstone_max_age_days };
    [(refresh, settings.refresh_signatures_every), (purge, settings.purge_tombstones_every)]
        .into_iter()
        .filter_map(|(job, every)| Some((job, every?)))
        .collect()
}

async fn tell(app: Arc<App>) {
    let mut is_told = false;
    loop {
        match broadcast::look(&app, Timestamp::now()).await {
            Ok(()) => is_told = false,
            Err(error) if !std::mem::replace(&mut is_told, true) => {
                tracing::warn!(error = with_causes(&error), "the broadcast's value stands still");
            }
            Err(_) => {}
        }
        sleep(broadcast::EVERY).await;
    }
}

async fn run_every(app: Arc<App>, job: Job, every: Duration) {
    loop {
        if let Err(error) = run_if_due(&app, &job, every).await {
            tracing::warn!(job = job.name(), error = with_causes(&error), "a job did not run");
        }
        sleep(LOOK_EVERY.min(every)).await;
    }
}

/// Runs a job that no writer has run for so long.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn run_if_due(app: &App, job: &Job, every: Duration) -> Result<(), ApiError> {
    let about = (job.name(), every.as_secs_f64());
    let is_due = transaction::snapshot(app, &about, |tx, (name, seconds)| {
        job_runs::is_due(tx, name, *seconds).boxed()
    });
    if !is_due.await? {
        return Ok(());
    }
    let Some(report) = job.run(app, false).await? else { return Ok(()) };
    transaction::commit(app, &job.name(), |tx, name| job_runs::ended(tx, name).boxed()).await?;
    tracing::info!(job = job.name(), done = report.done.len(), "a job has ended");
    for line in &report.failed {
        tracing::error!(job = job.name(), "{line}");
    }
    Ok(())
}
