//! What a source collection may not hold, because some client could not verify it.

use serde_json::{Map, Value};

/// Largest integer that every client reads exactly: 2^53 - 1.
const MAX_SAFE: i64 = 9_007_199_254_740_991;

/// Checks a record of a source collection.
///
/// # Errors
///
/// The message of the 400 (`remote-settings.md` §1.15, D10).
pub fn check_record(record: &Map<String, Value>) -> Result<(), String> {
    if record.contains_key("deleted") {
        return Err("field 'deleted' is reserved for tombstones".to_owned());
    }
    let mut path = Vec::new();
    check_object(record, &mut path)
}

fn check_object(object: &Map<String, Value>, path: &mut Vec<String>) -> Result<(), String> {
    for (name, value) in object {
        path.push(name.clone());
        // Gecko sorts keys by UTF-16 unit, everybody else by code point (§2.3).
        if name.chars().any(|character| character > '\u{ffff}') {
            let shown = path.join(".");
            return Err(format!("field name outside the Basic Multilingual Plane, '{shown}'"));
        }
        check_value(value, path)?;
        path.pop();
    }
    Ok(())
}

fn check_value(value: &Value, path: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Number(number) if number.is_f64() => Err(format!(
            "field contains float value (tip: use integer or string), '{}'",
            path.join(".")
        )),
        Value::Number(number)
            if number.as_i64().is_none_or(|n| !(-MAX_SAFE..=MAX_SAFE).contains(&n)) =>
        {
            Err(format!(
                "field contains an integer beyond 2^53 (tip: use string), '{}'",
                path.join(".")
            ))
        }
        Value::Array(items) => items.iter().enumerate().try_for_each(|(index, item)| {
            path.push(index.to_string());
            check_value(item, path)?;
            path.pop();
            Ok(())
        }),
        Value::Object(members) => check_object(members, path),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Number(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value) -> Result<(), String> {
        check_record(value.as_object().unwrap())
    }

    #[test]
    fn d10_what_clients_read_differently_is_refused_with_its_true_path() {
        let float = "field contains float value (tip: use integer or string), 'a.0.b'";

        assert_eq!(check(&json!({"a": [{"a": 1, "b": 1.5}]})), Err(float.to_owned()));
        assert!(check(&json!({"a": 1.0})).is_err());
        assert!(check(&json!({"a": 1, "b": [9_007_199_254_740_992_i64]})).is_err());
        assert!(check(&json!({"a": u64::MAX})).is_err());
        assert!(check(&json!({"\u{1f600}": 1})).is_err());
        assert!(check(&json!({"deleted": false})).is_err());
        let good = json!({"a": [-9_007_199_254_740_991_i64, {"é": "\u{1f600}", "deleted": 1}]});
        assert_eq!(check(&good), Ok(()));
    }
}
