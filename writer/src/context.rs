//! What one request knows while it runs.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{AUTHENTICATED, Id, ListPath, ObjectPath, Permission, Timestamp},
    store::Tx,
};
use tokio::try_join;

use crate::{
    app::App,
    locks::{Outdated, Plan},
    purge::Purged,
    service::ApiRequest,
    signoff::{
        Role,
        events::{Action, ReviewEvent},
        publish::Publication,
        signing::Presigned,
    },
    store::{
        aces::Acl,
        clocks::{self, Clocks},
        history,
        lookup::{self, ListState, Wanted},
        memberships,
        objects::Object,
        outbox,
    },
    user::{Asker, User},
    work::Work,
};

/// One thing that an operation changed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Which object.
    pub path: ObjectPath,
    /// Who did it.
    pub user_id: Option<String>,
    /// As it was.
    pub old: Option<Object>,
    /// As it is; `None` when it was deleted.
    pub new: Option<Object>,
    /// The tombstone's timestamp, or the object's.
    pub timestamp: Timestamp,
    /// The access control list after the change.
    pub acl: Acl,
    /// The members that the client sent.
    pub posted: Map<String, Value>,
}

/// The transaction of one request, or of one batch, and what was learned in it.
pub struct Ctx<'a> {
    /// Settings, signer.
    pub app: &'a App,
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
    /// Previews and destinations that have changed, and are to be signed.
    pub unsigned: Vec<Publication>,
    /// What was signed before; without, services are asked when the transaction is at its end.
    pub presigned: Option<&'a Presigned>,
    /// What is told of reviews, once it is committed.
    pub review_events: Vec<ReviewEvent>,
    /// What is logged of sign-off, once it is committed.
    pub actions: Vec<Action>,
    /// What caches are to forget, once it is committed.
    pub purged: Purged,
    /// Source collections that this request has marked as edited already.
    pub edited: HashSet<(ObjectPath, Option<String>)>,
    tx: &'a Tx<'a>,
    work: Work,
    /// The lists that are only read, as they were at the beginning; `None` without a timestamp.
    states: HashMap<ListPath, Option<ListState>>,
    users: HashMap<Asker, Arc<User>>,
    /// The requests that were begun, each with the number of changes before it.
    requests: Vec<(usize, &'a ApiRequest)>,
}

impl<'a> Ctx<'a> {
    /// A context that knows nothing yet.
    pub fn new(app: &'a App, tx: &'a Tx<'a>, now: Timestamp) -> Self {
        let user = Arc::new(User::new(&Asker::default(), []));
        Self {
            app,
            now,
            user,
            clocks: Clocks::default(),
            changes: Vec::new(),
            publications: 0,
            unsigned: Vec::new(),
            presigned: None,
            review_events: Vec::new(),
            actions: Vec::new(),
            purged: Purged::default(),
            edited: HashSet::new(),
            requests: Vec::new(),
            tx,
            work: Work::default(),
            states: HashMap::new(),
            users: HashMap::new(),
        }
    }

    /// Takes the locks that are planned, and reads, in the same round trip but after them, the
    /// groups of `users`, the objects that are addressed, and the access control lists that decide
    /// about them.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn prepare(
        &mut self,
        mut plan: Plan,
        users: &HashSet<Asker>,
        objects: &HashSet<ObjectPath>,
    ) -> Result<(), ApiError> {
        let tx = self.tx;
        let listed: HashSet<ObjectPath> =
            objects.iter().flat_map(|path| path.ancestors().chain([path.clone()])).collect();
        let names: HashSet<&str> =
            users.iter().flat_map(Asker::names).chain([AUTHENTICATED]).collect();
        let wanted = Wanted {
            users: names.into_iter().collect(),
            acls: listed.iter().collect(),
            objects: objects.iter().collect(),
            clocks: plan.read.iter().collect(),
        };
        if !plan.lists.is_empty() {
            clocks::prepare(tx).await?;
        }
        if plan.in_turn {
            tx.begin().await?;
            let lists = std::mem::take(&mut plan.lists);
            self.clocks.lock_in_turn(tx, lists, plan.publication).await?;
        }
        let begin = async { if plan.asks_once { Ok(()) } else { tx.begin().await } };
        let locks = self.clocks.lock(tx, plan.lists, plan.publication);
        let ((), complete, found) = try_join!(biased; begin, locks, lookup::find(tx, &wanted))?;
        for asker in users {
            let groups = asker.names().filter_map(|name| found.groups.get(name));
            let user = User::new(asker, groups.flatten().cloned());
            self.users.insert(asker.clone(), Arc::new(user));
        }
        self.work.learn(&wanted, found.objects, found.acls);
        // A batch may read one list several times.
        self.states = plan
            .read
            .into_iter()
            .map(|list| {
                let state = found.clocks.get(&list).cloned();
                (list, state)
            })
            .collect();
        if !complete {
            return Err(ApiError::Backend(Box::new(Outdated)));
        }
        Ok(())
    }

    /// Checks that all lists of buckets are locked: now that their collections are, none is added.
    ///
    /// # Errors
    ///
    /// [`Outdated`], when there are more than were planned for.
    pub async fn check_locked(&mut self, buckets: &BTreeSet<Id>) -> Result<(), ApiError> {
        for bucket in buckets {
            for id in clocks::collections_with_clock(self.tx, bucket).await? {
                let id = Id::new(&id).map_err(|error| ApiError::Internal(error.into()))?;
                let list = ListPath::Records(bucket.clone(), id);
                if self.clocks.known(&list).is_none() {
                    return Err(ApiError::Backend(Box::new(Outdated)));
                }
            }
        }
        Ok(())
    }

    /// Makes `asker` the user of the next operation. Groups are looked up once a request
    /// (`kinto-http-api.md` §4.1.2).
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn become_user(&mut self, asker: &Asker) -> Result<(), ApiError> {
        if let Some(user) = self.users.get(asker) {
            self.user = user.clone();
            return Ok(());
        }
        let groups = match &asker.id {
            Some(_) => {
                memberships::groups_of(self.settled().await?, asker.names().collect()).await?
            }
            None => Vec::new(),
        };
        self.user = Arc::new(User::new(asker, groups));
        self.users.insert(asker.clone(), self.user.clone());
        Ok(())
    }

    /// Notes that what is changed from now on is what `request` asks for.
    pub fn begin_request(&mut self, request: &'a ApiRequest) {
        self.requests.push((self.changes.len(), request));
    }

    /// The request that a change comes from, by the change's place.
    pub fn request_of(&self, change: usize) -> Option<&'a ApiRequest> {
        let begun = self.requests.iter().rev().find(|(first, _)| *first <= change);
        begun.map(|(_, request)| *request)
    }

    /// Gives the user of the next operation the rights of `principal`, too.
    pub fn act_for(&mut self, principal: &str) {
        let mut user = User::clone(&self.user);
        user.principals.push(principal.to_owned());
        self.user = Arc::new(user);
    }

    /// Makes the next operation one of a job.
    pub fn act_as_job(&mut self) {
        self.user = Arc::new(User { is_job: true, ..User::clone(&self.user) });
    }

    /// Forgets who is in which group: it may have changed.
    pub fn forget_groups(&mut self) {
        self.users.clear();
    }

    /// The transaction, for statements that see all that was written so far. Whoever changes
    /// objects or rights with it says so to [`Self::forget`].
    ///
    /// # Errors
    ///
    /// [`ApiError::Constraint`] when two objects of a list have one timestamp.
    pub async fn settled(&mut self) -> Result<&'a Tx<'a>, ApiError> {
        let mut writes = self.work.drain(self.tx).await?;
        writes.extend(self.work.drain_history(self.tx).await?);
        self.tx.run(writes).await?;
        Ok(self.tx)
    }

    /// Notes that a statement has made and deleted so many objects of a list, and forgets what was
    /// known of the list.
    pub fn changed_behind(&mut self, list: &ListPath, created: usize, deleted: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.clocks.count(list, number(created) - number(deleted));
        self.work.forget(|path| path.list == *list);
    }

    /// Forgets objects and rights that a statement has changed.
    pub fn forget(&mut self, changed: impl Fn(&ObjectPath) -> bool) {
        self.work.forget(changed);
    }

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

    /// Gives a list that has just come into being its first timestamp.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when a lock is not granted in time.
    pub async fn open_list(&mut self, list: &ListPath) -> Result<(), ApiError> {
        self.next_timestamp(list, "").await?;
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

    /// Notes a change, and forgets the groups that it may have made wrong.
    pub fn changed(&mut self, change: Change) {
        match change.path.list {
            ListPath::Groups(_) | ListPath::Buckets => self.forget_groups(),
            ListPath::Collections(_)
            | ListPath::Records(..)
            | ListPath::Accounts
            | ListPath::History(_) => {}
        }
        self.changes.push(change);
    }

    /// Writes what is left, objects, rights and timestamps, and commits, in one round trip.
    ///
    /// # Errors
    ///
    /// [`ApiError::Constraint`] when two objects of a list have one timestamp.
    pub async fn finish(&mut self) -> Result<(), ApiError> {
        let published =
            self.changes.iter().any(|change| self.is_published(&change.path.list, &change.path.id));
        if published {
            self.clocks.touch_publication(self.tx, self.now).await?;
        }
        let mut writes = self.work.drain(self.tx).await?;
        writes.extend(self.clocks.store(self.tx).await?);
        writes.extend(self.work.drain_history(self.tx).await?);
        self.tx.commit(writes).await
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
