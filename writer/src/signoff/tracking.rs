//! What only the workflow writes into a source collection, and what an approval carries
//! (`remote-settings.md` §1.7).

use serde_json::{Map, Value};
use shared::canonical;

use crate::{context::Ctx, store::objects::Object};

/// Members of a source collection that its targets show as well.
pub(super) const PUBLISHED: [&str; 5] = ["flags", "attachment", "schema", "sort", "displayFields"];

/// The digest of the source whose review was requested last.
pub(super) const REQUESTED_DIGEST: &str = "last_review_request_digest";

/// What an approval carries: the digest of what the reviewer has looked at. Never stored.
pub(super) const REVIEWED_DIGEST: &str = "last_reviewed_digest";

/// What only the workflow writes, in the order in which a refusal names them.
const TRACKING: [&str; 9] = [
    "last_edit_by",
    "last_edit_date",
    "last_review_request_by",
    "last_review_request_date",
    "last_review_by",
    "last_review_date",
    "last_signature_by",
    "last_signature_date",
    REQUESTED_DIGEST,
];

/// The first tracking attribute that differs. `null` is as good as absent.
pub(super) fn tampered(old: &Map<String, Value>, new: &Map<String, Value>) -> Option<&'static str> {
    fn known<'v>(data: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
        data.get(name).filter(|value| !value.is_null())
    }
    TRACKING.into_iter().find(|name| known(old, name) != known(new, name))
}

/// Whether an attribute differs that is published.
pub(super) fn attributes_differ(old: &Map<String, Value>, new: &Map<String, Value>) -> bool {
    PUBLISHED.iter().any(|name| old.get(*name) != new.get(*name))
}

/// Notes who did what, and when.
pub(super) fn stamp(ctx: &Ctx<'_>, data: &mut Map<String, Value>, prefix: &str) {
    data.insert(format!("{prefix}_by"), ctx.user.name().into());
    data.insert(format!("{prefix}_date"), ctx.now.iso8601().into());
}

/// SHA-256, in hexadecimal, of the canonical form of what an approval would publish:
/// `{"attributes": {…}, "data": [records]}`, where `attributes` are the published members of the
/// collection, and the records are sorted by id and have no `last_modified`, which differs in the
/// destination.
pub(super) fn digest(collection: &Map<String, Value>, records: &[Object]) -> String {
    let attributes: Map<String, Value> = PUBLISHED
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), collection.get(*name)?.clone())))
        .collect();
    let mut records: Vec<&Object> = records.iter().collect();
    records.sort_by(|a, b| a.id.cmp(&b.id));
    let mut out = b"{\"attributes\":".to_vec();
    canonical::write_value(&mut out, &Value::Object(attributes));
    out.extend_from_slice(b",\"data\":[");
    for (index, record) in records.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let mut value = record.to_value();
        if let Some(members) = value.as_object_mut() {
            members.remove("last_modified");
        }
        canonical::write_value(&mut out, &value);
    }
    out.extend_from_slice(b"]}");
    hexadecimal(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &out).as_ref())
}

fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::model::Timestamp;

    use super::*;

    fn members(value: &Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    fn record(id: &str, millis: i64, data: &Value) -> Object {
        Object {
            id: id.to_owned(),
            last_modified: Timestamp::from_millis(millis),
            deleted: false,
            data: members(data),
        }
    }

    #[test]
    fn the_first_of_the_list_is_named_and_removal_is_a_change() {
        let old = members(&json!({"last_edit_by": "a", "last_signature_by": "b", "n": 1}));

        for (new, name) in [
            (json!({"last_edit_by": "a", "last_signature_by": "b", "n": 2}), None),
            (json!({"last_signature_by": "c"}), Some("last_edit_by")),
            (json!({"last_edit_by": "a", "last_signature_by": null}), Some("last_signature_by")),
            (json!({"last_edit_by": "a", "last_signature_by": "b", "last_review_by": null}), None),
        ] {
            assert_eq!(tampered(&old, &members(&new)), name, "{new}");
        }
        let new = members(&json!({"last_review_request_digest": "x"}));
        assert_eq!(tampered(&Map::new(), &new), Some("last_review_request_digest"));
    }

    #[test]
    fn the_digest_is_that_of_the_documented_text() {
        let collection = members(&json!({"flags": ["startup"], "status": "signed", "private": 1}));
        let records = [record("b", 2, &json!({"n": "é"})), record("a", 1, &json!({}))];

        // printf '{"attributes":{"flags":["startup"]},"data":[{"id":"a"},{"id":"b","n":"\\u00e9"}]}' \
        //     | sha256sum
        assert_eq!(
            digest(&collection, &records),
            "82a32b96a22079b5134ea5e9cdcb0fbc86e7af7537c56d831b46ef766ff4e123"
        );
        let again = [record("a", 7, &json!({})), record("b", 9, &json!({"n": "é"}))];
        assert_eq!(digest(&collection, &again), digest(&collection, &records));
        assert_ne!(digest(&Map::new(), &records), digest(&collection, &records));
        assert_ne!(digest(&collection, &records[1..]), digest(&collection, &records));
    }
}
