//! What is read from the database when somebody asks.
//!
//! It is remembered for a moment, so that a crowd costs one read; few are read at once, on
//! connections of their own, so that the follower never waits for them; and nobody waits long.

use std::sync::Arc;

use deadpool_postgres::{Object, Pool};
use moka::future::Cache;
use prometheus::IntCounter;
use serde_json::{Map, Value};
use shared::{
    config::{self, cache_expires},
    error::{ApiError, with_causes},
    model::{ListPath, ObjectPath, Resource, Timestamp},
    store::{self, Hosts, Tx, public, published},
};
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{list::Listed, reads::Reads};
use crate::{
    app::App,
    gate::{Bounds, Gate},
    snapshot::{Change, Draft, shown},
};

/// How many may wait for each that is read: more could not be served in time.
const SEATS: usize = 32;
/// What of an object is remembered besides its members.
const OVERHEAD: usize = 512;

/// An object as everybody sees it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Whether everybody may read it.
    pub is_readable: bool,
    /// Whether the collection exists that it would be in.
    pub has_parent: bool,
    /// Its timestamp, and the object with its `id` and `last_modified`.
    pub found: Option<(Timestamp, Map<String, Value>)>,
    /// `cache_expires` of a record's collection.
    pub attribute: Option<u32>,
    bytes: usize,
}

/// A list, or what is told instead of it.
#[derive(Debug, Clone)]
enum Told {
    List(Listed),
    Private,
    NoCollection,
}

/// The database, as those see it who ask for what is not published.
#[derive(Debug)]
pub struct Database {
    pool: Pool,
    lists: Cache<ListPath, Told>,
    objects: Cache<ObjectPath, Arc<Seen>>,
    hosts: Arc<Hosts>,
    guards: Option<String>,
    reads: Gate,
    scans: Gate,
    settings: Reads,
}

impl Database {
    /// Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// When the database's URL cannot be read.
    pub fn new(
        settings: &Reads,
        database: &config::Database,
        refused: &IntCounter,
    ) -> Result<Self, ApiError> {
        let own = config::Database {
            pool_size: settings.at_once,
            statement_timeout: settings.patience.min(database.statement_timeout),
            connect_timeout: settings.patience.min(database.connect_timeout),
            ..database.clone()
        };
        let half = settings.max_bytes as u64 / 2;
        let hosts = Arc::new(Hosts::new(&own, "countersign-reader-public")?);
        let few = Bounds {
            places: settings.at_once,
            seats: settings.at_once * SEATS,
            patience: settings.patience,
        };
        Ok(Self {
            guards: hosts.guards().map(str::to_owned),
            pool: store::pool_of(&own, hosts.clone())?,
            hosts,
            lists: Cache::builder()
                .max_capacity(half)
                .time_to_live(settings.keep)
                .weigher(|_, told: &Told| weight(told.bytes()))
                .build(),
            objects: Cache::builder()
                .max_capacity(half)
                .time_to_live(settings.keep)
                .weigher(|_, seen: &Arc<Seen>| weight(seen.bytes))
                .build(),
            reads: Gate::new(few, refused.clone()),
            scans: Gate::new(few, refused.clone()),
            settings: settings.clone(),
        })
    }

    /// Its connections.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Reads at this server from now on, which is followed: whoever follows knows which of them
    /// answer, and are not behind.
    pub fn follow(&self, server: usize) {
        if self.hosts.first() != server {
            self.hosts.prefer(server);
            self.pool.retain(|_, _| false);
        }
    }

    /// An object.
    ///
    /// # Errors
    ///
    /// 503 when the database is away, or too many others are read.
    pub async fn object(&self, app: &App, path: &ObjectPath) -> Result<Arc<Seen>, ApiError> {
        let load = async {
            let seen = self.read(app, async |tx| public::object(tx, path).await).await?;
            Ok(Arc::new(object(app, path, seen)))
        };
        self.objects.try_get_with_by_ref(path, load).await.map_err(|error| again(&error))
    }

    /// A list.
    ///
    /// # Errors
    ///
    /// 401 when everybody may see nothing of it, 404 when there is no such collection; 503 as
    /// above, or when it is too large.
    pub async fn list(&self, app: &App, list: &ListPath) -> Result<Listed, ApiError> {
        let max_bytes = self.settings.max_bytes;
        let load = async {
            match self.read(app, async |tx| public::list(tx, list, max_bytes).await).await {
                Ok(listed) => Ok(Told::List(listed_of(app, list, listed))),
                Err(ApiError::MissingAuth) => Ok(Told::Private),
                Err(ApiError::NoSuchParent { .. }) => Ok(Told::NoCollection),
                Err(error) => Err(error),
            }
        };
        match self.lists.try_get_with_by_ref(list, load).await.map_err(|error| again(&error))? {
            Told::List(listed) => Ok(listed),
            Told::Private => Err(ApiError::MissingAuth),
            Told::NoCollection => {
                let id = list.collection_id().to_owned();
                Err(ApiError::NoSuchParent { resource: Resource::Collection, id })
            }
        }
    }

    /// The right to look through a long list.
    ///
    /// # Errors
    ///
    /// 503 when too many others do.
    pub async fn scan(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        self.scans.enter().await
    }

    /// Reads in one snapshot of the database, in bounded time. A connection that failed is not used
    /// again.
    async fn read<T>(
        &self,
        app: &App,
        read: impl AsyncFnOnce(&Tx<'_>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let all = async {
            if !app.board.is_reachable() {
                return Err(ApiError::backend("the database does not answer"));
            }
            let _place = self.reads.enter().await?;
            let mut client = self.pool.get().await?;
            app.metrics.database_reads.inc();
            let outcome = {
                let tx = Tx::reading(&mut client).guarded(self.guards.as_deref());
                let outcome = async {
                    tx.begin().await?;
                    is_young_enough(app, &tx).await?;
                    read(&tx).await
                };
                outcome.await
            };
            if matches!(outcome, Err(ApiError::Backend(_) | ApiError::Internal(_))) {
                drop(Object::take(client));
            }
            outcome
        };
        let outcome = timeout(self.settings.patience, all).await.map_err(|_| late()).flatten();
        if let Err(error) = &outcome
            && error.contract().0.is_server_error()
        {
            app.metrics.database_reads_failed.inc();
            tracing::debug!(problem = with_causes(error), "a public object cannot be read");
        }
        outcome
    }
}

/// A standby that lags behind what is served must not show an older world beside it.
async fn is_young_enough(app: &App, tx: &Tx<'_>) -> Result<(), ApiError> {
    let served = app.board.published().map(|published| published.watermark);
    if served.is_some() && Some(published::watermark(tx).await?) < served {
        return Err(ApiError::backend("the database is older than what is served"));
    }
    Ok(())
}

fn object(app: &App, path: &ObjectPath, seen: public::Seen) -> Seen {
    let found = seen.found.map(|(timestamp, mut attributes)| {
        rewrite(app, path.resource(), &mut attributes);
        (timestamp, shown(&path.id, timestamp, &attributes))
    });
    let length = |object: &Map<String, Value>| serde_json::to_vec(object).map_or(0, |v| v.len());
    Seen {
        is_readable: seen.is_readable,
        has_parent: seen.has_parent,
        // In memory, members take several times their text.
        bytes: found.as_ref().map_or(0, |(_, object)| length(object) * 4) + OVERHEAD,
        found,
        attribute: seen.collection.as_ref().and_then(cache_expires),
    }
}

fn listed_of(app: &App, list: &ListPath, listed: public::Listed) -> Listed {
    let public::Listed { timestamp, rows, collection } = listed;
    let changes: Vec<Change> = rows
        .into_iter()
        .map(|mut row| {
            rewrite(app, list.resource(), &mut row.data);
            Change {
                last_modified: row.last_modified,
                deleted: row.deleted,
                json: row.into_value().to_string().into_bytes(),
            }
        })
        .collect();
    let rows = Arc::new(Draft::new(b"{}", timestamp, &changes));
    Listed { timestamp, attribute: collection.as_ref().and_then(cache_expires), rows }
}

/// Clients fetch chains where the settings say, wherever they read of them.
fn rewrite(app: &App, resource: Resource, attributes: &mut Map<String, Value>) {
    if let (Resource::Collection, Some(base)) = (resource, &app.config.chains_base) {
        base.rewrite_all(attributes);
    }
}

impl Told {
    fn bytes(&self) -> usize {
        match self {
            Self::List(listed) => listed.rows.bytes() + OVERHEAD,
            Self::Private | Self::NoCollection => OVERHEAD,
        }
    }
}

fn weight(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn late() -> ApiError {
    ApiError::backend("the database is slow")
}

/// The error of the one who read, for all who waited.
fn again(error: &ApiError) -> ApiError {
    if matches!(error, ApiError::Internal(_)) {
        return ApiError::internal(with_causes(error));
    }
    ApiError::backend(with_causes(error))
}
