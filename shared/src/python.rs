//! Values as the reference, which is written in Python, shows them in its messages.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// The value as `str()` shows it: a text without quotes, all others as [`repr`] does.
pub fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| repr(value), str::to_owned)
}

/// The value as `repr()` shows it.
pub fn repr(value: &Value) -> String {
    let mut shown = String::new();
    write_value(&mut shown, value);
    shown
}

/// A text as `repr()` shows it: quoted, escaped.
pub fn repr_text(text: &str) -> String {
    let mut shown = String::new();
    write_text(&mut shown, text);
    shown
}

/// Several values as `repr()` shows them, separated by commas.
pub fn repr_all<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    values.into_iter().map(repr).collect::<Vec<_>>().join(", ")
}

/// The name of the value's type, as `<class '…'>` shows it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// Whether the value counts as true: null, zero and what is empty do not.
pub fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

fn write_value(shown: &mut String, value: &Value) {
    match value {
        Value::Null => shown.push_str("None"),
        Value::Bool(true) => shown.push_str("True"),
        Value::Bool(false) => shown.push_str("False"),
        Value::Number(number) => write_number(shown, number),
        Value::String(text) => write_text(shown, text),
        Value::Array(items) => write_items(shown, items),
        Value::Object(members) => write_members(shown, members),
    }
}

fn write_items(shown: &mut String, items: &[Value]) {
    shown.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            shown.push_str(", ");
        }
        write_value(shown, item);
    }
    shown.push(']');
}

fn write_members(shown: &mut String, members: &Map<String, Value>) {
    shown.push('{');
    for (index, (name, member)) in members.iter().enumerate() {
        if index > 0 {
            shown.push_str(", ");
        }
        write_text(shown, name);
        shown.push_str(": ");
        write_value(shown, member);
    }
    shown.push('}');
}

/// Floats have a fraction or an exponent of at least two digits: `1.0`, `1e+20`, `1e-05`.
fn write_number(shown: &mut String, number: &Number) {
    let Some(float) = number.as_f64().filter(|_| number.is_f64()) else {
        let _ = write!(shown, "{number}");
        return;
    };
    let plain = format!("{float:?}");
    match plain.split_once('e') {
        None => shown.push_str(&plain),
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            let _ = write!(shown, "{digits}e{sign}{exponent:0>2}");
        }
    }
}

/// Single quotes, unless the text has some and no double ones.
fn write_text(shown: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    shown.push(quote);
    for character in text.chars() {
        write_character(shown, character, quote);
    }
    shown.push(quote);
}

fn write_character(shown: &mut String, character: char, quote: char) {
    let code = u32::from(character);
    let _ = match character {
        '\\' => shown.write_str("\\\\"),
        '\n' => shown.write_str("\\n"),
        '\r' => shown.write_str("\\r"),
        '\t' => shown.write_str("\\t"),
        _ if character == quote => write!(shown, "\\{quote}"),
        ' '..='~' => shown.write_char(character),
        _ if character.escape_debug().len() == 1 => shown.write_char(character),
        _ if code < 0x100 => write!(shown, "\\x{code:02x}"),
        _ if code < 0x1_0000 => write!(shown, "\\u{code:04x}"),
        _ => write!(shown, "\\U{code:08x}"),
    };
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each line was printed by Python 3.11.
    #[test]
    fn values_are_shown_as_python_shows_them() {
        for (value, shown) in [
            (json!(null), "None"),
            (json!([true, false, 1, -2, 1.0, 2.5]), "[True, False, 1, -2, 1.0, 2.5]"),
            (json!([1e20, 1e16, 1e15]), "[1e+20, 1e+16, 1000000000000000.0]"),
            (json!([0.0001, 1e-5, -2.5e-7]), "[0.0001, 1e-05, -2.5e-07]"),
            (json!(1.234_567_890_123_456_8e300), "1.2345678901234568e+300"),
            (json!({"a": {"b": []}, "c": {}}), "{'a': {'b': []}, 'c': {}}"),
            (json!("it's"), "\"it's\""),
            (json!("a\"b"), "'a\"b'"),
            (json!("it's \"x\""), "'it\\'s \"x\"'"),
            (json!("\\\n\r\t\u{7f}\u{1}"), "'\\\\\\n\\r\\t\\x7f\\x01'"),
            (json!("é\u{200b}😀\u{a0}\u{e000}\u{10ffff}"), "'é\\u200b😀\\xa0\\ue000\\U0010ffff'"),
        ] {
            assert_eq!(repr(&value), shown);
        }
        assert_eq!(text(&json!("it's")), "it's");
        assert_eq!(text(&json!(["it's"])), "[\"it's\"]");
    }
}
