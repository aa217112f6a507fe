//! The timestamps of lists in a transaction, and which of them readers follow.

use std::collections::BTreeSet;

use shared::{
    error::ApiError,
    model::{Id, ListPath, Timestamp},
};

use super::Ctx;
use crate::{
    app::App,
    plugins::quotas,
    signoff::Role,
    store::{clocks, lookup::ListState},
};

impl Ctx<'_> {
    /// The timestamp of a list that is read; now, if the list never had one.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn list_time(&mut self, list: &ListPath) -> Result<Timestamp, ApiError> {
        if let Some(current) = self.clocks.known(list) {
            return Ok(current);
        }
        let stored = match self.states.get(list) {
            Some(state) => state.as_ref().map(|state| state.timestamp),
            None => clocks::read(self.settled().await?, list).await?,
        };
        Ok(stored.unwrap_or(self.now))
    }

    /// Which state of a list the transaction sees, if it only reads it.
    pub fn list_state(&self, list: &ListPath) -> Option<&ListState> {
        self.states.get(list)?.as_ref()
    }

    /// Locks a list for the rest of the transaction, and returns its timestamp.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when the lock is not granted in time.
    pub async fn hold(&mut self, list: &ListPath) -> Result<Timestamp, ApiError> {
        self.clocks.hold(self.tx, list).await
    }

    /// Locks the clocks of history of all buckets that the transaction may change, and of those whose
    /// history it deletes, and before them their counters: to be called before the clock of `bucket`'s
    /// history is locked in the midst of a transaction. No lock comes after these, and they have
    /// an order, too: none may be held while others are still to be taken.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn hold_histories(&mut self, bucket: &Id) -> Result<(), ApiError> {
        if self.held_to_the_last.contains(bucket) {
            return Ok(());
        }
        let changed = self.clocks.buckets().into_iter().map(Id::new).collect::<Result<_, _>>();
        let mut buckets: BTreeSet<Id> =
            changed.map_err(|error| ApiError::Internal(error.into()))?;
        buckets.extend(self.shortened.iter().cloned());
        buckets.insert(bucket.clone());
        quotas::lock(self, &buckets).await?;
        self.held_to_the_last.extend(buckets.iter().cloned());
        if !self.app.config.history.enabled {
            return Ok(());
        }
        for bucket in buckets {
            let list = ListPath::History(bucket);
            if self.hold(&list).await? == Timestamp::ZERO {
                // A list that nobody has asked for has its first timestamp when somebody does.
                self.clocks.advance(&list, self.now);
            }
        }
        Ok(())
    }

    /// Takes the next timestamp for the object `id` of `list`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn next_timestamp(
        &mut self,
        list: &ListPath,
        id: &str,
    ) -> Result<Timestamp, ApiError> {
        let publish = self.publishes(list, id);
        self.clocks.take(self.tx, list, self.now, 1, publish).await
    }

    /// Takes `count` consecutive timestamps for objects of a list, and returns the first. Entries
    /// of the history are later than what they tell of: clients ask for what came since then.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn next_timestamps(
        &mut self,
        list: &ListPath,
        count: usize,
    ) -> Result<Timestamp, ApiError> {
        let publish = self.publishes(list, "");
        let now = match list {
            ListPath::History(_) => self.now.plus_millis(1),
            ListPath::Buckets
            | ListPath::Groups(_)
            | ListPath::Collections(_)
            | ListPath::Records(..)
            | ListPath::Accounts => self.now,
        };
        self.clocks.take(self.tx, list, now, count, publish).await
    }

    /// Gives a list that has just come into being its first timestamp, which is not before `earliest`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn open_list(
        &mut self,
        list: &ListPath,
        earliest: Timestamp,
    ) -> Result<(), ApiError> {
        self.next_timestamp(list, "").await?;
        self.clocks.advance(list, earliest);
        // Clients may know a former list of that name, of which no tombstone is left: they are sent
        // the whole list (`remote-settings.md` §9.3.4).
        if matches!(list, ListPath::Records(..)) && self.is_published(list, "") {
            self.clocks.open(list);
        }
        Ok(())
    }

    /// Whether changing the object changes what readers serve.
    pub fn is_published(&self, list: &ListPath, id: &str) -> bool {
        is_published(self.app, list, id)
    }

    /// The same, when it is about to be changed: caches will be told.
    fn publishes(&mut self, list: &ListPath, id: &str) -> bool {
        let is_published = self.is_published(list, id);
        if is_published && self.app.config.purge.is_on() {
            self.purged.note(list, id);
        }
        is_published
    }
}

/// Whether changing the object changes what readers serve: records and metadata of published
/// collections, and buckets, whose permissions decide who may read. Previews and destinations
/// count also where `changes.resources` forgets them: a reader's may not.
pub fn is_published(app: &App, list: &ListPath, id: &str) -> bool {
    let (monitored, signed) = (&app.config.changes.monitored, &app.config.signer.resources);
    let collection = |bucket: &str, id: &str| {
        monitored.contains(bucket, id) || signed.role(bucket, id) == Some(Role::Signed)
    };
    match list {
        ListPath::Buckets => monitored.may_contain(id) || signed.is_signed_bucket(id),
        ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => false,
        ListPath::Collections(bucket) => collection(bucket, id),
        ListPath::Records(bucket, id) => collection(bucket, id),
    }
}
