//! Whether a changeset is what was signed: whole ones, and deltas on top of what a client has.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::{
    canonical,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
};

use super::catalogue::Published;

/// Does what a client does that has the records of `base` up to `since`: applies the changes, and
/// verifies what it has then.
///
/// # Errors
///
/// What a client would not believe.
pub(crate) fn verify(
    base: &Published,
    since: i64,
    timestamp: i64,
    changeset: &Value,
    key: Option<&PublicKey>,
) -> Result<(), String> {
    let metadata = &changeset["metadata"];
    if metadata["id"] != *base.id || metadata["bucket"] != *base.bucket {
        return Err("the metadata is that of another collection".to_owned());
    }
    let changes = changeset["changes"].as_array().ok_or("no changes")?;
    let records = merge(&base.records, since, changes)?;
    let signatures: Vec<ContentSignature> = serde_json::from_value(metadata["signatures"].clone())
        .map_err(|error| format!("no signatures: {error}"))?;
    let document = canonical::document(records.into_values(), Timestamp::from_millis(timestamp));
    let is_good = |signature: &ContentSignature| {
        // Without a key of our own the one beside it: that finds damage, and no forgery.
        let beside = || PublicKey::from_base64(signature.public_key.as_deref()?).ok();
        let key = key.cloned().or_else(beside);
        key.is_some_and(|key| signature.verify(&key, &document).is_ok())
    };
    if signatures.iter().any(is_good) {
        Ok(())
    } else {
        Err(format!("{timestamp}: no signature is good"))
    }
}

/// The records of a client by id, after it has applied the changes.
fn merge<'a>(
    records: &'a [Value],
    since: i64,
    changes: &'a [Value],
) -> Result<BTreeMap<&'a str, &'a Value>, String> {
    let id = |record: &'a Value| record["id"].as_str().ok_or("a record without an id");
    let mut merged = BTreeMap::new();
    let is_known = |record: &&Value| record["last_modified"].as_i64().is_some_and(|at| at <= since);
    for record in records.iter().filter(is_known) {
        merged.insert(id(record)?, record);
    }
    for change in changes {
        if since > 0 && change["last_modified"].as_i64().is_none_or(|at| at <= since) {
            return Err("a change that the client has already".to_owned());
        }
        if change["deleted"] == true {
            merged.remove(id(change)?);
        } else {
            merged.insert(id(change)?, change);
        }
    }
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_delta_goes_on_top_of_what_a_client_has() {
        let record = |id: &str, at: i64| json!({"id": id, "last_modified": at});
        let base = [record("a", 1), record("b", 2), record("c", 9)];
        let gone = json!({"id": "a", "last_modified": 11, "deleted": true});
        let changes = [gone, record("b", 10)];

        let merged = merge(&base, 2, &changes).unwrap();
        assert_eq!(merged.into_values().collect::<Vec<_>>(), [&record("b", 10)]);
        assert_eq!(merge(&base, 0, &base).unwrap().len(), 3);
        assert!(merge(&base, 10, &changes).is_err(), "one of them is not new");
    }
}
