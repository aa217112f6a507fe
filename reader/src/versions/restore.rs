//! Starts from the snapshot on disk, so that a reader serves while its database is away.

use std::{collections::VecDeque, sync::Arc};

use shared::model::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};

use super::load::IN_FLIGHT;
use crate::{
    app::App,
    disk::{Disk, Problem, Stored, StoredCollection},
    snapshot::{Before, Built, Chains, Context, Published, Reason, Refusal, Slot, Source, build},
};

type Task = JoinHandle<Result<Result<Built, Reason>, Problem>>;

/// Serves what is on disk, unless something is served already. A snapshot with a damaged file is
/// not used at all: half of what was published is not what was published.
pub(super) async fn restore(app: &App) {
    let Some(disk) = app.disk.as_ref().filter(|_| app.board.published().is_none()) else { return };
    match load(app, disk).await {
        Ok(None) => {}
        Ok(Some((stored, published))) => {
            let (watermark, count) = (published.watermark, published.iter().count());
            app.board.publish(published);
            let age = Timestamp::now().as_millis() - stored.confirmed().as_millis();
            app.board.confirm_as_of(age);
            app.board.tell(stored.broadcast());
            tracing::info!(%watermark, collections = count, "the snapshot on disk is served");
        }
        Err(problem) => disk.failed("it is ignored", &problem),
    }
}

async fn load(app: &App, disk: &Arc<Disk>) -> Result<Option<(Stored, Published)>, Problem> {
    let reading = disk.clone();
    let stored = spawn_blocking(move || reading.load()).await.map_err(|_| PANICKED)??;
    let Some(stored) = stored else { return Ok(None) };
    let chains = Arc::new(Chains::new(stored.chains.clone(), None));
    let monitored = &app.config.changes.monitored;
    let mut slots = Vec::new();
    let mut pending: VecDeque<(StoredCollection, Task)> = VecDeque::new();
    for collection in &stored.collections {
        let version = collection.version();
        if !monitored.contains(&version.bucket, &version.collection) {
            continue;
        }
        pending.push_back((collection.clone(), start(app, disk, collection, &chains)));
        if pending.len() > IN_FLIGHT
            && let Some((first, task)) = pending.pop_front()
        {
            slots.push(finish(app, &first, task).await?);
        }
    }
    for (collection, task) in pending {
        slots.push(finish(app, &collection, task).await?);
    }
    let buckets = stored.public_buckets.clone();
    let before = Before { monitor: None, shown: stored.shown(), held_back: stored.held_back() };
    let published =
        Published::new(stored.watermark(), &app.wardrobe, slots, buckets, chains, before);
    Ok(Some((stored, published)))
}

const PANICKED: Problem = Problem::Damaged("a file cannot be understood");

fn start(app: &App, disk: &Arc<Disk>, stored: &StoredCollection, chains: &Arc<Chains>) -> Task {
    let (disk, stored, chains) = (disk.clone(), stored.clone(), chains.clone());
    let (config, wardrobe) = (app.config.clone(), app.wardrobe.clone());
    spawn_blocking(move || {
        let context = Context {
            rules: &config.signature,
            chains: &chains,
            chains_base: config.chains_base.as_ref(),
            wardrobe: &wardrobe,
            disk: None,
            now: Timestamp::now(),
        };
        let Source { version, metadata, rows } = disk.read(&stored)?;
        let rows = rows.into_iter().map(Ok);
        Ok(build(Source { version, metadata, rows }, &context, None))
    })
}

/// What does not verify, with the keys that count today, is not shown; all else is.
async fn finish(
    app: &App,
    stored: &StoredCollection,
    task: Task,
) -> Result<(String, String, Slot), Problem> {
    let built = task.await.map_err(|_| PANICKED)??;
    let version = stored.version();
    let refused = built.as_ref().err().copied();
    if let Some(reason) = refused {
        app.metrics.reject(reason);
        let (bucket, collection) = (&version.bucket, &version.collection);
        tracing::error!(
            bucket,
            collection,
            reason = reason.name(),
            "a collection of the snapshot on disk is not shown"
        );
    }
    let refused = refused.map(|reason| Refusal { reason, timestamp: version.timestamp });
    let good = built.ok().map(|built| built.collection);
    Ok((version.bucket, version.collection, Slot { good, refused, public: version.public }))
}
