//! Collections that are gone without having been deleted (`reliability.md` §3.4).

use std::collections::HashSet;

use shared::{
    error::ApiError,
    store::{
        Tx,
        published::{self, Version},
    },
};

use crate::snapshot::{Collection, Published, Reason, Refusal, Slot};

/// What is served, and of which the database has neither a state, among `versions`, nor a deletion:
/// somebody's `delete` by hand, or another database. It stays as it is.
pub(super) async fn vanished(
    tx: &Tx<'_>,
    old: &Published,
    versions: &[Version],
) -> Result<Vec<(Version, Slot)>, ApiError> {
    let present: HashSet<(&str, &str)> =
        versions.iter().map(|version| (&*version.bucket, &*version.collection)).collect();
    let missing: Vec<(Version, &Slot)> = old
        .iter()
        .filter(|(bucket, id, _)| !present.contains(&(*bucket, *id)))
        // What was never shown is missed by nobody.
        .filter_map(|(bucket, id, slot)| {
            Some((version(bucket, id, slot.good.as_ref()?, slot.public), slot))
        })
        .collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let buckets: Vec<&str> = missing.iter().map(|(version, _)| &*version.bucket).collect();
    let ids: Vec<&str> = missing.iter().map(|(version, _)| &*version.collection).collect();
    let deletions = published::deletions(tx, &buckets, &ids).await?;
    let vanished = missing.into_iter().zip(deletions).filter(|((version, _), deleted)| {
        *deleted < version.timestamp.max(version.metadata_timestamp)
    });
    Ok(vanished.map(|((version, slot), _)| refused(version, slot)).collect())
}

fn refused(version: Version, slot: &Slot) -> (Version, Slot) {
    // What was held back is so still: it may come back.
    let before = slot.refused.map_or(version.timestamp, |before| before.timestamp);
    let timestamp = version.timestamp.max(before);
    let refused = Refusal { reason: Reason::Vanished, timestamp };
    (version, Slot { refused: Some(refused), ..slot.clone() })
}

/// Where it stood.
fn version(bucket: &str, id: &str, good: &Collection, public: bool) -> Version {
    Version {
        bucket: bucket.to_owned(),
        collection: id.to_owned(),
        timestamp: good.timestamp,
        metadata_timestamp: good.metadata_timestamp,
        tombstone_horizon: good.horizon,
        public,
    }
}
