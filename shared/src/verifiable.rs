//! What every client can read, and verifies the same way: the strictest of their rules.
//!
//! The writer publishes nothing else, and `countersign-reader verify` accepts nothing else.
//!
//! # Source
//!
//! `remote-settings.md` §2.3 (where verifiers disagree), §9.1 (Firefox), §9.2 (the Rust client,
//! for which one malformed record breaks the whole collection).

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::model::{Id, Timestamp};

/// Largest integer that every client reads exactly: 2^53 - 1.
const MAX_SAFE: i64 = 9_007_199_254_740_991;

/// Latest `_since` that a changeset accepts: the end of the year 2099 (§3.3).
pub const LATEST: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// What of an attachment every client needs.
const ATTACHMENT_TEXTS: [&str; 4] = ["filename", "hash", "location", "mimetype"];

/// Whether records may hold floats: the setting `signer.allow_floats`, for clients of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Floats {
    /// As Firefox needs it.
    Refused,
    /// Whoever allows them knows the clients.
    Allowed,
}

/// Why some client would refuse a collection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Firefox writes floats differently from the signer.
    #[error("field contains float value (tip: use integer or string), '{0}'")]
    Float(String),
    /// Firefox rounds it.
    #[error("field contains an integer beyond 2^53 (tip: use string), '{0}'")]
    Integer(String),
    /// Firefox sorts names by UTF-16 unit, everybody else by code point.
    #[error("field name outside the Basic Multilingual Plane, '{0}'")]
    Name(String),
    /// Signers and clients leave out what has this member; the Rust client whatever its value.
    #[error("field 'deleted' is reserved for tombstones")]
    Deleted,
    /// The Rust client cannot read the record, or leaves out a null that was signed.
    #[error("'attachment' is not an attachment: '{0}'")]
    Attachment(&'static str),
    /// Not an object, or without an id that we could store.
    #[error("not an object with an id")]
    Id,
    /// Without `last_modified`, or with one that is no time.
    #[error("'last_modified' is not a timestamp in milliseconds")]
    Timestamp,
    /// A client that has the collection's timestamp would not expect it any more.
    #[error("'last_modified' is later than the collection's timestamp")]
    Late,
    /// Firefox keeps the last, the signer has both.
    #[error("the id is there twice")]
    Twice,
}

/// A flaw, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record '{id}': {flaw}")]
pub struct Unverifiable {
    /// The record's id, as far as it has one.
    pub id: String,
    /// What is wrong with it.
    pub flaw: Flaw,
}

/// Checks what a whole changeset shows: records, or tombstones, and the collection's timestamp.
///
/// # Errors
///
/// The first flaw.
pub fn check<'a>(
    changes: impl IntoIterator<Item = &'a Value>,
    timestamp: Timestamp,
    floats: Floats,
) -> Result<(), Unverifiable> {
    let mut ids = HashSet::new();
    for change in changes {
        let id = change.get("id").and_then(Value::as_str).unwrap_or_default();
        let is_first = ids.insert(id);
        check_change(change, timestamp, floats)
            .and(if is_first { Ok(()) } else { Err(Flaw::Twice) })
            .map_err(|flaw| Unverifiable { id: id.to_owned(), flaw })?;
    }
    Ok(())
}

fn check_change(change: &Value, timestamp: Timestamp, floats: Floats) -> Result<(), Flaw> {
    let change = change.as_object().ok_or(Flaw::Id)?;
    let id = change.get("id").and_then(Value::as_str).unwrap_or_default();
    Id::new(id).map_err(|_| Flaw::Id)?;
    let modified = change.get("last_modified").and_then(Value::as_i64).ok_or(Flaw::Timestamp)?;
    let is_time = (1..=LATEST.as_millis()).contains(&modified);
    if !is_time {
        return Err(Flaw::Timestamp);
    }
    if timestamp.as_millis() < modified {
        return Err(Flaw::Late);
    }
    let is_tombstone = change.get("deleted") == Some(&Value::Bool(true)) && change.len() == 3;
    if is_tombstone {
        return Ok(());
    }
    change.get("attachment").map_or(Ok(()), check_attachment)?;
    check_record(change, floats)
}

/// Checks the members of a record, whether or not it has `id` and `last_modified` already; not its
/// attachment, which is more than a member.
///
/// # Errors
///
/// The first flaw.
pub fn check_record(record: &Map<String, Value>, floats: Floats) -> Result<(), Flaw> {
    if record.contains_key("deleted") {
        return Err(Flaw::Deleted);
    }
    check_members(record, floats).map_err(Fault::into_flaw)
}

fn check_attachment(attachment: &Value) -> Result<(), Flaw> {
    for name in ATTACHMENT_TEXTS {
        if !attachment.get(name).is_some_and(Value::is_string) {
            return Err(Flaw::Attachment(name));
        }
    }
    if attachment.get("size").is_some_and(Value::is_u64) {
        Ok(())
    } else {
        Err(Flaw::Attachment("size"))
    }
}

/// A member that some client reads differently, and where it is, innermost name first: the way is
/// only written down when there is one.
struct Fault {
    flaw: fn(String) -> Flaw,
    path: Vec<String>,
}

impl Fault {
    fn new(flaw: fn(String) -> Flaw) -> Self {
        Self { flaw, path: Vec::new() }
    }

    fn within(mut self, name: &impl ToString) -> Self {
        self.path.push(name.to_string());
        self
    }

    fn into_flaw(mut self) -> Flaw {
        self.path.reverse();
        (self.flaw)(self.path.join("."))
    }
}

fn check_members(object: &Map<String, Value>, floats: Floats) -> Result<(), Fault> {
    object.iter().try_for_each(|(name, value)| {
        let checked = if name.chars().any(|character| character > '\u{ffff}') {
            Err(Fault::new(Flaw::Name))
        } else {
            check_value(value, floats)
        };
        checked.map_err(|fault| fault.within(name))
    })
}

fn check_value(value: &Value, floats: Floats) -> Result<(), Fault> {
    match value {
        Value::Number(number) if number.is_f64() => match floats {
            Floats::Refused => Err(Fault::new(Flaw::Float)),
            Floats::Allowed => Ok(()),
        },
        Value::Number(number)
            if number.as_i64().is_none_or(|n| !(-MAX_SAFE..=MAX_SAFE).contains(&n)) =>
        {
            Err(Fault::new(Flaw::Integer))
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            check_value(item, floats).map_err(|fault| fault.within(&index))
        }),
        Value::Object(members) => check_members(members, floats),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const T: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn check_one(mut record: Value) -> Result<(), Flaw> {
        record["id"] = "r".into();
        record["last_modified"] = T.as_millis().into();
        check([&record], T, Floats::Refused).map_err(|unverifiable| unverifiable.flaw)
    }

    #[test]
    fn d10_what_clients_read_differently_is_found_with_its_true_path() {
        for (record, flaw) in [
            (json!({"a": [{"a": 1, "b": 1.5}]}), Flaw::Float("a.0.b".to_owned())),
            (json!({"a": 1.0, "b": 1}), Flaw::Float("a".to_owned())),
            (json!({"a": {"x": [0, [1]], "y": [[2, 1.5]]}}), Flaw::Float("a.y.0.1".to_owned())),
            (json!({"b": [9_007_199_254_740_992_i64]}), Flaw::Integer("b.0".to_owned())),
            (json!({"a": {"b": u64::MAX}}), Flaw::Integer("a.b".to_owned())),
            (json!({"a": {"\u{1f600}": 1}}), Flaw::Name("a.\u{1f600}".to_owned())),
            (json!({"deleted": false}), Flaw::Deleted),
            (json!({"deleted": true, "title": "x"}), Flaw::Deleted),
            (json!({"attachment": null}), Flaw::Attachment("filename")),
        ] {
            assert_eq!(check_one(record), Err(flaw));
        }
        let good = json!({"a": [-9_007_199_254_740_991_i64, {"é": "\u{1f600}", "deleted": 1}]});
        assert_eq!(check_one(good), Ok(()));
        let floats = json!({"a": [1.5], "id": "r", "last_modified": 1});
        assert_eq!(check([&floats], T, Floats::Allowed), Ok(()));
        assert_eq!(check_one(json!({"deleted": true})), Ok(()), "a tombstone");
    }

    #[test]
    fn an_attachment_has_all_that_the_rust_client_needs() {
        let whole =
            json!({"filename": "f", "hash": "h", "location": "l", "mimetype": "m", "size": 1});
        assert_eq!(check_one(json!({"attachment": whole})), Ok(()));
        for name in ["filename", "hash", "location", "mimetype", "size"] {
            let mut attachment = whole.clone();
            attachment[name] = json!(null);
            assert_eq!(check_one(json!({"attachment": attachment})), Err(Flaw::Attachment(name)));
        }
    }

    #[test]
    fn ids_are_unique_and_times_are_times() {
        let record =
            |id: Value, last_modified: Value| json!({"id": id, "last_modified": last_modified});
        let flaw = |changes: &[Value]| check(changes, T, Floats::Refused).unwrap_err().flaw;
        let now = T.as_millis();

        assert_eq!(
            check(
                &[record("a".into(), now.into()), record("b".into(), 1.into())],
                T,
                Floats::Refused
            ),
            Ok(())
        );
        assert_eq!(
            flaw(&[record("a".into(), 2.into()), record("a".into(), 1.into())]),
            Flaw::Twice
        );
        assert_eq!(flaw(&[record("a".into(), (now + 1).into())]), Flaw::Late);
        for id in [json!(""), json!("a b"), json!(1), json!(null)] {
            assert_eq!(flaw(&[record(id, now.into())]), Flaw::Id);
        }
        for time in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null)] {
            assert_eq!(flaw(&[record("a".into(), time)]), Flaw::Timestamp);
        }
        let later = Timestamp::LATEST;
        let error = check(&[record("a".into(), later.as_millis().into())], later, Floats::Refused)
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "record 'a': 'last_modified' is not a timestamp in milliseconds"
        );
    }
}
