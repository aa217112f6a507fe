//! What one request knows while it runs.
//!
//! | module | what it holds |
//! |---|---|
//! | `objects` | objects and rights, read and written; entries of history and outbox |
//! | `erase` | what is erased at once: everything, a principal |
//! | `times` | the timestamps of lists, and what is published |

mod erase;
mod objects;
mod times;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{AUTHENTICATED, Id, ListPath, ObjectPath, Timestamp},
    store::Tx,
};
use tokio::try_join;

pub use self::times::is_published;
use crate::{
    app::App,
    locks::{Outdated, Plan},
    purge::Purged,
    schema::Verdicts,
    service::ApiRequest,
    signoff::{
        events::{Action, ReviewEvent},
        publish::Publication,
        signing::Presigned,
    },
    store::{
        aces::Acl,
        clocks::{self, Clocks},
        lookup::{self, ListState, Wanted},
        memberships,
        objects::Object,
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
    /// What validations that take long have come to.
    pub verdicts: Option<&'a Verdicts>,
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
    /// The buckets all of whose lists are locked.
    emptied: BTreeSet<Id>,
    /// The buckets whose history is going to be deleted.
    shortened: BTreeSet<Id>,
    /// The buckets whose counters and clocks of history are locked.
    held_to_the_last: BTreeSet<Id>,
    /// The lists that are only read, as they were at the beginning; `None` without a timestamp.
    states: HashMap<ListPath, Option<ListState>>,
    users: HashMap<Asker, Arc<User>>,
    /// Whether statements have changed what is no change.
    written: bool,
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
            verdicts: None,
            review_events: Vec::new(),
            actions: Vec::new(),
            purged: Purged::default(),
            edited: HashSet::new(),
            requests: Vec::new(),
            tx,
            work: Work::default(),
            emptied: BTreeSet::new(),
            shortened: BTreeSet::new(),
            held_to_the_last: BTreeSet::new(),
            states: HashMap::new(),
            users: HashMap::new(),
            written: false,
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
        self.shortened = plan.shortened;
        if !plan.lists.is_empty() {
            clocks::prepare(tx).await?;
        }
        if plan.makes_rows {
            tx.begin().await?;
            let lists = std::mem::take(&mut plan.lists);
            self.clocks.lock_or_make(tx, lists, plan.publication).await?;
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
            return Err(Outdated::default().into());
        }
        Ok(())
    }

    /// Checks that all lists of buckets that may go are locked: now that their collections are,
    /// none is added.
    ///
    /// # Errors
    ///
    /// [`Outdated`], when there are more than were planned for.
    pub async fn check_locked(&mut self, buckets: BTreeSet<Id>) -> Result<(), ApiError> {
        for bucket in &buckets {
            for id in clocks::collections_with_clock(self.tx, bucket).await? {
                let id = Id::new(&id).map_err(|error| ApiError::Internal(error.into()))?;
                let list = ListPath::Records(bucket.clone(), id);
                if self.clocks.known(&list).is_none() {
                    return Err(Outdated::default().into());
                }
            }
        }
        self.emptied = buckets;
        Ok(())
    }

    /// Checks that buckets may go: that all their lists are locked.
    ///
    /// # Errors
    ///
    /// [`Outdated`], which tells what is to be locked.
    pub fn check_emptied(&self, buckets: impl IntoIterator<Item = Id>) -> Result<(), ApiError> {
        let is_foreseen = |id: &Id| self.emptied.contains(id) || self.clocks.is_made_up(id);
        let unforeseen: Vec<Id> = buckets.into_iter().filter(|id| !is_foreseen(id)).collect();
        if unforeseen.is_empty() {
            Ok(())
        } else {
            Err(Outdated::because_of_buckets(unforeseen).into())
        }
    }

    /// Makes `asker` the user of the next operation. Groups are looked up once a request, and for
    /// a batch at its beginning (`kinto-http-api.md` §4.1.2, §6.4).
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

    /// Forgets who is in which group: sign-off makes groups that count at once.
    pub fn forget_groups(&mut self) {
        self.users.clear();
    }

    /// Whether there is anything to commit.
    pub fn has_written(&self) -> bool {
        self.written || !self.changes.is_empty()
    }

    /// The transaction, for locks that come before all else.
    pub const fn transaction(&self) -> &'a Tx<'a> {
        self.tx
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

    /// Notes that a statement has removed all rights on an object.
    pub fn forget_rights(&mut self, path: &ObjectPath) {
        self.work.forget_rights(path);
    }

    /// Notes a change.
    pub fn changed(&mut self, change: Change) {
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
