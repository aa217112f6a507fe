//! What a request may write: its locks, known before it runs.
//!
//! Taken in one order by everybody, they cannot deadlock. Where one turns out to be missing that
//! comes before others which are held, the transaction is rolled back and runs again, with more
//! foresight.

use std::collections::BTreeSet;

use http::Method;
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath},
    store::Tx,
};

use crate::{
    app::App,
    context::is_published,
    operations::Operation,
    signoff::{Role, Triple},
    store::clocks::{self, Lock},
};

/// The lists are not those that were planned for: one has no row yet, or another one changes, too.
/// To lock it now, after others that come later, could be a deadlock: the transaction runs again,
/// and locks these as well.
#[derive(Debug, Default, thiserror::Error)]
#[error("the lists are not those that were planned for")]
pub struct Outdated {
    lists: BTreeSet<Lock>,
    /// Buckets that go, with all that they hold.
    buckets: BTreeSet<Id>,
}

impl Outdated {
    /// These lists are to be locked.
    pub fn because_of(lists: impl IntoIterator<Item = Lock>) -> Self {
        Self { lists: lists.into_iter().collect(), ..Self::default() }
    }

    /// All lists of these buckets are to be locked.
    pub fn because_of_buckets(buckets: impl IntoIterator<Item = Id>) -> Self {
        Self { buckets: buckets.into_iter().collect(), ..Self::default() }
    }

    /// Finds it among errors; any other is given back.
    ///
    /// # Errors
    ///
    /// The other.
    pub fn in_error(error: ApiError) -> Result<Self, ApiError> {
        let ApiError::Backend(source) = error else { return Err(error) };
        match source.downcast::<Self>() {
            Ok(outdated) => Ok(*outdated),
            Err(source) => Err(ApiError::Backend(source)),
        }
    }

    /// Adds what another run found missing.
    pub fn add(&mut self, other: Self) {
        self.lists.extend(other.lists);
        self.buckets.extend(other.buckets);
    }
}

impl From<Outdated> for ApiError {
    fn from(outdated: Outdated) -> Self {
        Self::Backend(Box::new(outdated))
    }
}

/// The locks of some operations.
#[derive(Debug, Default)]
pub struct Plan {
    /// The lists that may change.
    pub lists: BTreeSet<Lock>,
    /// Whether something published may change.
    pub publication: bool,
    /// The lists whose timestamps are read, not locked: a transaction that only reads sees one
    /// state anyhow.
    pub read: Vec<ListPath>,
    /// The buckets whose collections may all go: all their lists are locked.
    pub emptied: BTreeSet<Id>,
    /// The buckets whose history is going to be deleted: its clock is locked then, after all others.
    pub shortened: BTreeSet<Id>,
    /// Whether one statement tells all that will be asked: it needs no transaction around it.
    pub asks_once: bool,
    /// Whether rows that are missing are made, each in its turn.
    pub makes_rows: bool,
}

impl Plan {
    /// Adds what `operation` may write.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn add(
        &mut self,
        app: &App,
        tx: &Tx<'_>,
        operation: &Operation,
    ) -> Result<(), ApiError> {
        let list = &operation.list;
        let id = operation.id_hint();
        // The clock of history comes after the publication clock, just before the commit or when
        // entries are deleted.
        match list {
            ListPath::History(bucket) => {
                self.shortened.insert(bucket.clone());
            }
            ListPath::Buckets
            | ListPath::Groups(_)
            | ListPath::Collections(_)
            | ListPath::Records(..)
            | ListPath::Accounts => self.lock(list),
        }
        self.publication |= match (&id, list) {
            (Some(id), _) => is_published(app, list, id),
            // A list of records is published whole, or not at all.
            (
                None,
                ListPath::Records(..)
                | ListPath::Groups(_)
                | ListPath::Accounts
                | ListPath::History(_),
            ) => is_published(app, list, ""),
            (None, ListPath::Collections(bucket)) => {
                app.config.changes.monitored.may_contain(bucket)
            }
            (None, ListPath::Buckets) => operation.method == Method::DELETE,
        };
        let resources = &app.config.signer.resources;
        match list {
            ListPath::Records(bucket, collection) => {
                if resources.role(bucket, collection) == Some(Role::Source) {
                    self.lock(&ListPath::Collections(bucket.clone()));
                }
            }
            ListPath::Collections(bucket) => {
                if operation.method == Method::DELETE && operation.id.is_none() {
                    self.emptied.insert(bucket.clone());
                }
                for id in ids(tx, operation, bucket).await? {
                    self.collection(app, bucket, &id);
                }
            }
            ListPath::Buckets if operation.method == Method::DELETE => {
                if let Some(Ok(bucket)) = id.as_deref().map(Id::new) {
                    self.bucket(app, tx, &bucket).await?;
                }
            }
            // The bucket may be a new one, whose lists are opened.
            ListPath::Buckets => {
                if let Some(Ok(bucket)) = id.as_deref().map(Id::new) {
                    self.lock(&ListPath::Collections(bucket.clone()));
                    self.lock(&ListPath::Groups(bucket));
                }
            }
            ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => {}
        }
        Ok(())
    }

    /// Adds what it takes to make an object that is taken for granted.
    pub fn add_implied(&mut self, path: &ObjectPath) {
        self.lock(&path.list);
        for below in lists_below(path) {
            self.lock(&below);
        }
    }

    /// Adds what former runs found missing.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn add_missing(
        &mut self,
        app: &App,
        tx: &Tx<'_>,
        missing: &Outdated,
    ) -> Result<(), ApiError> {
        self.lists.extend(missing.lists.iter().cloned());
        for bucket in &missing.buckets {
            self.bucket(app, tx, bucket).await?;
        }
        Ok(())
    }

    fn lock(&mut self, list: &ListPath) {
        self.lists.insert(Lock(list.clone()));
    }

    fn collection(&mut self, app: &App, bucket: &Id, id: &Id) {
        self.lock(&ListPath::Records(bucket.clone(), id.clone()));
        let Some(triple) = app.config.signer.resources.of_source(bucket, id) else { return };
        self.publication = true;
        self.lock(&ListPath::Groups(bucket.clone()));
        for target in triple.targets() {
            self.lock(&Triple::records(target));
            self.lock(&target.list);
        }
    }

    async fn bucket(&mut self, app: &App, tx: &Tx<'_>, bucket: &Id) -> Result<(), ApiError> {
        self.publication = true;
        self.lock(&ListPath::Groups(bucket.clone()));
        self.lock(&ListPath::Collections(bucket.clone()));
        self.emptied.insert(bucket.clone());
        tx.begin().await?;
        for id in clocks::collections_with_clock(tx, bucket).await? {
            if let Ok(id) = Id::new(&id) {
                self.collection(app, bucket, &id);
            }
        }
        Ok(())
    }
}

/// The lists that come into being with an object.
pub fn lists_below(path: &ObjectPath) -> Vec<ListPath> {
    match &path.list {
        ListPath::Buckets => {
            vec![ListPath::Collections(path.id.clone()), ListPath::Groups(path.id.clone())]
        }
        ListPath::Collections(bucket) => vec![ListPath::Records(bucket.clone(), path.id.clone())],
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            Vec::new()
        }
    }
}

/// The collections that the operation may be about.
async fn ids(tx: &Tx<'_>, operation: &Operation, bucket: &Id) -> Result<Vec<Id>, ApiError> {
    if operation.method == Method::DELETE && operation.id.is_none() {
        tx.begin().await?;
        let ids = clocks::collections_with_clock(tx, bucket).await?;
        return Ok(ids.iter().filter_map(|id| Id::new(id).ok()).collect());
    }
    Ok(operation.id_hint().and_then(|id| Id::new(&id).ok()).into_iter().collect())
}
