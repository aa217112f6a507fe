//! Who is served when: a lane for each receiver for whom something is due.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use shared::error::ApiError;
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
    time::{Instant, sleep, timeout},
};

use super::{Kind, deliver};
use crate::{app::App, store::outbox};

/// How often it is counted what waits.
const COUNTING: Duration = Duration::from_secs(10);

/// The lanes of this process.
#[derive(Default)]
struct Lanes {
    tasks: JoinSet<()>,
    /// Receivers that have a lane.
    targets: HashMap<Id, String>,
}

/// Delivers what is due until `stop`, then lets attempts under way end.
pub async fn run(app: Arc<App>, stop: impl Future<Output = ()>) {
    // What is read-only delivers nothing: it could not note that it did.
    if app.config.service.readonly {
        return stop.await;
    }
    let (stopping, is_stopping) = watch::channel(false);
    let mut lanes = Lanes::default();
    let mut stop = pin!(stop);
    let mut counted = None;
    let mut healthy = true;
    loop {
        let found = look(&app, &mut counted).await;
        match found {
            Ok(targets) => {
                healthy = true;
                lanes.open(&app, targets, &is_stopping);
            }
            Err(error) if healthy => {
                healthy = false;
                tracing::warn!(error = %cause(&error), "the outbox cannot be read");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = &mut stop => break,
            () = app.outbox.woken() => {}
            () = sleep(app.config.outbox.poll) => {}
            // Something may have come while the lane was about to end.
            () = lanes.closed() => {}
        }
    }
    let _ = stopping.send(true);
    let all = async { while lanes.tasks.join_next().await.is_some() {} };
    if timeout(app.config.listen.limits.grace, all).await.is_err() {
        tracing::warn!("deliveries were still under way; they will be repeated");
    }
}

/// Counts now and then; the receivers for whom something is due.
async fn look(app: &App, counted: &mut Option<Instant>) -> Result<Vec<String>, ApiError> {
    let client = app.pool.get().await?;
    if counted.is_none_or(|at| at.elapsed() >= COUNTING) {
        outbox::forget_dead(&client, app.config.outbox.keep_dead).await?;
        app.metrics.outbox.counted(outbox::counts(&client).await?);
        *counted = Some(Instant::now());
    }
    outbox::due_targets(&client, &Kind::ALL.map(Kind::name)).await
}

impl Lanes {
    fn open(&mut self, app: &Arc<App>, targets: Vec<String>, stopping: &watch::Receiver<bool>) {
        let served: HashSet<&String> = self.targets.values().collect();
        let new: Vec<String> =
            targets.into_iter().filter(|target| !served.contains(target)).collect();
        for target in new {
            let work = serve(app.clone(), target.clone(), stopping.clone());
            self.targets.insert(self.tasks.spawn(work).id(), target);
        }
    }

    /// Ends when a lane does; never, while there is none.
    async fn closed(&mut self) {
        let (id, failure) = match self.tasks.join_next_with_id().await {
            None => return std::future::pending().await,
            Some(Ok((id, ()))) => (id, None),
            Some(Err(panic)) => (panic.id(), Some(panic)),
        };
        let target = self.targets.remove(&id);
        if let Some(panic) = failure {
            tracing::error!(target, %panic, "a delivery panicked");
        }
    }
}

/// Delivers to one receiver, one entry after the other, until nothing more is due.
async fn serve(app: Arc<App>, target: String, stopping: watch::Receiver<bool>) {
    while !*stopping.borrow() {
        match deliver::next(&app, &target).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(target, error = %cause(&error), "the outbox cannot be written");
                return sleep(app.config.outbox.poll).await;
            }
        }
    }
}

/// What is behind an error that clients would see.
fn cause(error: &ApiError) -> String {
    shared::error::with_causes(error)
}
