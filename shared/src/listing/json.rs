//! Values of a query string: JSON where they parse, else text (§3.2.1).

use crate::json::{self, JsonError};
use serde_json::{Number, Value};

/// Parameters are told by Python's truth in some places (`has_`, `_limit`).
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(truth) => *truth,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

/// `n=1` is a number, `n="1"` a string, `n=True` a string, too.
///
/// # Errors
///
/// What no stored object can be compared with: U+0000, or nesting beyond what is stored.
pub(super) fn native(text: &str) -> Result<Value, JsonError> {
    match json::parse(text.as_bytes()) {
        Err(JsonError::Syntax { .. }) if text.contains('\0') => Err(JsonError::Nul),
        Err(JsonError::Syntax { .. }) => Ok(Value::String(text.to_owned())),
        result => result,
    }
}

/// A JSON number as the whole number that it is, or is cut to: `1.5` is 1.
pub(super) fn whole(number: &Number) -> Option<i128> {
    if let Some(number) = number.as_i128() {
        return Some(number);
    }
    // Saturates, which is as far out of range.
    #[expect(clippy::cast_possible_truncation, reason = "cutting is what is wanted")]
    number.as_f64().map(|float| float.trunc() as i128)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_json_is_text() {
        for (text, expected) in [
            ("1", json!(1)),
            (" 1 ", json!(1)),
            ("\"1\"", json!("1")),
            ("true", json!(true)),
            ("True", json!("True")),
            ("null", Value::Null),
            ("", json!("")),
            ("[1]", json!([1])),
            ("{\"a\":1}", json!({"a": 1})),
            ("1e400", json!("1e400")),
            (" a", json!(" a")),
        ] {
            assert_eq!(native(text), Ok(expected), "{text}");
        }
        for bad in ["\0", "a\0b", "\"\\u0000\"", "{\"\\u0000\":1}"] {
            assert_eq!(native(bad), Err(JsonError::Nul), "{bad:?}");
        }
    }

    #[test]
    fn floats_are_cut() {
        let number = |text: &str| whole(&serde_json::from_str(text).unwrap());

        assert_eq!(number("1.9"), Some(1));
        assert_eq!(number("-0.5"), Some(0));
        assert_eq!(number("1e3"), Some(1_000));
        assert_eq!(number("1e30"), Some(1_000_000_000_000_000_019_884_624_838_656));
    }
}
