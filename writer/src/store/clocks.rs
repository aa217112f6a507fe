//! Timestamps under row locks: what makes them unique and increasing in commit order.
//!
//! A list's row is locked before anything is read for a decision, and held until the transaction
//! ends: writers of one list queue up, so a timestamp is never visible before a smaller one, and
//! a client that polls cannot miss a change. What is published takes the one publication clock as
//! its last lock as well (`docs/adr/0001-two-services-one-clock.md`).

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

use shared::{
    error::ApiError,
    model::{Id, ListPath, Resource, Timestamp},
    parameters,
    store::{Tx, Write},
};
use tokio::try_join;

pub use super::clock_rows::prepare;
use super::clock_rows::{lock_publication, lock_rows, make_rows};
use crate::locks::Outdated;

/// A list as a lock: ordered from the inside out, so that crossing requests cannot deadlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock(pub ListPath);

impl Lock {
    fn order(&self) -> (u8, &str, &str) {
        let level = match self.0.resource() {
            Resource::Record => 0,
            Resource::Collection => 1,
            Resource::Group => 2,
            Resource::Bucket => 3,
            Resource::Account => 4,
            // Every write may make history, so its clock comes last.
            Resource::History => 5,
        };
        (level, self.0.bucket_id(), self.0.collection_id())
    }
}

impl Ord for Lock {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Lock {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(Debug, Clone, Copy)]
struct Clock {
    stored: Timestamp,
    current: Timestamp,
    /// How many more live objects the list has than is stored.
    more: i64,
    /// When the list came into being, if it did so now.
    opened: Option<Timestamp>,
}

impl Clock {
    const fn new(stored: Timestamp) -> Self {
        Self { stored, current: stored, more: 0, opened: None }
    }
}

/// The clocks that one transaction holds. They advance in memory and are stored once, at its end.
#[derive(Debug, Default)]
pub struct Clocks {
    lists: BTreeMap<Lock, Clock>,
    publication: Option<Clock>,
    /// All that is locked, also what was deleted since.
    locked: BTreeSet<Lock>,
    /// Ids that were made up a moment ago: nobody else knows what is below.
    made_up: BTreeSet<Id>,
    /// Nobody else can hold any lock.
    is_alone: bool,
}

impl Clocks {
    /// Locks lists in their order, then the publication clock where something is published, in
    /// one round trip. Whether all had a row: those that had none are not locked.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn lock(
        &mut self,
        tx: &Tx<'_>,
        lists: BTreeSet<Lock>,
        publication: bool,
    ) -> Result<bool, ApiError> {
        let lists: Vec<Lock> =
            lists.into_iter().filter(|lock| !self.lists.contains_key(lock)).collect();
        let publication = async {
            if publication && self.publication.is_none() {
                Ok(Some(Clock::new(lock_publication(tx).await?)))
            } else {
                Ok(self.publication)
            }
        };
        let (found, published) = try_join!(lock_rows(tx, &lists), publication)?;
        self.publication = published;
        let mut complete = true;
        for (lock, stored) in lists.into_iter().zip(found) {
            match stored {
                Some(stored) => self.note(lock, stored),
                None => complete = false,
            }
        }
        Ok(complete)
    }

    /// Locks lists in their order, and makes the rows that are missing, each in its turn.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn lock_or_make(
        &mut self,
        tx: &Tx<'_>,
        lists: BTreeSet<Lock>,
        publication: bool,
    ) -> Result<(), ApiError> {
        let lists: Vec<Lock> = lists.into_iter().collect();
        let stored = make_rows(tx, &lists).await?;
        for (lock, stored) in lists.into_iter().zip(stored) {
            self.note(lock, stored);
        }
        if publication {
            self.hold_publication(tx).await?;
        }
        Ok(())
    }

    fn note(&mut self, lock: Lock, stored: Timestamp) {
        self.locked.insert(lock.clone());
        self.lists.insert(lock, Clock::new(stored));
    }

    /// Of a transaction that has locked them all ([`super::maintenance::lock`]): their order is nothing
    /// to it.
    pub fn of_nobody_else() -> Self {
        Self { is_alone: true, ..Self::default() }
    }

    /// The list's timestamp, locked.
    ///
    /// # Errors
    ///
    /// [`Outdated`] where the lock comes before one that is held: to wait for it could be a
    /// deadlock. [`ApiError::Backend`] when the lock is not granted in time.
    pub async fn hold(&mut self, tx: &Tx<'_>, list: &ListPath) -> Result<Timestamp, ApiError> {
        let key = Lock(list.clone());
        if let Some(clock) = self.lists.get(&key) {
            return Ok(clock.current);
        }
        if !self.may_wait_for(&key) {
            return Err(Outdated::because_of([key]).into());
        }
        let found = lock_rows(tx, std::slice::from_ref(&key)).await?;
        let stored = match found.first() {
            Some(Some(stored)) => *stored,
            _ => make_rows(tx, std::slice::from_ref(&key)).await?.pop().unwrap_or_default(),
        };
        self.note(key, stored);
        Ok(stored)
    }

    /// Whether the lock comes last, or nobody else can have it.
    fn may_wait_for(&self, lock: &Lock) -> bool {
        if self.is_alone {
            return true;
        }
        let is_history = lock.0.resource() == Resource::History;
        let made_up = |id: &str| self.made_up.iter().any(|known| known.as_str() == id);
        let comes_last = (self.publication.is_none() || is_history)
            && self.locked.last().is_none_or(|last| last < lock);
        comes_last
            || self.locked.contains(lock)
            || made_up(lock.0.bucket_id())
            || made_up(lock.0.collection_id())
    }

    /// The buckets in which lists are locked.
    pub fn buckets(&self) -> BTreeSet<&str> {
        let buckets = self.locked.iter().map(|lock| lock.0.bucket_id());
        buckets.filter(|id| !id.is_empty()).collect()
    }

    /// Whether the list is locked, also where it was deleted since.
    pub fn is_locked(&self, lock: &Lock) -> bool {
        self.locked.contains(lock)
    }

    /// Whether the id was made up a moment ago: nobody else knows what is below.
    pub fn is_made_up(&self, id: &Id) -> bool {
        self.made_up.contains(id)
    }

    /// Notes that an id was made up a moment ago, so that nobody holds a lock below it.
    pub fn make_up(&mut self, id: &Id) {
        self.made_up.insert(id.clone());
    }

    /// The timestamp of a list that is locked already.
    pub fn known(&self, list: &ListPath) -> Option<Timestamp> {
        self.lists.get(&Lock(list.clone())).map(|clock| clock.current)
    }

    async fn hold_publication(&mut self, tx: &Tx<'_>) -> Result<Timestamp, ApiError> {
        if let Some(clock) = self.publication {
            return Ok(clock.current);
        }
        let stored = lock_publication(tx).await?;
        self.publication = Some(Clock::new(stored));
        Ok(stored)
    }

    /// The first of `count` consecutive timestamps of a list: the last is `now`, or later where
    /// the list, or what was published, has reached `now` already. With `publish` they come from
    /// the publication clock, too.
    ///
    /// A large count is taken backwards from now, out of the gap above the list's previous
    /// timestamp, and runs ahead of the wall clock only for the rest.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn take(
        &mut self,
        tx: &Tx<'_>,
        list: &ListPath,
        now: Timestamp,
        count: usize,
        publish: bool,
    ) -> Result<Timestamp, ApiError> {
        let count = i64::try_from(count.max(1)).unwrap_or(i64::MAX);
        let previous = self.hold(tx, list).await?;
        let mut end = now.max(previous.plus_millis(count));
        if publish {
            end = end.max(self.hold_publication(tx).await?.plus_millis(1));
            if let Some(clock) = &mut self.publication {
                clock.current = end;
            }
        }
        self.advance(list, end);
        Ok(end.plus_millis(1 - count))
    }

    /// Moves a list's timestamp to one that a client gave, and that is later.
    pub fn advance(&mut self, list: &ListPath, to: Timestamp) {
        if let Some(clock) = self.lists.get_mut(&Lock(list.clone())) {
            clock.current = clock.current.max(to);
        }
    }

    /// Notes that a list has come into being, with its present timestamp: there are no tombstones of
    /// a former list of that name.
    pub fn open(&mut self, list: &ListPath) {
        if let Some(clock) = self.lists.get_mut(&Lock(list.clone())) {
            clock.opened = Some(clock.current);
        }
    }

    /// The latest timestamp of the lists in a bucket, as far as they are locked.
    pub fn latest_in(&self, bucket: &str) -> Option<Timestamp> {
        let lists = self.lists.iter().filter(|(lock, _)| lock.0.bucket_id() == bucket);
        lists.map(|(_, clock)| clock.current).max()
    }

    /// Notes that a list has so many more live objects, or fewer.
    pub fn count(&mut self, list: &ListPath, more: i64) {
        if let Some(clock) = self.lists.get_mut(&Lock(list.clone())) {
            clock.more += more;
        }
    }

    /// How many more live objects the list has than is stored.
    pub fn uncounted(&self, list: &ListPath) -> i64 {
        self.lists.get(&Lock(list.clone())).map_or(0, |clock| clock.more)
    }

    /// Forgets lists that were deleted with their parent, so that they are not stored again.
    pub fn forget(&mut self, gone: impl Fn(&ListPath) -> bool) {
        self.lists.retain(|lock, _| !gone(&lock.0));
    }

    /// Marks what is published as changed although no timestamp of it was taken.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when the lock is not granted in time.
    pub async fn touch_publication(&mut self, tx: &Tx<'_>, now: Timestamp) -> Result<(), ApiError> {
        let current = self.hold_publication(tx).await?;
        if let Some(clock) = &mut self.publication
            && clock.current == clock.stored
        {
            clock.current = current.next(now);
        }
        Ok(())
    }

    /// Notes that the statements of [`Self::store`] have run.
    pub fn stored(&mut self) {
        self.lists.values_mut().for_each(|clock| *clock = Clock::new(clock.current));
    }

    /// The statements that store what has moved.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn store(&self, tx: &Tx<'_>) -> Result<Vec<Write>, ApiError> {
        // The clock of history may have moved on its own.
        const LIST: &str = "
            update resource_timestamp
               set last_modified = greatest(last_modified, $4), live = live + $5
            where bucket_id = $1 and collection_id = $2 and resource_name = $3";
        const OPENED: &str = "
            update resource_timestamp set tombstone_horizon = greatest(tombstone_horizon, $4)
            where bucket_id = $1 and collection_id = $2 and resource_name = $3";
        const PUBLICATION: &str = "update publication_clock set last_modified = $1";

        let mut writes = Vec::new();
        for (Lock(list), clock) in &self.lists {
            let (name, millis) = (list.resource().name(), clock.current.as_millis());
            let place = || (list.bucket_id().to_owned(), list.collection_id().to_owned());
            if clock.current != clock.stored || clock.more != 0 {
                let (bucket, collection) = place();
                let parameters = parameters![bucket, collection, name, millis, clock.more];
                writes.push(tx.write(LIST, parameters).await?);
            }
            if let Some(opened) = clock.opened {
                let (bucket, collection) = place();
                let parameters = parameters![bucket, collection, name, opened.as_millis()];
                writes.push(tx.write(OPENED, parameters).await?);
            }
        }
        if let Some(clock) = self.publication.filter(|clock| clock.current != clock.stored) {
            writes.push(tx.write(PUBLICATION, parameters![clock.current.as_millis()]).await?);
        }
        Ok(writes)
    }
}

/// Removes a list's row: it was locked, and whoever waits for it finds that it is gone.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase(tx: &Tx<'_>, list: &ListPath) -> Result<(), ApiError> {
    const SQL: &str = "
        delete from resource_timestamp
        where bucket_id = $1 and collection_id = $2 and resource_name = $3";

    let statement = tx.prepare_cached(SQL).await?;
    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    tx.execute(&statement, &[&bucket, &collection, &list.resource().name()]).await?;
    Ok(())
}

/// How many live objects a list has.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn live(tx: &Tx<'_>, list: &ListPath) -> Result<i64, ApiError> {
    const SQL: &str = "
        select live from resource_timestamp
        where bucket_id = $1 and collection_id = $2 and resource_name = $3";

    let statement = tx.prepare_cached(SQL).await?;
    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    let row = tx.query_opt(&statement, &[&bucket, &collection, &list.resource().name()]).await?;
    row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
}

/// A list's timestamp without a lock, for reads.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn read(tx: &Tx<'_>, list: &ListPath) -> Result<Option<Timestamp>, ApiError> {
    const SQL: &str = "
        select last_modified from resource_timestamp
        where bucket_id = $1 and collection_id = $2 and resource_name = $3";

    let statement = tx.prepare_cached(SQL).await?;
    let (bucket, collection) = (list.bucket_id(), list.collection_id());
    let row = tx.query_opt(&statement, &[&bucket, &collection, &list.resource().name()]).await?;
    row.map(|row| Ok(Timestamp::from_millis(row.try_get(0)?))).transpose()
}

/// Which lists of a bucket have a timestamp: what deleting the bucket must lock.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn collections_with_clock(tx: &Tx<'_>, bucket: &str) -> Result<Vec<String>, ApiError> {
    const SQL: &str = "
        select collection_id from resource_timestamp
        where bucket_id = $1 and resource_name = 'record' order by collection_id";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&bucket]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Writes a row that nobody will see: the caller rolls back.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL does not take writes.
pub async fn probe(tx: &Tx<'_>) -> Result<(), ApiError> {
    const SQL: &str = "insert into resource_timestamp values ('', '', '__heartbeat__', 0)";

    tx.execute(SQL, &[]).await?;
    Ok(())
}
