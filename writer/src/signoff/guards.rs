//! What a source collection may not hold, because some client could not verify it.

use serde_json::{Map, Value};
use shared::error::ApiError;

use crate::store::objects::Object;

/// Largest integer that every client reads exactly: 2^53 - 1.
const MAX_SAFE: i64 = 9_007_199_254_740_991;

/// Checks a record of a source collection, floats included unless they are allowed.
///
/// # Errors
///
/// The 400 (`remote-settings.md` §1.15, D10).
pub fn check(record: &Object, allow_floats: bool) -> Result<(), ApiError> {
    check_record(&record.data, allow_floats)
        .map_err(|message| ApiError::Refused { forbidden: false, message })
}

fn check_record(record: &Map<String, Value>, allow_floats: bool) -> Result<(), String> {
    if record.contains_key("deleted") {
        return Err("field 'deleted' is reserved for tombstones".to_owned());
    }
    Guard { allow_floats, path: Vec::new() }.object(record)
}

/// Walks through a record, and knows where it is.
struct Guard {
    allow_floats: bool,
    path: Vec<String>,
}

impl Guard {
    fn object(&mut self, object: &Map<String, Value>) -> Result<(), String> {
        for (name, value) in object {
            self.path.push(name.clone());
            // Gecko sorts keys by UTF-16 unit, everybody else by code point (§2.3).
            if name.chars().any(|character| character > '\u{ffff}') {
                let shown = self.path.join(".");
                return Err(format!("field name outside the Basic Multilingual Plane, '{shown}'"));
            }
            self.value(value)?;
            self.path.pop();
        }
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), String> {
        let problem = match value {
            Value::Number(number) if number.is_f64() => {
                if self.allow_floats {
                    return Ok(());
                }
                "float value (tip: use integer or string)"
            }
            Value::Number(number) if number.as_i64().is_some_and(is_safe) => return Ok(()),
            Value::Number(_) => "an integer beyond 2^53 (tip: use string)",
            Value::Array(items) => return self.array(items),
            Value::Object(members) => return self.object(members),
            Value::Null | Value::Bool(_) | Value::String(_) => return Ok(()),
        };
        Err(format!("field contains {problem}, '{}'", self.path.join(".")))
    }

    fn array(&mut self, items: &[Value]) -> Result<(), String> {
        for (index, item) in items.iter().enumerate() {
            self.path.push(index.to_string());
            self.value(item)?;
            self.path.pop();
        }
        Ok(())
    }
}

fn is_safe(number: i64) -> bool {
    (-MAX_SAFE..=MAX_SAFE).contains(&number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(value: &Value) -> Result<(), String> {
        check_record(value.as_object().unwrap(), false)
    }

    #[test]
    fn d10_what_clients_read_differently_is_refused_with_its_true_path() {
        let float = "field contains float value (tip: use integer or string), 'a.0.b'";

        assert_eq!(check(&json!({"a": [{"a": 1, "b": 1.5}]})), Err(float.to_owned()));
        assert!(check(&json!({"a": 1, "b": 1.5})).unwrap_err().ends_with("'b'"), "no sibling");
        assert!(
            check(&json!({"a": {"x": [0, [1]], "y": [[2, 1.5]]}}))
                .unwrap_err()
                .ends_with("'a.y.0.1'")
        );
        assert!(check(&json!({"a": 1.0})).is_err());
        assert!(check(&json!({"a": 1, "b": [9_007_199_254_740_992_i64]})).is_err());
        assert!(check(&json!({"a": u64::MAX})).is_err());
        assert!(check(&json!({"\u{1f600}": 1})).is_err());
        assert!(check(&json!({"deleted": false})).is_err());
        let good = json!({"a": [-9_007_199_254_740_991_i64, {"é": "\u{1f600}", "deleted": 1}]});
        assert_eq!(check(&good), Ok(()));
        let floats = json!({"a": [1.5]});
        assert_eq!(
            check_record(floats.as_object().unwrap(), true),
            Ok(()),
            "allowed by the settings"
        );
    }
}
