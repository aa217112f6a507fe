//! Loads what changed, or everything, in one snapshot of the database.

use std::{collections::VecDeque, error::Error, iter::successors, sync::Arc};

use deadpool_postgres::ClientWrapper;
use shared::{
    error::ApiError,
    model::Timestamp,
    store::{
        Tx,
        published::{self, Version},
    },
};
use tokio::{
    join,
    task::{JoinHandle, spawn_blocking},
    time::Instant,
};

use super::{Follower, Standing, vanished::vanished};
use crate::snapshot::{
    Before, Built, Chains, Collection, Context, Published, Reason, Refusal, Slot, Source, build,
};

/// Collections that are verified and rendered at once.
pub(super) const IN_FLIGHT: usize = 4;

/// A collection on its way into the next state.
struct Pending {
    version: Version,
    good: Option<Arc<Collection>>,
    work: Work,
}

enum Work {
    /// Nothing changed.
    Keep,
    /// Refused before it was verified.
    Refuse(Reason),
    Build(JoinHandle<Result<Built, Reason>>),
}

impl Follower {
    /// Loads what changed, or everything when that is due, in one snapshot.
    pub(super) async fn load(&mut self, client: &mut ClientWrapper) -> Result<Standing, ApiError> {
        let everything = self.is_everything_due();
        let old = self.app.board.published();
        let buckets = self.app.config.changes.monitored.buckets();
        let hosts = self.app.link.hosts().clone();
        let tx = Tx::reading(client).guarded(hosts.guards());
        tx.begin().await?;
        let watermark = published::watermark(&tx).await?;
        if old.as_ref().is_some_and(|old| watermark < old.watermark) {
            self.refuse_older(watermark);
            return Ok(Standing::Older);
        }
        let public_buckets = published::public_buckets(&tx, &buckets).await?;
        let rows = published::chains(&tx).await?;
        let chains = Arc::new(Chains::new(rows, old.as_ref().map(|old| &*old.chains)));
        let mut versions = published::versions(&tx, &buckets).await?;
        versions.retain(|v| self.app.config.changes.monitored.contains(&v.bucket, &v.collection));
        let mut slots = Vec::with_capacity(versions.len());
        if let Some(old) = &old {
            for (version, slot) in vanished(&tx, old, &versions).await? {
                let what = "is gone without having been deleted; its last good state is shown";
                self.news.reject(&self.app.metrics, &version, Reason::Vanished, what);
                slots.push((version.bucket, version.collection, slot));
            }
        }
        let mut pending = VecDeque::new();
        for version in versions {
            pending.push_back(self.start(&tx, version, old.as_deref(), everything, &chains).await?);
            // So many unrendered collections are held in memory at once.
            if pending.len() > IN_FLIGHT
                && let Some(first) = pending.pop_front()
            {
                slots.push(self.finish(first).await);
            }
        }
        drop(tx);
        for pending in pending {
            slots.push(self.finish(pending).await);
        }
        let wardrobe = &self.app.wardrobe;
        let monitor = old.as_ref().map(|old| &old.monitor);
        let before = Before { monitor, ..Before::default() };
        let published = Published::new(watermark, wardrobe, slots, public_buckets, chains, before);
        let (watch, rules) = (&self.app.metrics.certificates, self.app.config.certificates);
        watch.remind(&published.certificates(), rules, Timestamp::now());
        self.app.board.publish(published);
        self.app.board.confirm();
        self.loaded_at = Some(Instant::now());
        if everything {
            self.all_loaded_at = self.loaded_at;
        }
        Ok(Standing::Current)
    }

    /// Reads a collection if it has to be, and lets another thread verify and render it.
    async fn start(
        &self,
        tx: &Tx<'_>,
        version: Version,
        old: Option<&Published>,
        everything: bool,
        chains: &Arc<Chains>,
    ) -> Result<Pending, ApiError> {
        let slot = old.and_then(|old| old.get(&version.bucket, &version.collection));
        let good = slot.and_then(|slot| slot.good.clone());
        let is_refused = slot.is_some_and(|slot| slot.refused.is_some());
        let work = match &good {
            Some(good) if version.timestamp < good.timestamp => Work::Refuse(Reason::Older),
            Some(good) if version.metadata_timestamp < good.metadata_timestamp => {
                Work::Refuse(Reason::Older)
            }
            Some(good) if !everything && !is_refused && is_same(good, &version) => Work::Keep,
            _ => self.read(tx, &version, good.clone(), chains.clone()).await?,
        };
        Ok(Pending { version, good, work })
    }

    /// One collection that cannot be read must not keep the others from being loaded.
    async fn read(
        &self,
        tx: &Tx<'_>,
        version: &Version,
        old: Option<Arc<Collection>>,
        chains: Arc<Chains>,
    ) -> Result<Work, ApiError> {
        let (bucket, id) = (&version.bucket, &version.collection);
        let (metadata, rows) =
            join!(published::metadata(tx, bucket, id), published::records(tx, bucket, id));
        let (metadata, rows) = match (metadata, rows) {
            (Ok(metadata), Ok(rows)) => (metadata.unwrap_or_default(), rows),
            (Err(error), _) | (_, Err(error)) if is_content(&error) => {
                return Ok(Work::Refuse(Reason::Unreadable));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let version = version.clone();
        let (config, disk) = (self.app.config.clone(), self.app.disk.clone());
        let wardrobe = self.app.wardrobe.clone();
        Ok(Work::Build(spawn_blocking(move || {
            let context = Context {
                rules: &config.signature,
                chains: &chains,
                chains_base: config.chains_base.as_ref(),
                wardrobe: &wardrobe,
                disk: disk.as_deref(),
                now: Timestamp::now(),
            };
            let rows = rows.decode().map(|row| row.map_err(|_| Reason::Unreadable));
            build(Source { version, metadata, rows }, &context, old.as_ref())
        })))
    }

    async fn finish(&mut self, pending: Pending) -> (String, String, Slot) {
        let Pending { version, good, work } = pending;
        let (good, refused) = match work {
            Work::Keep => (good, None),
            Work::Refuse(reason) => (good, Some(reason)),
            Work::Build(task) => match task.await {
                Ok(Ok(built)) => {
                    if let Some(doubt) = built.doubt {
                        self.news.reject(
                            &self.app.metrics,
                            &version,
                            doubt,
                            "is shown in spite of its signature",
                        );
                    }
                    (Some(built.collection), None)
                }
                Ok(Err(reason)) => (good, Some(reason)),
                // A panic of ours: nothing of it may be shown.
                Err(_) => (good, Some(Reason::Unreadable)),
            },
        };
        if let Some(reason) = refused {
            self.news.reject(
                &self.app.metrics,
                &version,
                reason,
                "is not shown; its last good state is",
            );
        }
        let refused = refused.map(|reason| Refusal { reason, timestamp: version.timestamp });
        let slot = Slot { good, refused, public: version.public };
        (version.bucket, version.collection, slot)
    }
}

fn is_same(good: &Collection, version: &Version) -> bool {
    (good.timestamp, good.metadata_timestamp, good.horizon)
        == (version.timestamp, version.metadata_timestamp, version.tombstone_horizon)
}

/// Whether a row arrived, and is not what it should be.
fn is_content(error: &ApiError) -> bool {
    successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source())
        .any(<dyn Error>::is::<serde_json::Error>)
}
