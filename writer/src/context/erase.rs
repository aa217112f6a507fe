//! What is erased at once, and not object by object.

use shared::{error::ApiError, model::EVERYONE, store::Tx};

use super::Ctx;
use crate::{
    locks::Outdated,
    operations::user_data::{BATCH, lists_of},
    purge::Purged,
    store::{
        clocks::{Clocks, Lock},
        maintenance, permissions,
    },
    work::Work,
};

impl<'a> Ctx<'a> {
    /// Erases everything, also what the transaction has done so far: no entry of history and no
    /// message tells of it.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn flush(&mut self) -> Result<(), ApiError> {
        maintenance::flush(self.tx, self.now).await?;
        self.work = Work::default();
        self.clocks = Clocks::of_nobody_else();
        self.states.clear();
        self.changes.clear();
        self.unsigned.clear();
        self.review_events.clear();
        self.actions.clear();
        self.edited.clear();
        self.requests.clear();
        self.publications = 0;
        self.purged = Purged::everything();
        self.written = true;
        Ok(())
    }

    /// Takes a principal from every access control list, and from the groups.
    ///
    /// # Errors
    ///
    /// [`Outdated`] where a list is not locked that holds one of these objects; [`ApiError::Backend`]
    /// when PostgreSQL is away.
    pub async fn forget_principal(&mut self, principal: &str) -> Result<(), ApiError> {
        let tx = self.settled().await?;
        let mut after = String::new();
        loop {
            let uris = permissions::naming(tx, principal, &after, BATCH).await?;
            let Some(last) = uris.last() else { break };
            after.clone_from(last);
            self.check_held(lists_of(&uris))?;
            permissions::forget(tx, principal, &uris).await?;
        }
        self.forget(|_| true);
        self.forget_groups();
        self.written = true;
        // Readers serve what everybody may read.
        if principal == EVERYONE {
            self.clocks.touch_publication(self.tx, self.now).await?;
            self.purged = Purged::everything();
        }
        Ok(())
    }

    /// Checks that lists are locked.
    ///
    /// # Errors
    ///
    /// [`Outdated`], which tells what is to be locked.
    pub fn check_held(&self, lists: impl IntoIterator<Item = Lock>) -> Result<(), ApiError> {
        let unforeseen: Vec<Lock> =
            lists.into_iter().filter(|lock| !self.clocks.is_locked(lock)).collect();
        if unforeseen.is_empty() { Ok(()) } else { Err(Outdated::because_of(unforeseen).into()) }
    }

    /// The transaction, for statements that see how many objects there are now.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn counted(&mut self) -> Result<&'a Tx<'a>, ApiError> {
        let tx = self.settled().await?;
        tx.run(self.clocks.store(tx).await?).await?;
        self.clocks.stored();
        Ok(tx)
    }
}
