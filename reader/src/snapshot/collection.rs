//! One collection: verified and rendered from what the database holds.

use std::sync::Arc;

use serde_json::{Map, Value};
use shared::{
    canonical::Gathered,
    model::Timestamp,
    signature::ContentSignature,
    store::published::{Row, Version},
    wire::{ChainsBase, changeset_metadata},
};

use super::{Chains, Change, Draft, List, Reason, Wardrobe, check, entries, trusted_keys};
use crate::{
    config::{Mode, SignatureRules},
    disk::Disk,
};

/// A collection as it is served.
#[derive(Debug)]
pub struct Collection {
    /// The records timestamp.
    pub timestamp: Timestamp,
    /// The metadata's timestamp.
    pub metadata_timestamp: Timestamp,
    /// Its attributes, as its own URL shows them.
    pub object: Map<String, Value>,
    /// The chains that its signatures name, before they are rewritten.
    pub x5us: Vec<String>,
    /// Tombstones up to this timestamp may be gone: a `_since` before it cannot be answered.
    pub horizon: Timestamp,
    /// Its changeset.
    pub list: List,
}

/// A collection as the database holds it.
#[derive(Debug)]
pub struct Source<R> {
    /// Where it stands.
    pub version: Version,
    /// Its attributes.
    pub metadata: Map<String, Value>,
    /// Its records and tombstones, newest first.
    pub rows: R,
}

/// A collection that may be shown.
#[derive(Debug)]
pub struct Built {
    /// What to show.
    pub collection: Arc<Collection>,
    /// What [`Mode::Enforce`] would have refused.
    pub doubt: Option<Reason>,
}

/// What a collection is judged by, and rendered with.
#[derive(Debug)]
pub struct Context<'a> {
    /// What must hold.
    pub rules: &'a SignatureRules,
    /// The chains of signatures.
    pub chains: &'a Chains,
    /// Where clients shall fetch them, if not where the signatures say.
    pub chains_base: Option<&'a ChainsBase>,
    /// The headers of what is rendered.
    pub wardrobe: &'a Wardrobe,
    /// Where a state is kept that may be shown.
    pub disk: Option<&'a Disk>,
    /// The present time.
    pub now: Timestamp,
}

/// Verifies and renders `source`. Gives `old` back when nothing is different.
///
/// # Errors
///
/// Why it must not be shown.
pub fn build(
    source: Source<impl Iterator<Item = Result<Row, Reason>>>,
    context: &Context<'_>,
    old: Option<&Arc<Collection>>,
) -> Result<Built, Reason> {
    let Source { version, mut metadata, rows } = source;
    let is_judged = context.rules.mode != Mode::Off;
    let (mut changes, mut document) = (Vec::new(), Gathered::default());
    // One by one: a tree of each record at once takes ten times the memory of their JSON.
    for row in rows {
        let row = row?;
        let (last_modified, deleted) = (row.last_modified, row.deleted);
        let record = row.into_value();
        if is_judged {
            document.add(&record);
        }
        changes.push(Change { last_modified, deleted, json: record.to_string().into_bytes() });
    }
    let doubt = if is_judged { examine(&version, &metadata, document, context) } else { None };
    if let Some(reason) = doubt.filter(|_| context.rules.mode == Mode::Enforce) {
        return Err(reason);
    }
    let x5us = entries(&metadata).into_iter().map(|entry| entry.x5u).collect();
    let stored = context.disk.map(|disk| (disk, metadata.clone()));
    if let Some(base) = context.chains_base {
        base.rewrite_all(&mut metadata);
    }
    let (bucket, id) = (&version.bucket, &version.collection);
    let object = shown(id, version.metadata_timestamp, &metadata);
    let metadata = changeset_metadata(bucket, id, version.metadata_timestamp, metadata);
    let draft = Draft::new(&metadata, version.timestamp, &changes);
    let is_old = |old: &&Arc<Collection>| {
        old.horizon == version.tombstone_horizon && draft.is_same_as(&old.list)
    };
    let before = old;
    let old = old.filter(is_old);
    if let Some((disk, metadata)) = stored
        && (old.is_none() || disk.lacks(&version))
    {
        disk.keep(&version, &metadata, &changes);
    }
    if let Some(old) = old {
        return Ok(Built { collection: old.clone(), doubt });
    }
    let dress = context.wardrobe.of(bucket, id, version.metadata_timestamp);
    // The first load is many collections, and somebody waits for all of them.
    let collection = Collection {
        timestamp: version.timestamp,
        metadata_timestamp: version.metadata_timestamp,
        object,
        x5us,
        horizon: version.tombstone_horizon,
        list: draft.finish(dress, before.map(|old| &old.list), before.is_some()),
    };
    Ok(Built { collection: Arc::new(collection), doubt })
}

/// An object as clients see it.
pub fn shown(
    id: &str,
    last_modified: Timestamp,
    attributes: &Map<String, Value>,
) -> Map<String, Value> {
    let mut object = attributes.clone();
    object.insert("id".to_owned(), id.into());
    object.insert("last_modified".to_owned(), last_modified.as_millis().into());
    object
}

/// What is wrong with the signature, if anything is.
fn examine(
    version: &Version,
    metadata: &Map<String, Value>,
    document: Gathered,
    Context { rules, chains, now, .. }: &Context<'_>,
) -> Option<Reason> {
    let document = document.document(version.timestamp);
    let keys = |entry: &ContentSignature| trusted_keys(rules, chains, &version.bucket, entry, *now);
    let reason = check(metadata, &document, keys).err()?;
    let is_allowed =
        reason == Reason::Unsigned && rules.may_be_unsigned(&version.bucket, &version.collection);
    (!is_allowed).then_some(reason)
}
