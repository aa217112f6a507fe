//! Objects and rights as a transaction sees them, and what it adds to history and outbox: kept in
//! memory until they are needed in the database.

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Permission, Timestamp},
};

use super::Ctx;
use crate::store::{aces::Acl, history, objects::Object, outbox};

impl Ctx<'_> {
    /// The live object at `path`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn object(&mut self, path: &ObjectPath) -> Result<Option<Object>, ApiError> {
        self.work.object(self.tx, path).await
    }

    /// The access control list of `path`.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn acl(&mut self, path: &ObjectPath) -> Result<&Acl, ApiError> {
        self.work.acl(self.tx, path).await
    }

    /// Notes that nothing has this path: its id was made a moment ago.
    pub fn is_new(&mut self, path: &ObjectPath) {
        self.work.is_new(path);
    }

    /// Creates or replaces an object; a tombstone of that id is gone.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn put(
        &mut self,
        path: &ObjectPath,
        last_modified: Timestamp,
        data: Map<String, Value>,
    ) -> Result<Object, ApiError> {
        let id = path.id.to_string();
        let object = Object { id, last_modified, deleted: false, data };
        if !self.work.put(self.tx, path, object.clone()).await? {
            self.clocks.count(&path.list, 1);
        }
        Ok(object)
    }

    /// Replaces an object by a tombstone, and its access control list by none.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn delete(
        &mut self,
        path: &ObjectPath,
        last_modified: Timestamp,
    ) -> Result<Object, ApiError> {
        let id = path.id.to_string();
        let tombstone = Object { id, last_modified, deleted: true, data: Map::new() };
        if self.work.put(self.tx, path, tombstone.clone()).await? {
            self.clocks.count(&path.list, -1);
        }
        self.work.put_acl(self.tx, path, Acl::new()).await?;
        Ok(tombstone)
    }

    /// Replaces an access control list.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn put_acl(&mut self, path: &ObjectPath, acl: Acl) -> Result<(), ApiError> {
        self.work.put_acl(self.tx, path, acl).await
    }

    /// Gives one right on an object to one more principal.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn grant(
        &mut self,
        path: &ObjectPath,
        permission: Permission,
        principal: &str,
    ) -> Result<(), ApiError> {
        let mut acl = self.acl(path).await?.clone();
        let principals = acl.entry(permission.name()).or_default();
        if !principals.iter().any(|known| known == principal) {
            principals.push(principal.to_owned());
        }
        self.put_acl(path, acl).await
    }

    /// Adds entries to the history of a bucket. They are later than what they tell of: clients ask
    /// for what came since then.
    pub fn record(&mut self, bucket: Id, entries: Vec<history::Entry>) {
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let known = self.clocks.known(&ListPath::History(bucket.clone()));
        let until = self.now.plus_millis(1).max(known.unwrap_or_default().plus_millis(count));
        self.work.record(bucket, until, entries);
    }

    /// Adds entries to the outbox.
    pub fn post(&mut self, entries: Vec<outbox::Entry>) {
        self.work.post(entries);
    }
}
