//! The unit of work: objects and access control lists are read once, kept, changed in memory, and
//! written together.
//!
//! A batch of records costs a few statements of many rows, not a few statements a record. Whoever
//! needs SQL of his own asks [`crate::context::Ctx::settled`], so that PostgreSQL knows what was
//! written, and forgets what his statements changed.

use std::collections::{BTreeMap, HashMap};

use shared::{
    error::ApiError,
    model::{Id, ObjectPath, Resource, Timestamp},
    store::{Tx, Write},
};

use crate::store::{
    aces::{self, Acl, Entry},
    history,
    lookup::Wanted,
    objects::{self, Object},
    outbox,
};

/// What one transaction has read and will write.
#[derive(Debug, Default)]
pub struct Work {
    /// Live objects, and `None` for what is known not to exist.
    objects: HashMap<ObjectPath, Option<Object>>,
    acls: HashMap<ObjectPath, Acl>,
    /// Rows to write: objects and tombstones.
    written: HashMap<ObjectPath, Object>,
    /// The lists, as PostgreSQL has them, of those in `acls` that were changed.
    stored_acls: HashMap<ObjectPath, Acl>,
    /// Entries to add to the history of buckets, and the timestamp that the last is to have.
    history: BTreeMap<Id, (Timestamp, Vec<history::Entry>)>,
    /// Entries to add to the outbox.
    outbox: Vec<outbox::Entry>,
}

impl Work {
    /// Takes note of what was looked up: what was not found does not exist.
    pub fn learn(
        &mut self,
        wanted: &Wanted<'_>,
        objects: Vec<(ObjectPath, Object)>,
        mut acls: HashMap<ObjectPath, Acl>,
    ) {
        self.objects.extend(wanted.objects.iter().map(|&path| (path.clone(), None)));
        self.objects.extend(objects.into_iter().map(|(path, object)| (path, Some(object))));
        for &path in &wanted.acls {
            self.acls.insert(path.clone(), acls.remove(path).unwrap_or_default());
        }
    }

    /// The live object at `path`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn object(
        &mut self,
        tx: &Tx<'_>,
        path: &ObjectPath,
    ) -> Result<Option<Object>, ApiError> {
        if let Some(known) = self.objects.get(path) {
            return Ok(known.clone());
        }
        let found = objects::get(tx, path).await?;
        self.objects.insert(path.clone(), found.clone());
        Ok(found)
    }

    /// The access control list of `path`: empty where there is none.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn acl(&mut self, tx: &Tx<'_>, path: &ObjectPath) -> Result<&Acl, ApiError> {
        if !self.acls.contains_key(path) {
            let found = aces::get_all(tx, &[path]).await?;
            let acl = found.into_values().next().unwrap_or_default();
            self.acls.insert(path.clone(), acl);
        }
        self.acls.get(path).ok_or_else(|| ApiError::internal("a list that was just read is gone"))
    }

    /// Notes that nothing is at `path`.
    pub fn is_new(&mut self, path: &ObjectPath) {
        self.objects.insert(path.clone(), None);
        self.acls.insert(path.clone(), Acl::new());
    }

    /// Writes an object or a tombstone; whether there was a live object.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn put(
        &mut self,
        tx: &Tx<'_>,
        path: &ObjectPath,
        object: Object,
    ) -> Result<bool, ApiError> {
        let existed = self.object(tx, path).await?.is_some();
        let live = (!object.deleted).then(|| object.clone());
        self.objects.insert(path.clone(), live);
        self.written.insert(path.clone(), object);
        Ok(existed)
    }

    /// Replaces an access control list.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn put_acl(
        &mut self,
        tx: &Tx<'_>,
        path: &ObjectPath,
        acl: Acl,
    ) -> Result<(), ApiError> {
        let before = self.acl(tx, path).await?.clone();
        self.stored_acls.entry(path.clone()).or_insert(before);
        self.acls.insert(path.clone(), acl);
        Ok(())
    }

    /// Adds entries to the history of a bucket; the last one is to have the timestamp `until`.
    pub fn record(&mut self, bucket: Id, until: Timestamp, entries: Vec<history::Entry>) {
        let (last, recorded) = self.history.entry(bucket).or_insert((until, Vec::new()));
        *last = until.max(*last);
        recorded.extend(entries);
    }

    /// Adds entries to the outbox.
    pub fn post(&mut self, entries: Vec<outbox::Entry>) {
        self.outbox.extend(entries);
    }

    /// The statements that write what was written so far, but history.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn drain(&mut self, tx: &Tx<'_>) -> Result<Vec<Write>, ApiError> {
        let mut tables: BTreeMap<Resource, Vec<(ObjectPath, Object)>> = BTreeMap::new();
        for (path, object) in self.written.drain() {
            tables.entry(path.resource()).or_default().push((path, object));
        }
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (path, before) in self.stored_acls.drain() {
            let now = self.acls.get(&path).unwrap_or(&EMPTY);
            entries_but(&path, &before, now, &mut removed);
            entries_but(&path, now, &before, &mut added);
        }
        let mut writes = Vec::new();
        for (resource, rows) in tables {
            writes.push(objects::put_all(tx, resource, rows).await?);
        }
        if !removed.is_empty() {
            writes.push(aces::remove(tx, removed).await?);
        }
        if !added.is_empty() {
            writes.push(aces::add(tx, added).await?);
        }
        writes.extend(outbox::append(tx, std::mem::take(&mut self.outbox)).await?);
        Ok(writes)
    }

    /// The statements that write history: the last ones, because each locks a bucket's clock.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn drain_history(&mut self, tx: &Tx<'_>) -> Result<Vec<Write>, ApiError> {
        let mut writes = Vec::new();
        for (bucket, (until, entries)) in std::mem::take(&mut self.history) {
            writes.extend(history::append(tx, &bucket, until, entries).await?);
        }
        Ok(writes)
    }

    /// Forgets what statements of others have changed. Nothing of it may wait to be written.
    pub fn forget(&mut self, changed: impl Fn(&ObjectPath) -> bool) {
        self.objects.retain(|path, _| !changed(path));
        self.acls.retain(|path, _| !changed(path));
    }

    /// Notes that no right on an object is stored any more.
    pub fn forget_rights(&mut self, path: &ObjectPath) {
        self.stored_acls.remove(path);
        self.acls.insert(path.clone(), Acl::new());
    }
}

static EMPTY: Acl = Acl::new();

/// The entries of `acl` that `other` does not have.
fn entries_but(path: &ObjectPath, acl: &Acl, other: &Acl, into: &mut Vec<Entry>) {
    for (permission, principals) in acl {
        let known = other.get(permission);
        for principal in principals {
            if !known.is_some_and(|known| known.contains(principal)) {
                into.push(Entry::new(path, permission, principal));
            }
        }
    }
}
