//! RFC 7396: a patch that looks like the object, in which null removes.

use serde_json::{Map, Value};
use shared::model::{Permission, Resource};

use crate::store::aces::Acl;

/// Merges `patch` into `target`. An object patched over anything else replaces it.
pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        if value.is_null() {
            target.remove(name);
        } else if let Value::Object(inner) = value {
            let below = target.entry(name.clone()).or_insert(Value::Null);
            if !below.is_object() {
                *below = Value::Object(Map::new());
            }
            if let Value::Object(below) = below {
                merge(below, inner);
            }
        } else {
            target.insert(name.clone(), value.clone());
        }
    }
}

/// What the patch makes of the rights that the user sees. All rights are then replaced; but where
/// nobody would be left with any, none is, as in Kinto.
pub(super) fn rights(seen: &Acl, given: Acl, removed: &[Permission], resource: Resource) -> Acl {
    let mut merged = seen.clone();
    merged.extend(given);
    merged.retain(|right, _| removed.iter().all(|removed| removed.name() != *right));
    if !merged.is_empty() {
        for right in Permission::of(resource) {
            merged.entry(right.name()).or_default();
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The cases of appendix A of the RFC, below a member: ours are always objects at the top.
    #[test]
    fn the_cases_of_the_rfc_hold() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (
                json!({"a": {"b": "c"}}),
                json!({"a": {"b": "d", "c": null}}),
                json!({"a": {"b": "d"}}),
            ),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = Map::from_iter([("m".to_owned(), target.clone())]);

            merge(&mut merged, &Map::from_iter([("m".to_owned(), patch.clone())]));

            assert_eq!(merged["m"], result, "{target} {patch}");
        }
    }
}
