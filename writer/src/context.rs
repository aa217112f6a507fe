//! What one request knows while it runs.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{AUTHENTICATED, EVERYONE, ListPath, ObjectPath, Permission, Timestamp},
    store::Tx,
};

use crate::{
    app::App,
    signoff::Role,
    store::{
        clocks::Clocks,
        memberships,
        objects::{self, Object},
    },
};

/// Who asks.
#[derive(Debug, PartialEq, Eq)]
pub struct User {
    /// The prefixed id, `basicauth:…`; `None` for anonymous requests.
    pub id: Option<String>,
    /// Everything that access control entries may call this user.
    pub principals: Vec<String>,
}

impl User {
    /// What workflow attributes store: the id, or everybody.
    pub fn name(&self) -> &str {
        self.id.as_deref().unwrap_or(EVERYONE)
    }

    /// Whether the user is called `principal`.
    pub fn is(&self, principal: &str) -> bool {
        self.principals.iter().any(|known| known == principal)
    }
}

/// One thing that an operation changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which object.
    pub path: ObjectPath,
    /// As it was.
    pub old: Option<Object>,
    /// As it is; `None` when it was deleted.
    pub new: Option<Object>,
    /// The members that the client sent.
    pub posted: Map<String, Value>,
}

/// The transaction of one request, or of one batch, and what was learned in it.
pub struct Ctx<'a> {
    /// Settings, signer.
    pub app: &'a App,
    /// The transaction.
    pub tx: &'a Tx<'a>,
    /// When the request arrived.
    pub now: Timestamp,
    /// Who asks.
    pub user: Arc<User>,
    /// The timestamps that are locked.
    pub clocks: Clocks,
    /// What was changed so far.
    pub changes: Vec<Change>,
    /// How many previews and destinations were signed.
    pub publications: u64,
    /// Source collections that this request has marked as edited already.
    pub edited: HashSet<(ObjectPath, Option<String>)>,
    users: HashMap<Option<String>, Arc<User>>,
    granted: HashSet<(Option<String>, ObjectPath, Permission)>,
    collections: HashSet<ObjectPath>,
}

impl<'a> Ctx<'a> {
    /// A context that knows nothing yet.
    pub fn new(app: &'a App, tx: &'a Tx<'a>, now: Timestamp) -> Self {
        let user = Arc::new(User { id: None, principals: vec![EVERYONE.to_owned()] });
        Self {
            app,
            tx,
            now,
            user,
            clocks: Clocks::default(),
            changes: Vec::new(),
            publications: 0,
            edited: HashSet::new(),
            users: HashMap::new(),
            granted: HashSet::new(),
            collections: HashSet::new(),
        }
    }

    /// Makes `id` the user of the next operation. Groups are looked up once a request
    /// (`kinto-http-api.md` §4.1.2).
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn become_user(&mut self, id: Option<String>) -> Result<(), ApiError> {
        if let Some(user) = self.users.get(&id) {
            self.user = user.clone();
            return Ok(());
        }
        let mut principals = vec![EVERYONE.to_owned()];
        if let Some(id) = &id {
            principals.extend([id.clone(), AUTHENTICATED.to_owned()]);
            principals.extend(memberships::groups_of(self.tx, id).await?);
        }
        self.user = Arc::new(User { id: id.clone(), principals });
        self.users.insert(id, self.user.clone());
        Ok(())
    }

    /// Remembers that the user has a right on a parent, for the rest of the request.
    pub fn remember_grant(&mut self, parent: ObjectPath, permission: Permission) {
        self.granted.insert((self.user.id.clone(), parent, permission));
    }

    /// Whether the user is known to have a right on a parent.
    pub fn has_grant(&self, parent: &ObjectPath, permission: Permission) -> bool {
        self.granted.contains(&(self.user.id.clone(), parent.clone(), permission))
    }

    /// Forgets what was learned about rights, parents and groups: they may have changed.
    pub fn forget(&mut self) {
        self.granted.clear();
        self.collections.clear();
        self.users.clear();
    }

    /// Whether the collection exists; asked once a request.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn collection_exists(&mut self, path: &ObjectPath) -> Result<bool, ApiError> {
        if self.collections.contains(path) {
            return Ok(true);
        }
        let exists = objects::get(self.tx, path).await?.is_some();
        if exists {
            self.collections.insert(path.clone());
        }
        Ok(exists)
    }

    /// Whether changing the object changes what readers serve.
    pub fn is_published(&self, list: &ListPath, id: &str) -> bool {
        is_published(self.app, list, id)
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
        let publish = self.is_published(list, id);
        self.clocks.take(self.tx, list, self.now, 1, publish).await
    }

    /// Gives a list that has just come into being its first timestamp.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn open_list(&mut self, list: &ListPath) -> Result<(), ApiError> {
        self.next_timestamp(list, "").await?;
        Ok(())
    }

    /// Notes a change, and forgets what it may have made wrong.
    pub fn changed(&mut self, change: Change) {
        if !matches!(change.path.list, ListPath::Records(..)) {
            self.forget();
        }
        self.changes.push(change);
    }
}

/// Whether changing the object changes what readers serve: records and metadata of published
/// collections, and buckets, whose permissions decide who may read. Previews and destinations
/// count also where `changes.resources` forgets them: a reader's may not.
pub fn is_published(app: &App, list: &ListPath, id: &str) -> bool {
    let (monitored, signed) = (&app.config.monitored, &app.config.signer.resources);
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
