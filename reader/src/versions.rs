//! Follows the publication watermark: loads, verifies and shows what changed.

use std::{
    collections::{HashSet, VecDeque},
    error::Error,
    hash::{BuildHasher as _, Hasher as _, RandomState},
    iter::successors,
    sync::Arc,
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Object};
use shared::{
    error::ApiError,
    model::Timestamp,
    store::{
        Tx,
        migrate::{self, SchemaError},
        published::{self, Version},
    },
    wire::MONITOR_BROADCAST,
};
use tokio::{
    task::{JoinHandle, JoinSet, spawn_blocking},
    time::{Instant, sleep, timeout},
};

use crate::{
    app::App,
    snapshot::{Built, Chains, Collection, Context, Published, Reason, Slot, Source, build},
};

/// Longest pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// What was refused is looked at again after this time.
const RETRY_REFUSED: Duration = Duration::from_secs(2);
/// Collections that are verified and rendered at once.
const IN_FLIGHT: usize = 4;

/// Loads what is published, for ever: what is served must not stand still because of an error of
/// ours.
pub async fn follow(app: App) {
    loop {
        // A set aborts its tasks when it is dropped, as this one must end with us.
        let mut task = JoinSet::new();
        task.spawn(rounds(app.clone()));
        let ended = task.join_next().await;
        tracing::error!(?ended, "the follower stopped; it starts again");
        app.board.lost();
        sleep(MAX_PAUSE).await;
    }
}

async fn rounds(app: App) {
    let poll = app.config.watermark.poll;
    let mut follower = Follower::new(app);
    let mut pause = poll;
    loop {
        match follower.round().await {
            Ok(()) => pause = poll,
            Err(error) => {
                follower.failed(&error);
                pause = (pause * 2).min(MAX_PAUSE);
            }
        }
        sleep(jittered(pause)).await;
    }
}

/// Between three and five quarters of `pause`, so that readers do not ask in step.
fn jittered(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish() % 512;
    let micros = u64::try_from(pause.as_micros()).unwrap_or(u64::MAX / 1_024) / 1_024;
    Duration::from_micros(micros * (768 + random))
}

struct Follower {
    app: App,
    is_schema_checked: bool,
    /// What was logged about a schema that is not ours.
    schema_told: String,
    loaded_at: Option<Instant>,
    all_loaded_at: Option<Instant>,
    /// Refusals and doubts that were logged already.
    told: HashSet<(String, Timestamp, Timestamp, &'static str)>,
}

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
    fn new(app: App) -> Self {
        Self {
            app,
            is_schema_checked: false,
            schema_told: String::new(),
            loaded_at: None,
            all_loaded_at: None,
            told: HashSet::new(),
        }
    }

    fn failed(&mut self, error: &ApiError) {
        self.app.metrics.storage_errors.inc();
        let causes: Vec<String> =
            successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
        let source = causes.join(": ");
        let is_news = self.app.board.lost() || self.loaded_at.is_none();
        let is_loaded = self.app.board.published().is_some();
        let serving = if is_loaded { "serving what is loaded" } else { "nothing to serve yet" };
        if is_foreign_schema(error) {
            // Only an operator can end this: said once, not at every look.
            if self.schema_told != source {
                tracing::error!(
                    problem = source,
                    "the schema is not this binary's: migrate, or use the release that fits; {serving}"
                );
                self.schema_told = source;
            }
        } else if is_news {
            tracing::warn!(%error, source, "the database cannot be read; {serving}");
        }
    }

    /// Looks at the database once. A connection that failed is not used again.
    async fn round(&mut self) -> Result<(), ApiError> {
        let pool = self.app.pool.clone();
        let mut client = pool.get().await?;
        let outcome = self.look(&mut client).await;
        if outcome.is_err() {
            drop(Object::take(client));
        }
        outcome
    }

    async fn look(&mut self, client: &mut ClientWrapper) -> Result<(), ApiError> {
        let settings = &self.app.config.database;
        let (patience, longest) = (settings.connect_timeout, settings.statement_timeout * 10);
        let (watermark, broadcast) =
            timeout(patience, self.ask(client)).await.map_err(|_| late())??;
        let served = self.app.board.published().map(|published| published.watermark);
        if served.is_some_and(|served| watermark < served) {
            self.refuse_older(watermark);
            return Ok(());
        }
        if served != Some(watermark) || self.is_due() {
            timeout(longest, self.load(client)).await.map_err(|_| late())??;
        } else {
            self.app.board.confirm(Timestamp::now());
        }
        // Only now is what browsers would ask for here.
        self.app.board.tell(broadcast);
        Ok(())
    }

    /// The watermark and the broadcast, after the schema was found to be ours.
    async fn ask(
        &mut self,
        client: &mut ClientWrapper,
    ) -> Result<(Timestamp, Option<Timestamp>), ApiError> {
        if !self.is_schema_checked {
            migrate::check(client).await.map_err(|error| ApiError::Backend(error.into()))?;
            self.is_schema_checked = true;
            self.schema_told.clear();
        }
        let (watermark, broadcast) =
            published::watermark_and_broadcast(client, MONITOR_BROADCAST).await?;
        if self.app.board.saw(watermark) && self.loaded_at.is_some() {
            tracing::info!("the database answers again");
        }
        Ok((watermark, broadcast))
    }

    /// Whether something must be loaded although the watermark stands still.
    fn is_due(&self) -> bool {
        let elapsed = |at: Option<Instant>| at.map_or(Duration::MAX, |at| at.elapsed());
        let refused =
            || self.app.board.published().is_some_and(|now| now.refused().next().is_some());
        self.is_everything_due() || (elapsed(self.loaded_at) >= RETRY_REFUSED && refused())
    }

    fn is_everything_due(&self) -> bool {
        let recheck = self.app.config.watermark.recheck;
        self.all_loaded_at.is_none_or(|at| at.elapsed() >= recheck)
    }

    /// A standby that lags, or a database restored from a backup: what was served stays.
    fn refuse_older(&self, watermark: Timestamp) {
        self.app.metrics.reject(Reason::Older);
        if self.app.board.refuse_older() {
            tracing::error!(%watermark, "the database is older than what was served; it is ignored");
        }
    }

    /// Loads what changed, or everything when that is due, in one snapshot.
    async fn load(&mut self, client: &mut ClientWrapper) -> Result<(), ApiError> {
        let everything = self.is_everything_due();
        let old = self.app.board.published();
        let buckets = self.app.config.changes.monitored.buckets();
        let tx = Tx::reading(client);
        tx.begin().await?;
        let watermark = published::watermark(&tx).await?;
        if old.as_ref().is_some_and(|old| watermark < old.watermark) {
            self.refuse_older(watermark);
            return Ok(());
        }
        let public_buckets = published::public_buckets(&tx, &buckets).await?;
        let rows = published::chains(&tx).await?;
        let chains = Arc::new(Chains::new(rows, old.as_ref().map(|old| &*old.chains)));
        let mut versions = published::versions(&tx, &buckets).await?;
        versions.retain(|v| self.app.config.changes.monitored.contains(&v.bucket, &v.collection));
        let mut slots = Vec::with_capacity(versions.len());
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
        let (wardrobe, old) = (&self.app.wardrobe, old.as_deref());
        let published = Published::new(watermark, wardrobe, slots, public_buckets, chains, old);
        let (watch, rules) = (&self.app.metrics.certificates, self.app.config.certificates);
        watch.remind(&published.certificates(), rules, Timestamp::now());
        self.app.board.publish(published);
        self.app.board.confirm(Timestamp::now());
        self.loaded_at = Some(Instant::now());
        if everything {
            self.all_loaded_at = self.loaded_at;
        }
        Ok(())
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
        let metadata = published::metadata(tx, bucket, id).await;
        let rows = published::records(tx, bucket, id).await;
        let (metadata, rows) = match (metadata, rows) {
            (Ok(metadata), Ok(rows)) => (metadata.unwrap_or_default(), rows),
            (Err(error), _) | (_, Err(error)) if is_content(&error) => {
                return Ok(Work::Refuse(Reason::Unreadable));
            }
            (Err(error), _) | (_, Err(error)) => return Err(error),
        };
        let source = Source { version: version.clone(), metadata, rows };
        let (config, wardrobe) = (self.app.config.clone(), self.app.wardrobe.clone());
        Ok(Work::Build(spawn_blocking(move || {
            let context = Context {
                rules: &config.signature,
                chains: &chains,
                chains_base: config.chains_base.as_ref(),
                wardrobe: &wardrobe,
                now: Timestamp::now(),
            };
            build(source, &context, old.as_ref())
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
                        self.tell(&version, doubt, "is shown in spite of its signature");
                    }
                    (Some(built.collection), None)
                }
                Ok(Err(reason)) => (good, Some(reason)),
                // A panic of ours: nothing of it may be shown.
                Err(_) => (good, Some(Reason::Unreadable)),
            },
        };
        if let Some(reason) = refused {
            self.tell(&version, reason, "is not shown; its last good state is");
        }
        let slot = Slot { good, refused, public: version.public };
        (version.bucket, version.collection, slot)
    }

    /// Counts every time, logs once.
    fn tell(&mut self, version: &Version, reason: Reason, what: &str) {
        self.app.metrics.reject(reason);
        // What was told long ago may be told again: this must not grow for ever.
        if self.told.len() > 10_000 {
            self.told.clear();
        }
        let (bucket, collection) = (&version.bucket, &version.collection);
        let (timestamp, metadata) = (version.timestamp, version.metadata_timestamp);
        if self.told.insert((format!("{bucket}/{collection}"), timestamp, metadata, reason.name()))
        {
            tracing::error!(bucket, collection, reason = reason.name(), "a collection {what}");
        }
    }
}

fn is_same(good: &Collection, version: &Version) -> bool {
    (good.timestamp, good.metadata_timestamp, good.horizon)
        == (version.timestamp, version.metadata_timestamp, version.tombstone_horizon)
}

/// Whether the database answers, and is of another version than ours.
fn is_foreign_schema(error: &ApiError) -> bool {
    successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source()).any(|cause| {
        matches!(cause.downcast_ref(), Some(SchemaError::Version { .. } | SchemaError::Changed(_)))
    })
}

/// Whether a row arrived, and is not what it should be.
fn is_content(error: &ApiError) -> bool {
    successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source())
        .any(<dyn Error>::is::<serde_json::Error>)
}

fn late() -> ApiError {
    ApiError::backend("PostgreSQL does not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_is_told_from_a_database_that_is_away() {
        let schema = SchemaError::Version { found: 9, hint: "use a newer binary" };
        assert!(is_foreign_schema(&ApiError::Backend(schema.into())));
        assert!(is_foreign_schema(&ApiError::Backend(SchemaError::Changed(1).into())));
        assert!(!is_foreign_schema(&late()));
    }

    #[test]
    fn a_pause_varies_by_a_quarter() {
        let pause = Duration::from_millis(200);

        for _ in 0..100 {
            let jittered = jittered(pause);
            assert!(jittered > pause * 7 / 10 && jittered < pause * 13 / 10, "{jittered:?}");
        }
    }
}
