//! Follows the publication watermark: loads, verifies and shows what changed.

mod load;
mod news;
mod probe;
mod restore;
mod vanished;

use std::{
    hash::{BuildHasher as _, Hasher as _, RandomState},
    time::Duration,
};

use deadpool_postgres::ClientWrapper;
use shared::{
    error::ApiError,
    model::Timestamp,
    store::{
        Connected, migrate,
        published::{self, Look},
    },
    wire::MONITOR_BROADCAST,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use self::{news::News, probe::Prober};
use crate::{app::App, snapshot::Reason};

/// Longest pause after a failure.
const MAX_PAUSE: Duration = Duration::from_secs(5);
/// What was refused is looked at again after this time.
const RETRY_REFUSED: Duration = Duration::from_secs(2);
/// So often a load is tried again at once that a standby has cancelled.
const CANCELLED_TRIES: usize = 3;

/// Loads what is published, for ever: what is served must not stand still because of an error of
/// ours.
pub async fn follow(app: App) {
    loop {
        // A set aborts its tasks when it is dropped, as this one must end with us.
        let mut task = JoinSet::new();
        task.spawn(rounds(app.clone()));
        if let Some(disk) = &app.disk {
            task.spawn(disk.clone().write_snapshots());
        }
        let ended = task.join_next().await;
        tracing::error!(?ended, "the follower stopped; it starts again");
        app.board.lost();
        sleep(MAX_PAUSE).await;
    }
}

async fn rounds(app: App) {
    let poll = app.config.watermark.poll;
    restore::restore(&app).await;
    let mut follower = Follower::new(app);
    let mut pause = poll;
    loop {
        match follower.round().await {
            Ok(Standing::Current) => pause = poll,
            // Where there is another server, that one is asked next.
            Ok(Standing::Older) if follower.app.link.hosts().len() == 1 => pause = poll,
            Ok(Standing::Older) => pause = (pause * 2).min(MAX_PAUSE),
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

/// How a database stands beside what is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// What is served is what it has.
    Current,
    /// It has less than what is served.
    Older,
}

struct Follower {
    app: App,
    connected: Option<Connected>,
    /// The server that was asked last.
    index: usize,
    prober: Prober,
    is_schema_checked: bool,
    news: News,
    /// What the last look told.
    seen: Option<Look>,
    loaded_at: Option<Instant>,
    all_loaded_at: Option<Instant>,
}

impl Follower {
    fn new(app: App) -> Self {
        let settings = &app.config.database;
        let hosts = app.link.hosts().clone();
        let prober = Prober::new(hosts, settings.probe, settings.connect_timeout);
        Self {
            app,
            connected: None,
            index: 0,
            prober,
            is_schema_checked: false,
            news: News::default(),
            seen: None,
            loaded_at: None,
            all_loaded_at: None,
        }
    }

    fn failed(&mut self, error: &ApiError) {
        let address = self.app.link.hosts().name(self.index);
        self.news.failed(&self.app, error, address, self.loaded_at.is_none());
    }

    /// Looks at the database once. A connection that failed is not used again, and after it another
    /// server comes first: one that accepts and says nothing must not be asked for ever.
    async fn round(&mut self) -> Result<Standing, ApiError> {
        self.change_server().await;
        let hosts = self.app.link.hosts().clone();
        let mut connected = self.connect().await?;
        let outcome = self.look(&mut connected.client).await;
        match outcome {
            Ok(Standing::Older) if hosts.len() > 1 => hosts.avoid(self.index),
            Ok(_) => {
                self.connected = Some(connected);
                self.app.public.follow(self.index);
            }
            Err(_) => hosts.avoid(self.index),
        }
        outcome
    }

    /// The connection of the round before, or a new one to the server whose turn it is.
    async fn connect(&mut self) -> Result<Connected, ApiError> {
        if let Some(connected) = self.connected.take().filter(|last| !last.client.is_closed()) {
            return Ok(connected);
        }
        let hosts = self.app.link.hosts();
        self.index = hosts.first();
        self.is_schema_checked = false;
        hosts.connect_to(self.index).await.map_err(|error| {
            hosts.avoid(self.index);
            ApiError::Backend(error.into())
        })
    }

    /// Takes a better server where the prober has found one that is no older than what is served.
    async fn change_server(&mut self) {
        let Some(seen) = self.seen.filter(|_| self.connected.is_some()) else { return };
        let ours = probe::Standing::new(self.index, &seen);
        let Some(other) = self.prober.better(ours) else { return };
        // Some time has passed since the prober looked.
        let look = timeout(
            self.app.config.database.connect_timeout,
            published::look(&other.connected.client, MONITOR_BROADCAST),
        );
        let Ok(Ok(look)) = look.await else { return };
        let served = self.app.board.published().map(|published| published.watermark);
        if served.is_none_or(|served| look.watermark >= served) {
            self.index = other.connected.index;
            self.connected = Some(other.connected);
            self.is_schema_checked = false;
            self.app.link.hosts().prefer(self.index);
        }
    }

    async fn look(&mut self, client: &mut ClientWrapper) -> Result<Standing, ApiError> {
        let patience = self.app.config.database.connect_timeout;
        let look = timeout(patience, self.ask(client)).await.map_err(|_| late())??;
        let served = self.app.board.published().map(|published| published.watermark);
        if served.is_some_and(|served| look.watermark < served) {
            self.refuse_older(look.watermark);
            return Ok(Standing::Older);
        }
        let is_news = served != Some(look.watermark) || self.is_due();
        if is_news && self.load_patiently(client).await? == Standing::Older {
            return Ok(Standing::Older);
        }
        if !is_news {
            self.app.board.confirm();
        }
        // Only now is what browsers would ask for here.
        self.app.board.tell(look.broadcast);
        let is_other_broadcast = self.seen.is_none_or(|seen| seen.broadcast != look.broadcast);
        if is_news || is_other_broadcast {
            self.save(&look);
        }
        self.seen = Some(look);
        Ok(Standing::Current)
    }

    /// A standby cancels a load when it must replay what the load still reads: the next one reads a
    /// later state.
    async fn load_patiently(&mut self, client: &mut ClientWrapper) -> Result<Standing, ApiError> {
        let longest = self.app.config.database.statement_timeout * 10;
        let mut tries = 1;
        loop {
            let loaded = timeout(longest, self.load(client)).await.map_err(|_| late())?;
            match loaded {
                Err(error) if published::is_cancelled(&error) && tries < CANCELLED_TRIES => {
                    tracing::info!(%error, "a standby cancelled a load, which is tried again");
                    tries += 1;
                }
                loaded => return loaded,
            }
        }
    }

    /// The watermark and the broadcast, after the schema was found to be ours.
    async fn ask(&mut self, client: &ClientWrapper) -> Result<Look, ApiError> {
        if !self.is_schema_checked {
            migrate::check(client).await.map_err(|error| ApiError::Backend(error.into()))?;
            self.is_schema_checked = true;
            self.news.schema_fits();
        }
        let look = published::look(client, MONITOR_BROADCAST).await?;
        self.app.link.saw(self.index, &look);
        if self.app.board.saw(look.watermark) && self.loaded_at.is_some() {
            tracing::info!("the database answers again");
        }
        Ok(look)
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
            let address = self.app.link.hosts().name(self.index);
            tracing::error!(%watermark, address, "the database is older than what was served; it is ignored");
        }
    }

    fn save(&self, look: &Look) {
        if let (Some(disk), Some(published)) = (&self.app.disk, self.app.board.published()) {
            disk.save(&published, look.broadcast, Timestamp::now());
        }
    }
}

fn late() -> ApiError {
    ApiError::backend("PostgreSQL does not answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_varies_by_a_quarter() {
        let pause = Duration::from_millis(200);

        for _ in 0..100 {
            let jittered = jittered(pause);
            assert!(jittered > pause * 7 / 10 && jittered < pause * 13 / 10, "{jittered:?}");
        }
    }
}
