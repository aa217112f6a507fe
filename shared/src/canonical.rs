//! Canonical JSON: the exact bytes that get signed.
//!
//! # Source
//!
//! `remote-settings.md` §2.1-2.3. Why this is not a library: `docs/adr/0002-canonical-json.md`.

use std::{io::Write, ops::Range};

use serde_json::{Map, Number, Value};

use crate::model::Timestamp;

/// What goes before the document in the signed message: the name of the header that once carried
/// the signature, and one NUL.
pub const PREFIX: &[u8] = b"Content-Signature:\0";

/// Appends the canonical form of `value`: ASCII, no whitespace, members sorted by code point.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index);
                write_value(out, item);
            }
            out.push(b']');
        }
        Value::Object(members) => write_object(out, members),
    }
}

/// The canonical form of `value`.
pub fn to_vec(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(&mut out, value);
    out
}

/// The document that is signed for a collection: its live records, sorted by id, and the records
/// timestamp as a decimal string. Tombstones among `records` are dropped.
///
/// `records` are whole, with `id` and `last_modified`, as they will be served.
pub fn document<'a>(
    records: impl IntoIterator<Item = &'a Value>,
    last_modified: Timestamp,
) -> Vec<u8> {
    let mut live: Vec<&Value> = records.into_iter().filter(|record| !is_deleted(record)).collect();
    live.sort_by_key(|record| record.get("id").and_then(Value::as_str));

    let mut out = Vec::with_capacity(64 + 512 * live.len());
    out.extend_from_slice(START);
    for (index, record) in live.into_iter().enumerate() {
        separate(&mut out, index);
        write_value(&mut out, record);
    }
    end(&mut out, last_modified);
    out
}

/// The document of records that come one after the other, in any order: none of them has to be kept.
#[derive(Debug, Default)]
pub struct Gathered {
    bytes: Vec<u8>,
    /// Ids, and where their records are.
    places: Vec<(Option<String>, Range<usize>)>,
}

impl Gathered {
    /// Takes a record, whole, as it will be served; a tombstone is dropped.
    pub fn add(&mut self, record: &Value) {
        if !is_deleted(record) {
            let start = self.bytes.len();
            write_value(&mut self.bytes, record);
            let id = record.get("id").and_then(Value::as_str).map(ToOwned::to_owned);
            self.places.push((id, start..self.bytes.len()));
        }
    }

    /// What [`document`] makes of the same records.
    pub fn document(mut self, last_modified: Timestamp) -> Vec<u8> {
        self.places.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut out = Vec::with_capacity(self.bytes.len() + self.places.len() + 64);
        out.extend_from_slice(START);
        for (index, (_, place)) in self.places.into_iter().enumerate() {
            separate(&mut out, index);
            out.extend_from_slice(&self.bytes[place]);
        }
        end(&mut out, last_modified);
        out
    }
}

const START: &[u8] = b"{\"data\":[";

fn end(out: &mut Vec<u8>, last_modified: Timestamp) {
    out.extend_from_slice(b"],\"last_modified\":\"");
    out.extend_from_slice(last_modified.to_string().as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Truthy as in the reference's signer, which is written in Python.
fn is_deleted(record: &Value) -> bool {
    match record.get("deleted") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(deleted)) => *deleted,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::Object(members)) => !members.is_empty(),
    }
}

fn separate(out: &mut Vec<u8>, index: usize) {
    if index > 0 {
        out.push(b',');
    }
}

/// Sorts by itself, so that no feature of `serde_json`'s map can change a signature. The order of
/// UTF-8 bytes is the order of code points.
fn write_object(out: &mut Vec<u8>, members: &Map<String, Value>) {
    let mut sorted: Vec<(&String, &Value)> = members.iter().collect();
    sorted.sort_unstable_by_key(|(name, _)| name.as_str());
    out.push(b'{');
    for (index, (name, member)) in sorted.into_iter().enumerate() {
        separate(out, index);
        write_string(out, name);
        out.push(b':');
        write_value(out, member);
    }
    out.push(b'}');
}

/// Integers in shortest decimal; floats with one digit before the point and a capital `E`, which
/// is how Rust prints `{:E}`.
fn write_number(out: &mut Vec<u8>, number: &Number) {
    let written = match number.as_f64() {
        Some(float) if number.is_f64() => write!(out, "{float:E}"),
        _ => write!(out, "{number}"),
    };
    debug_assert!(written.is_ok(), "writing to memory does not fail");
}

fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut plain_from = 0;
    for (at, character) in text.char_indices() {
        let short: &[u8] = match character {
            '"' => b"\\\"",
            '\\' => b"\\\\",
            '\u{8}' => b"\\b",
            '\u{c}' => b"\\f",
            '\n' => b"\\n",
            '\r' => b"\\r",
            '\t' => b"\\t",
            ' '..='~' => continue,
            _ => b"",
        };
        out.extend_from_slice(&text.as_bytes()[plain_from..at]);
        plain_from = at + character.len_utf8();
        if short.is_empty() {
            write_escape(out, character);
        } else {
            out.extend_from_slice(short);
        }
    }
    out.extend_from_slice(&text.as_bytes()[plain_from..]);
    out.push(b'"');
}

fn write_escape(out: &mut Vec<u8>, character: char) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(b"\\u");
        for shift in [12, 8, 4, 0] {
            out.push(HEX[usize::from(*unit >> shift & 0xf)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn canonical(value: &Value) -> String {
        String::from_utf8(to_vec(value)).unwrap()
    }

    #[test]
    fn members_are_sorted_and_strings_are_ascii() {
        let value = json!({"b": [1, -2, null], "": "é\u{7f}/\u{1f600}", "a": {"z": true}});

        assert_eq!(
            canonical(&value),
            r#"{"":"\u00e9\u007f/\ud83d\ude00","a":{"z":true},"b":[1,-2,null]}"#
        );
    }

    #[test]
    fn floats_have_one_digit_before_the_point() {
        assert_eq!(canonical(&json!([1.5, 1.0, 10.0, 0.1, 1e21])), "[1.5E0,1E0,1E1,1E-1,1E21]");
    }

    #[test]
    fn tombstones_are_not_signed() {
        let records =
            [json!({"id": "b"}), json!({"id": "a", "deleted": true}), json!({"id": "a2"})];

        let document = document(&records, Timestamp::from_millis(7));

        assert_eq!(document, br#"{"data":[{"id":"a2"},{"id":"b"}],"last_modified":"7"}"#);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn records_may_come_one_after_the_other(
            records in proptest::collection::vec(
                ("[a-c]{1,2}", any::<bool>(), any_json()), 0..6,
            ),
        ) {
            let records: Vec<Value> = records
                .into_iter()
                .map(|(id, deleted, x)| json!({"id": id, "deleted": deleted, "x": x}))
                .collect();
            let mut gathered = Gathered::default();
            for record in &records {
                gathered.add(record);
            }
            let stamp = Timestamp::from_millis(7);

            prop_assert_eq!(gathered.document(stamp), document(&records, stamp));
        }

        #[test]
        fn canonical_json_is_ascii_json_of_the_same_value(value in any_json()) {
            let text = canonical(&value);

            prop_assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
