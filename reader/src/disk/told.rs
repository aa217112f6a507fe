//! What was logged about the disk already: a full one fails each collection, again and again.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::Problem;

/// Failures that were logged since a snapshot was written.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<(&'static str, String)>>);

impl Told {
    /// Whether this is to be logged.
    pub(super) fn is_news(&self, what: &'static str, problem: &Problem) -> bool {
        self.known().insert((what, problem.to_string()))
    }

    /// All is well. Whether something had been logged.
    pub(super) fn forget(&self) -> bool {
        !std::mem::take(&mut *self.known()).is_empty()
    }

    fn known(&self) -> MutexGuard<'_, HashSet<(&'static str, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_news_once_until_all_is_well() {
        let (told, full) = (Told::default(), Problem::Damaged("full"));

        assert!(told.is_news("not written", &full));
        assert!(!told.is_news("not written", &full));
        assert!(told.is_news("not deleted", &full));
        assert!(told.is_news("not written", &Problem::Damaged("gone")));

        assert!(told.forget());
        assert!(!told.forget());
        assert!(told.is_news("not written", &full));
    }
}
