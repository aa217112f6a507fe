//! One collection: verified and rendered from what the database holds.

use std::sync::Arc;

use serde_json::{Map, Value};
use shared::{
    canonical,
    model::Timestamp,
    store::published::{Row, Version},
    wire::changeset_metadata,
};

use super::{Change, Draft, List, Reason, check};
use crate::config::{Mode, SignatureRules};

/// A collection as it is served.
#[derive(Debug)]
pub struct Collection {
    /// The records timestamp.
    pub timestamp: Timestamp,
    /// The metadata's timestamp.
    pub metadata_timestamp: Timestamp,
    /// Tombstones up to this timestamp may be gone: a `_since` before it cannot be answered.
    pub horizon: Timestamp,
    /// Its changeset.
    pub list: List,
}

/// A collection as the database holds it.
#[derive(Debug)]
pub struct Source {
    /// Where it stands.
    pub version: Version,
    /// Its attributes.
    pub metadata: Map<String, Value>,
    /// Its records and tombstones, newest first.
    pub rows: Vec<Row>,
}

/// A collection that may be shown.
#[derive(Debug)]
pub struct Built {
    /// What to show.
    pub collection: Arc<Collection>,
    /// What [`Mode::Enforce`] would have refused.
    pub doubt: Option<Reason>,
}

/// Verifies and renders `source`. Gives `old` back when nothing is different.
///
/// # Errors
///
/// Why it must not be shown.
pub fn build(
    source: Source,
    rules: &SignatureRules,
    old: Option<&Arc<Collection>>,
) -> Result<Built, Reason> {
    let Source { version, metadata, rows } = source;
    let stamps: Vec<(Timestamp, bool)> =
        rows.iter().map(|row| (row.last_modified, row.deleted)).collect();
    let records: Vec<Value> = rows.into_iter().map(Row::into_value).collect();
    let doubt = examine(&version, &metadata, &records, rules);
    if let Some(reason) = doubt.filter(|_| rules.mode == Mode::Enforce) {
        return Err(reason);
    }
    let changes: Vec<Change> = stamps
        .into_iter()
        .zip(&records)
        .map(|((last_modified, deleted), record)| Change {
            last_modified,
            deleted,
            json: record.to_string().into_bytes(),
        })
        .collect();
    let (bucket, id) = (&version.bucket, &version.collection);
    let metadata = changeset_metadata(bucket, id, version.metadata_timestamp, metadata);
    let draft = Draft::new(&metadata, version.timestamp, &changes);
    let is_old = |old: &&Arc<Collection>| {
        old.horizon == version.tombstone_horizon && draft.is_same_as(&old.list)
    };
    if let Some(old) = old.filter(is_old) {
        return Ok(Built { collection: old.clone(), doubt });
    }
    let collection = Collection {
        timestamp: version.timestamp,
        metadata_timestamp: version.metadata_timestamp,
        horizon: version.tombstone_horizon,
        list: draft.finish(),
    };
    Ok(Built { collection: Arc::new(collection), doubt })
}

/// What is wrong with the signature, if anything is.
fn examine(
    version: &Version,
    metadata: &Map<String, Value>,
    records: &[Value],
    rules: &SignatureRules,
) -> Option<Reason> {
    if rules.mode == Mode::Off {
        return None;
    }
    let document = canonical::document(records, version.timestamp);
    let reason = check(metadata, &document, &rules.keys).err()?;
    let is_allowed =
        reason == Reason::Unsigned && rules.may_be_unsigned(&version.bucket, &version.collection);
    (!is_allowed).then_some(reason)
}
