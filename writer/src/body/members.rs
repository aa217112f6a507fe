//! Members with a meaning of their own: timestamps, a group's members, how long a collection's
//! records may be cached, JSON schemas (`kinto-http-api.md` §2.6.5-2.6.8).

use serde_json::{Map, Value};
use shared::{
    error::{Detail, Location},
    model::{EVERYONE, Resource, Timestamp},
};

use super::{mapping_problem, string};
use crate::{operations::MAX_PASSWORD_BYTES, python, schema};

/// Where a bucket keeps the schemas of what it holds.
const BUCKET_SCHEMAS: [&str; 3] = ["collection:schema", "group:schema", "record:schema"];

/// Checks the members of an object that is to be stored, puts them into their one form, and adds
/// those that have a default. `prefix` is what names in problems begin with.
pub(crate) fn check(
    data: &mut Map<String, Value>,
    resource: Resource,
    prefix: &str,
) -> Vec<Detail> {
    let mut problems = Problems { prefix, details: Vec::new() };
    check_timestamp(data, &mut problems);
    match resource {
        Resource::Bucket => {
            for name in BUCKET_SCHEMAS {
                check_schema(data, name, &mut problems);
            }
        }
        Resource::Group => check_members(data, &mut problems),
        Resource::Collection => {
            check_schema(data, "schema", &mut problems);
            check_lifetime(data, &mut problems);
        }
        Resource::Account => check_password(data, &mut problems),
        Resource::Record | Resource::History => {}
    }
    problems.details
}

struct Problems<'a> {
    prefix: &'a str,
    details: Vec<Detail>,
}

impl Problems<'_> {
    fn add(&mut self, name: &str, text: impl Into<String>) {
        let name = format!("{}{name}", self.prefix);
        self.details.push(Detail::new(Location::Body, &name, text));
    }
}

/// Only an integer counts (§2.6.5).
fn check_timestamp(data: &mut Map<String, Value>, problems: &mut Problems<'_>) {
    let name = "last_modified";
    let Some(value) = data.get(name) else { return };
    match value.as_i64() {
        Some(millis) if millis > Timestamp::LATEST.as_millis() => {
            let text = format!("{millis} is greater than maximum value {}", Timestamp::LATEST);
            problems.add(name, text);
        }
        Some(millis) if millis < 0 => {
            problems.add(name, format!("{millis} is less than minimum value 0"));
        }
        Some(_) => {}
        None => {
            data.remove(name);
        }
    }
}

fn check_members(data: &mut Map<String, Value>, problems: &mut Problems<'_>) {
    let members = data.entry("members").or_insert_with(|| Value::Array(Vec::new()));
    let Value::Array(items) = members else {
        problems.add("members", format!("\"{}\" is not iterable", python::text(members)));
        return;
    };
    for (index, member) in items.iter().enumerate() {
        let problem = match string(member) {
            Ok(id) if id.starts_with("/buckets/") || id == EVERYONE => {
                format!("'{id}' is not a valid user ID.")
            }
            Ok(_) => continue,
            Err(problem) => problem,
        };
        problems.add(&format!("members.{index}"), problem);
    }
}

/// A password that was good has become its hash already (§5.3.2).
fn check_password(data: &Map<String, Value>, problems: &mut Problems<'_>) {
    let Some(password) = data.get("password") else { return };
    let text = match password {
        Value::String(text) if text.len() > MAX_PASSWORD_BYTES => {
            format!("Longer than maximum length {MAX_PASSWORD_BYTES}")
        }
        nothing if !python::is_truthy(nothing) => "Required".to_owned(),
        Value::String(_) => return,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            format!("{} is not a string: {{'password': ''}}", python::text(password))
        }
    };
    problems.add("password", text);
}

/// What is no number is refused, what is nothing is dropped (§2.6.6).
fn check_lifetime(data: &mut Map<String, Value>, problems: &mut Problems<'_>) {
    let name = "cache_expires";
    let Some(value) = data.get(name) else { return };
    match whole_number(value) {
        Some(seconds) => {
            data.insert(name.to_owned(), seconds.into());
        }
        None if python::is_truthy(value) => {
            problems.add(name, format!("\"{}\" is not a number", python::text(value)));
        }
        None => {
            data.remove(name);
        }
    }
}

fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Bool(flag) => Some(i64::from(*flag)),
        Value::Number(number) => number.as_i64().or_else(|| truncated(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what is asked for, in these limits")]
fn truncated(float: f64) -> Option<i64> {
    (float.abs() < 9e15).then_some(float as i64)
}

fn check_schema(data: &Map<String, Value>, name: &str, problems: &mut Problems<'_>) {
    let Some(document) = data.get(name) else { return };
    if !document.is_object() {
        problems.details.push(mapping_problem(&format!("{}{name}", problems.prefix), document));
    } else if let Err(text) = schema::check_document(document) {
        problems.add(name, text);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(resource: Resource, data: &Value) -> Value {
        let mut data = data.as_object().unwrap().clone();
        let problems = check(&mut data, resource, "data.");
        assert_eq!(problems, Vec::new());
        Value::Object(data)
    }

    fn refused(resource: Resource, data: &Value) -> Vec<(String, String)> {
        let mut data = data.as_object().unwrap().clone();
        let problems = check(&mut data, resource, "");
        problems
            .into_iter()
            .map(|detail| (detail.name.unwrap().to_string(), detail.description))
            .collect()
    }

    #[test]
    fn only_an_integer_is_a_timestamp() {
        for value in [json!("123"), json!(1.5), json!(null), json!(true), json!(u64::MAX)] {
            let data = json!({"last_modified": value, "a": 1});
            assert_eq!(stored(Resource::Record, &data), json!({"a": 1}));
        }
    }

    #[test]
    fn groups_do_not_nest() {
        assert_eq!(stored(Resource::Group, &json!({})), json!({"members": []}));
        let twice = json!({"members": ["system.Authenticated", "a", "a"]});
        assert_eq!(stored(Resource::Group, &twice), twice);
        let bad = json!({"members": ["a", "/buckets/z", 3, null]});
        assert_eq!(
            refused(Resource::Group, &bad),
            [
                ("members.1", "'/buckets/z' is not a valid user ID."),
                ("members.2", "3 is not a string: {'': ''}"),
                ("members.3", "Required"),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
        );
    }

    #[test]
    fn the_lifetime_of_records_is_a_whole_number() {
        for (sent, kept) in [
            (json!("12"), Some(12)),
            (json!(" 7 "), Some(7)),
            (json!(1.7), Some(1)),
            (json!(true), Some(1)),
            (json!(false), Some(0)),
            (json!(-3), Some(-3)),
            (json!(null), None),
            (json!(""), None),
            (json!([]), None),
        ] {
            let data = stored(Resource::Collection, &json!({"cache_expires": sent}));
            assert_eq!(data.get("cache_expires").and_then(Value::as_i64), kept);
        }
        for (sent, shown) in [(json!("abc"), "abc"), (json!([1]), "[1]"), (json!("1.5"), "1.5")] {
            let problems = refused(Resource::Collection, &json!({"cache_expires": sent}));
            assert_eq!(problems[0].1, format!("\"{shown}\" is not a number"));
        }
    }
}
