//! How much an object weighs (`platform-features.md` §5.2).

use serde_json::{Map, Value};

use crate::store::objects::Object;

/// The length of an object as JSON in ASCII, without whitespace, with its `id` and
/// `last_modified`. A tombstone weighs nothing.
pub fn size(object: &Object) -> i64 {
    if object.deleted {
        return 0;
    }
    let id = string(&object.id);
    let last_modified = object.last_modified.to_string().len();
    // Both members with their names, quotes and colons; a comma between all members.
    let own = r#""id":,"last_modified":"#.len() + id + last_modified;
    let others = members(&object.data);
    let between = usize::from(others > 2);
    i64::try_from(others + between + own).unwrap_or(i64::MAX)
}

fn value(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(true) => 4,
        Value::Bool(false) => 5,
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => string(text),
        Value::Array(items) => {
            2 + items.iter().map(self::value).sum::<usize>() + commas(items.len())
        }
        Value::Object(map) => members(map),
    }
}

fn members(map: &Map<String, Value>) -> usize {
    let each = map.iter().map(|(name, member)| string(name) + 1 + value(member));
    2 + each.sum::<usize>() + commas(map.len())
}

const fn commas(count: usize) -> usize {
    count.saturating_sub(1)
}

fn string(text: &str) -> usize {
    let width = |character| match character {
        '"' | '\\' | '\u{8}' | '\u{c}' | '\n' | '\r' | '\t' => 2,
        ' '..='~' => 1,
        other => 6 * other.len_utf16(),
    };
    2 + text.chars().map(width).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use shared::{canonical, model::Timestamp};

    use super::*;

    fn object(id: &str, data: &Value) -> Object {
        let last_modified = Timestamp::from_millis(1_700_000_000_001);
        let data = data.as_object().unwrap().clone();
        Object { id: id.to_owned(), last_modified, deleted: false, data }
    }

    #[test]
    fn an_object_weighs_what_is_shown_of_it() {
        let empty = r#"{"id":"r","last_modified":1700000000001}"#;
        assert_eq!(size(&object("r", &json!({}))), i64::try_from(empty.len()).unwrap());
        let one = r#"{"f":1.5,"id":"r","last_modified":1700000000001,"é":null}"#.len() - 2 + 6;
        let weighed = object("r", &json!({"f": 1.5, "é": null}));
        assert_eq!(size(&weighed), i64::try_from(one).unwrap(), "é is \\u00e9");
    }

    #[test]
    fn a_tombstone_weighs_nothing() {
        let tombstone = Object { deleted: true, ..object("r", &json!({})) };

        assert_eq!(size(&tombstone), 0);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_size_is_the_length_of_canonical_json(
            members in proptest::collection::btree_map("[a-h]{1,3}", any_json(), 0..4),
        ) {
            let object = object("some-id", &Value::Object(members.into_iter().collect()));

            let canonical = canonical::to_vec(&object.to_value()).len();

            prop_assert_eq!(size(&object), i64::try_from(canonical).unwrap());
        }
    }
}
