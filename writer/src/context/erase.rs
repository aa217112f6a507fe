//! What is erased at once, and not object by object.

use shared::{error::ApiError, model::EVERYONE, store::Tx};

use super::Ctx;
use crate::{
    purge::Purged,
    store::{clocks::Clocks, maintenance, permissions},
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
        self.clocks = Clocks::default();
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
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn forget_principal(&mut self, principal: &str) -> Result<(), ApiError> {
        permissions::forget(self.settled().await?, principal).await?;
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
