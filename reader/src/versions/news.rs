//! What is logged once, however often it happens.

use std::{collections::HashSet, error::Error, iter::successors};

use shared::{
    error::ApiError,
    model::Timestamp,
    store::{migrate::SchemaError, published::Version},
};

use crate::{app::App, metrics::Metrics, snapshot::Reason};

/// What was logged already.
#[derive(Debug, Default)]
pub(super) struct News {
    /// About a schema that is not ours.
    schema: String,
    /// Refusals and doubts.
    told: HashSet<(String, Timestamp, Timestamp, &'static str)>,
}

impl News {
    /// A look failed. `is_fresh`: nothing was ever loaded by this process.
    pub(super) fn failed(&mut self, app: &App, error: &ApiError, address: &str, is_fresh: bool) {
        app.metrics.storage_errors.inc();
        let causes: Vec<String> =
            successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect();
        let source = causes.join(": ");
        let is_news = app.board.lost() || is_fresh;
        let is_loaded = app.board.published().is_some();
        let serving = if is_loaded { "serving what is loaded" } else { "nothing to serve yet" };
        if is_foreign_schema(error) {
            // Only an operator can end this: said once, not at every look.
            if self.schema != source {
                tracing::error!(
                    problem = source,
                    address,
                    "the schema is not this binary's: migrate, or use the release that fits; {serving}"
                );
                self.schema = source;
            }
        } else if is_news {
            tracing::warn!(%error, source, address, "the database cannot be read; {serving}");
        }
    }

    /// The schema is ours.
    pub(super) fn schema_fits(&mut self) {
        if !std::mem::take(&mut self.schema).is_empty() {
            tracing::info!("the schema is this binary's now");
        }
    }

    /// Counts every time, logs once.
    pub(super) fn reject(
        &mut self,
        metrics: &Metrics,
        version: &Version,
        reason: Reason,
        what: &str,
    ) {
        metrics.reject(reason);
        // What was told long ago may be told again: this must not grow for ever.
        if self.told.len() > 10_000 {
            self.told.clear();
        }
        let (bucket, collection) = (&version.bucket, &version.collection);
        let (timestamp, metadata) = (version.timestamp, version.metadata_timestamp);
        if self.told.insert((format!("{bucket}/{collection}"), timestamp, metadata, reason.name()))
        {
            tracing::error!(bucket, collection, reason = reason.name(), "a collection {what}");
        }
    }
}

/// Whether the database answers, and is of another version than ours.
fn is_foreign_schema(error: &ApiError) -> bool {
    successors(Some(error as &(dyn Error + 'static)), |&cause| cause.source()).any(|cause| {
        matches!(cause.downcast_ref(), Some(SchemaError::Version { .. } | SchemaError::Changed(_)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_schema_is_told_from_a_database_that_is_away() {
        let schema = SchemaError::Version { found: 9, hint: "use a newer binary" };
        assert!(is_foreign_schema(&ApiError::Backend(schema.into())));
        assert!(is_foreign_schema(&ApiError::Backend(SchemaError::Changed(1).into())));
        assert!(!is_foreign_schema(&ApiError::backend("PostgreSQL does not answer in time")));
    }
}
