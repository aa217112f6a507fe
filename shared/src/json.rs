//! Reading JSON that a stranger sent: what cannot be stored, signed or bounded is refused here.

use std::borrow::Cow;

use serde_json::Value;

/// Deepest nesting of arrays and objects that is accepted.
pub const MAX_DEPTH: usize = 64;

/// Why a text is not acceptable JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all. `NaN`, `1e400` and lone surrogates are among these.
    #[error("Invalid JSON: Parse error at offset {offset}: {reason}")]
    Syntax {
        /// Bytes before the error.
        offset: usize,
        /// What the parser expected.
        reason: String,
    },
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("Invalid JSON: nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A string or member name holds U+0000, which PostgreSQL's `jsonb` cannot store.
    #[error("Invalid JSON: the character U+0000 cannot be stored")]
    Nul,
}

/// Parses UTF-8 JSON text.
///
/// Integers wider than 64 bits are read as floats, the last of two equal member names wins
/// (`kinto-http-api.md` §0.1.3), and `-0` is the integer 0 (`remote-settings.md` §1.15).
///
/// # Errors
///
/// [`JsonError`] for malformed, too deep or unstorable text.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    let value: Value = serde_json::from_slice(&without_minus_zero(text)).map_err(|error| {
        if error.to_string().starts_with("recursion limit exceeded") {
            return JsonError::TooDeep;
        }
        JsonError::Syntax { offset: offset(text, &error), reason: reason(&error) }
    })?;
    check_storable(&value)?;
    Ok(value)
}

/// Checks a value that did not come from one text: it may be stored as if it had.
///
/// # Errors
///
/// [`JsonError`] when it is too deep or unstorable.
pub fn check_storable(value: &Value) -> Result<(), JsonError> {
    check(value, 0)
}

fn check(value: &Value, depth: usize) -> Result<(), JsonError> {
    if depth > MAX_DEPTH {
        return Err(JsonError::TooDeep);
    }
    match value {
        Value::String(text) => refuse_nul(text),
        Value::Array(items) => items.iter().try_for_each(|item| check(item, depth + 1)),
        Value::Object(members) => members.iter().try_for_each(|(name, member)| {
            refuse_nul(name)?;
            check(member, depth + 1)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn refuse_nul(text: &str) -> Result<(), JsonError> {
    if text.contains('\0') { Err(JsonError::Nul) } else { Ok(()) }
}

/// `serde_json` reads the integer `-0` as the float `-0.0`, and then nobody can tell them apart.
fn without_minus_zero(text: &[u8]) -> Cow<'_, [u8]> {
    let mut fixed: Option<Vec<u8>> = None;
    let (mut in_string, mut escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte == b'"' {
            in_string = true;
        } else if byte == b'-' && is_integer_zero(&text[at + 1..]) && !in_exponent(&text[..at]) {
            fixed.get_or_insert_with(|| text.to_vec())[at] = b' ';
        }
    }
    fixed.map_or(Cow::Borrowed(text), Cow::Owned)
}

fn is_integer_zero(after_minus: &[u8]) -> bool {
    match after_minus {
        [b'0'] => true,
        [b'0', next, ..] => !matches!(next, b'0'..=b'9' | b'.' | b'e' | b'E'),
        _ => false,
    }
}

/// In `1e-0` the sign belongs to the exponent.
fn in_exponent(before_minus: &[u8]) -> bool {
    matches!(before_minus, [.., b'0'..=b'9', b'e' | b'E'])
}

/// `serde_json` counts lines and columns; the contract counts bytes.
fn offset(text: &[u8], error: &serde_json::Error) -> usize {
    let before: usize = text
        .split_inclusive(|&byte| byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_kept_is_refused_with_its_place() {
        assert_eq!(
            parse(b"{\"a\": 1,\n \"b\" 2}").unwrap_err().to_string(),
            "Invalid JSON: Parse error at offset 14: expected `:`"
        );
        assert_eq!(parse(b"{\"a\": \"x\\u0000\"}"), Err(JsonError::Nul));
        assert_eq!(parse(b"{\"a\\u0000\": 1}"), Err(JsonError::Nul));
        for bad in ["", "NaN", "[Infinity]", "1e400", r#""\ud83d""#, "01", "[1,]", "{} {}"] {
            let refusal = parse(bad.as_bytes()).unwrap_err();
            assert!(matches!(refusal, JsonError::Syntax { .. }), "{bad}: {refusal}");
        }
    }

    #[test]
    fn nesting_is_bounded_whatever_the_size() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);

        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        for depth in [MAX_DEPTH + 2, 129, 5_000_000] {
            assert_eq!(parse(nested(depth).as_bytes()), Err(JsonError::TooDeep), "{depth}");
        }
    }

    #[test]
    fn minus_zero_is_an_integer_and_minus_zero_point_zero_is_not() {
        let value = parse(br#"[-0, -0.0, "-0", "\"-0", {"-0": -0}, -01e1]"#);
        assert!(value.is_err(), "a leading zero is not JSON");

        let value = parse(br#"[-0, -0.0, "-0", "\"-0", {"-0": -0}, 1e-0, -0e1]"#).unwrap();
        assert_eq!(value[0], json!(0));
        assert!(value[1].is_f64() && value[5].is_f64() && value[6].is_f64());
        assert_eq!(value[2], json!("-0"));
        assert_eq!(value[3], json!("\"-0"));
        assert_eq!(value[4]["-0"], json!(0));
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse(&bytes);
        }

        #[test]
        fn the_offset_lies_in_the_text(text in r#"[\[\]{}",:0-9a-z\n -]{0,40}"#) {
            if let Err(JsonError::Syntax { offset, .. }) = parse(text.as_bytes()) {
                prop_assert!(offset <= text.len());
            }
        }
    }
}
