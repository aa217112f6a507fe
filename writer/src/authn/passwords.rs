//! The passwords of accounts (§5.3.2-3): bcrypt, as many at a time as there are CPUs, and a memory of those
//! that were right, and of those that were not.

use std::{
    num::NonZero,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::{Duration, Instant},
};

use bcrypt::HashParts;
use moka::future::Cache;
use shared::{
    error::{ApiError, Location},
    model::Id,
};
use tokio::{
    sync::{OnceCell, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    attempts::{ALL_ADDRESSES, Attempts},
    basic::Credentials,
    hash::{Tag, Tagger},
};
use crate::{
    app::App, config::AccountSettings, operations::MAX_PASSWORD_BYTES, step::SignIn,
    store::accounts, transaction::patience,
};

/// Longest wait for one's turn, first come, first served.
const PATIENCE: Duration = Duration::from_secs(30);
/// The costliest hash that is compared with a password, if those of our own are not costlier: 2^15 is
/// some seconds of a core, and the largest that bcrypt knows, 2^31, days.
const COSTLIEST: u32 = 15;
/// Accounts, and passwords, that are remembered at most.
const REMEMBERED: u64 = 10_000;
/// How long attempts are remembered after the last one: longer than any wait.
const FORGET_ATTEMPTS: Duration = Duration::from_mins(20);

/// Checks and makes passwords.
///
/// What was right is remembered under a keyed hash of the name, the password and the stored hash
/// together. The stored hash is read for each request, so that a changed password, or a deleted
/// account, counts at once in every process.
///
/// What was wrong is remembered in the same way: users of another policy, who have no account, send
/// the same credentials with each request. Whether there is an account changes nothing of that.
#[derive(Debug)]
pub struct Passwords {
    cost: u32,
    free_failures: u32,
    tagger: Tagger,
    right: Cache<Tag, ()>,
    wrong: Cache<Tag, ()>,
    /// By account, and by account and address.
    attempts: Cache<(String, Option<String>), Arc<Mutex<Attempts>>>,
    slots: Arc<Semaphore>,
    /// What the passwords of unknown users are compared with: they take as long as others'.
    nobody: OnceCell<String>,
}

/// A password that was checked.
pub struct Checked {
    /// Whether it is the account's.
    pub is_right: bool,
    /// The account, and what the password was compared with; `None` where no account has such a name.
    pub against: Option<SignIn>,
}

/// Why a password is not taken.
enum Unproved {
    /// It is wrong.
    Wrong,
    /// It may not be tried now.
    TooMany,
    /// It could not be checked.
    Unchecked(ApiError),
}

impl Passwords {
    /// Remembers nothing yet.
    pub fn new(settings: &AccountSettings) -> Self {
        Self {
            cost: settings.bcrypt_cost,
            free_failures: settings.free_failures,
            tagger: Tagger::new(),
            right: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(settings.cache_ttl)
                .build(),
            wrong: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_live(settings.cache_ttl)
                .build(),
            attempts: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(FORGET_ATTEMPTS)
                .build(),
            // Each check keeps one core busy for a quarter of a second.
            slots: Arc::new(Semaphore::new(available_parallelism().map_or(2, NonZero::get))),
            nobody: OnceCell::new(),
        }
    }

    /// Whether an account has this name and password. Requests that come at the same time with
    /// the same credentials wait for one check. `against` goes before what is stored.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away, or too many wait.
    pub async fn check(
        &self,
        app: &App,
        sent: &Credentials,
        sender: &str,
        against: Option<&SignIn>,
    ) -> Result<Checked, ApiError> {
        let Ok(account) = Id::account(&sent.user) else {
            return Ok(Checked { is_right: false, against: None });
        };
        let stored = match against {
            Some(sign_in) if sign_in.account == account => sign_in.hash.clone(),
            _ => accounts::password(&app.pool, patience(app), &account).await?,
        };
        let against = Some(SignIn { account, hash: stored.clone() });
        let tag =
            self.tagger.tag(&[&sent.user, &sent.password, stored.as_deref().unwrap_or_default()]);
        if self.wrong.contains_key(&tag) {
            return Ok(Checked { is_right: false, against });
        }
        let proof = self.right.try_get_with(tag, self.prove(sent, sender, stored)).await;
        let is_right = match proof.as_ref().map_err(AsRef::as_ref) {
            Ok(()) => true,
            Err(Unproved::Wrong) => {
                self.wrong.insert(tag, ()).await;
                false
            }
            Err(Unproved::TooMany) => false,
            Err(Unproved::Unchecked(error)) => return Err(ApiError::backend(error.to_string())),
        };
        Ok(Checked { is_right, against })
    }

    /// Forgets who was right, and how often others were wrong.
    pub fn forget(&self) {
        self.right.invalidate_all();
        self.wrong.invalidate_all();
        self.attempts.invalidate_all();
    }

    async fn prove(
        &self,
        sent: &Credentials,
        sender: &str,
        stored: Option<String>,
    ) -> Result<(), Unproved> {
        let (here, everywhere) =
            ((sent.user.clone(), Some(sender.to_owned())), (sent.user.clone(), None));
        let free = self.free_failures;
        let free_everywhere = free.saturating_mul(ALL_ADDRESSES);
        if free > 0
            && !(self.begin(&here, free).await && self.begin(&everywhere, free_everywhere).await)
        {
            return Err(Unproved::TooMany);
        }
        let stored = stored.filter(|hash| self.is_affordable(&sent.user, hash));
        let exists = stored.is_some();
        let hash = match stored {
            Some(hash) => hash,
            None => self.hash_of_nobody().await.map_err(Unproved::Unchecked)?,
        };
        let fits = sent.password.len() <= MAX_PASSWORD_BYTES;
        let password = sent.password.clone();
        // A stored text that is no hash fits no password.
        let check = move || bcrypt::verify(password.as_bytes(), &hash).unwrap_or(false);
        let equal = self.work(check).await.map_err(Unproved::Unchecked)?;
        if !(equal && exists && fits) {
            return Err(Unproved::Wrong);
        }
        self.attempts.invalidate(&here).await;
        if let Some(attempts) = self.attempts.get(&everywhere).await {
            attempts.lock().unwrap_or_else(PoisonError::into_inner).forgive(free_everywhere);
        }
        Ok(())
    }

    /// Whether a stored hash may be compared with passwords: it may be from before those that clients
    /// chose were refused.
    fn is_affordable(&self, account: &str, hash: &str) -> bool {
        let cost = hash.parse::<HashParts>().map_or(0, |parts| parts.get_cost());
        let is_affordable = cost <= self.cost.max(COSTLIEST);
        if !is_affordable {
            tracing::warn!(account, cost, "the hash of a password is too costly: none fits it");
        }
        is_affordable
    }

    async fn begin(&self, key: &(String, Option<String>), free: u32) -> bool {
        let attempts = self.attempts.get_with_by_ref(key, async { Arc::default() }).await;
        let mut attempts = attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.begin(Instant::now(), free)
    }

    /// The hash of a new password.
    ///
    /// # Errors
    ///
    /// 400 when it is longer than 72 bytes, [`ApiError::Backend`] when too many wait.
    pub async fn hash(&self, password: &str) -> Result<String, ApiError> {
        if password.len() > MAX_PASSWORD_BYTES {
            let text = format!("Longer than maximum length {MAX_PASSWORD_BYTES}");
            return Err(ApiError::invalid(Location::Body, "data.password", text));
        }
        let (password, cost) = (Zeroizing::new(password.to_owned()), self.cost);
        let hashed = self.work(move || bcrypt::hash(password.as_bytes(), cost)).await?;
        hashed.map_err(|error| ApiError::Internal(error.into()))
    }

    async fn hash_of_nobody(&self) -> Result<String, ApiError> {
        self.nobody.get_or_try_init(|| self.hash("")).await.cloned()
    }

    /// Runs what takes long on a thread of its own, when it is its turn.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = timeout(PATIENCE, self.slots.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = turn else {
            return Err(ApiError::backend("too many passwords wait to be checked"));
        };
        let done = spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        });
        done.await.map_err(|error| ApiError::Internal(error.into()))
    }
}
