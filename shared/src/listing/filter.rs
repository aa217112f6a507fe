//! The filter grammar (§3.1).

use crate::{json::JsonError, model::Timestamp};
use serde_json::Value;

use super::{
    json::{is_truthy, whole},
    params::Form,
    schema::{Field, Schema},
    sort::is_word,
};

/// One condition; all of a query must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    /// What is tested.
    pub field: Field,
    /// What must be true of it.
    pub test: Test,
}

/// What a filter asks of a value.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// How it compares with a value, across types (§3.2.3).
    Compare(Comparison, Value),
    /// It is one of these.
    In(Vec<Value>),
    /// It is none of these.
    Exclude(Vec<Value>),
    /// Its text matches; `*` is any run of characters.
    Like(String),
    /// It is there, or it is not.
    Has(bool),
    /// It is an array that holds all of these.
    Contains(Vec<Value>),
    /// It is an array that holds at least one of these.
    ContainsAny(Vec<Value>),
}

/// How two values compare. A missing member is different from, and greater than, all values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// =
    Equal,
    /// ≠
    Different,
    /// <
    Less,
    /// ≤
    AtMost,
    /// >
    Greater,
    /// ≥
    AtLeast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Compare(Comparison),
    In,
    Exclude,
    Like,
    Has,
    ContainsAny,
    Contains,
}

/// `contains_any_` is tried before `contains_`.
const OPERATORS: [(&str, Operator); 12] = [
    ("lt_", Operator::Compare(Comparison::Less)),
    ("min_", Operator::Compare(Comparison::AtLeast)),
    ("max_", Operator::Compare(Comparison::AtMost)),
    ("not_", Operator::Compare(Comparison::Different)),
    ("eq_", Operator::Compare(Comparison::Equal)),
    ("gt_", Operator::Compare(Comparison::Greater)),
    ("in_", Operator::In),
    ("exclude_", Operator::Exclude),
    ("like_", Operator::Like),
    ("has_", Operator::Has),
    ("contains_any_", Operator::ContainsAny),
    ("contains_", Operator::Contains),
];

/// A parameter as operator and field; any other name is one of an equality filter.
fn grammar(name: &str) -> (Operator, &str) {
    OPERATORS
        .iter()
        .find_map(|(prefix, operator)| {
            let field = name.strip_prefix(prefix)?;
            let is_field = !field.is_empty() && field.chars().all(is_word);
            is_field.then_some((*operator, field))
        })
        .unwrap_or((Operator::Compare(Comparison::Equal), name))
}

/// The filter of one parameter; `None` for one that is no bound.
///
/// # Errors
///
/// What is wrong with it, in the reference's words.
pub(super) fn parse(
    name: &str,
    form: &Form,
    schema: &Schema,
    now: Timestamp,
) -> Result<Option<Filter>, String> {
    if matches!(name, "_since" | "_before" | "_to") {
        return bound(name, form, now);
    }
    let (operator, field) = grammar(name);
    if !schema.knows(field) {
        return Err(format!("Unknown filter field '{name}'"));
    }
    let invalid = || format!("Invalid value for {name}");
    let nul = || "Invalid character 0x00".to_owned();
    let value = match form {
        Form::Value(_) if field.contains('\0') => return Err(nul()),
        Form::Unusable(JsonError::Nul) => return Err(nul()),
        Form::Unusable(_) => return Err(invalid()),
        Form::Value(value) => value.clone(),
    };
    match schema.field(field) {
        Field::LastModified => timestamps(operator, &value, now).map(Some).ok_or_else(invalid),
        Field::Id => {
            if matches!(operator, Operator::Contains | Operator::ContainsAny) {
                return Err(format!("Field '{field}' is not an array"));
            }
            let value = if operator == Operator::Like { value } else { number_as_text(value) };
            let test = test(operator, value).filter(all_texts).ok_or_else(invalid)?;
            Ok(Some(Filter { field: Field::Id, test }))
        }
        member @ Field::Member(_) => {
            let is_text = schema.is_text(field) && operator != Operator::Like;
            let value = if is_text { number_as_text(value) } else { value };
            let test = test(operator, value).ok_or_else(invalid)?;
            Ok(Some(Filter { field: member, test }))
        }
    }
}

fn test(operator: Operator, value: Value) -> Option<Test> {
    Some(match (operator, value) {
        (Operator::Compare(comparison), value) => Test::Compare(comparison, value),
        (Operator::In, Value::Array(items)) => Test::In(items),
        (Operator::Exclude, Value::Array(items)) => Test::Exclude(items),
        (Operator::Contains, Value::Array(items)) => Test::Contains(items),
        (Operator::ContainsAny, Value::Array(items)) => Test::ContainsAny(items),
        (Operator::Like, Value::String(pattern)) => Test::Like(pattern),
        (Operator::Has, value) => Test::Has(is_truthy(&value)),
        (
            Operator::In
            | Operator::Exclude
            | Operator::Contains
            | Operator::ContainsAny
            | Operator::Like,
            _,
        ) => return None,
    })
}

/// Lists of ids hold texts only; what looks like a number must be quoted.
#[expect(clippy::wildcard_enum_match_arm, reason = "only these two are lists of ids")]
fn all_texts(test: &Test) -> bool {
    match test {
        Test::In(items) | Test::Exclude(items) => items.iter().all(Value::is_string),
        _ => true,
    }
}

fn number_as_text(value: Value) -> Value {
    if let Value::Number(number) = &value {
        return number.to_string().into();
    }
    value
}

/// `_since`, `_before` and `_to`, all strict; null is no bound.
fn bound(name: &str, form: &Form, now: Timestamp) -> Result<Option<Filter>, String> {
    let Form::Value(value) = form else { return Err(format!("Invalid value for {name}")) };
    if value.is_null() {
        return Ok(None);
    }
    let comparison = if name == "_since" { Comparison::Greater } else { Comparison::Less };
    timestamps(Operator::Compare(comparison), value, now)
        .map(Some)
        .ok_or_else(|| format!("Invalid value for {name}"))
}

/// A filter on `last_modified`, whose value must be a timestamp, whatever the operator.
fn timestamps(operator: Operator, value: &Value, now: Timestamp) -> Option<Filter> {
    let timestamp = timestamp(value, now)?;
    let test = match operator {
        Operator::Compare(comparison) => Test::Compare(comparison, timestamp.as_millis().into()),
        Operator::Like => Test::Like(value.as_str()?.trim_matches('"').to_owned()),
        Operator::Has => Test::Has(is_truthy(value)),
        Operator::In | Operator::Exclude | Operator::Contains | Operator::ContainsAny => {
            return None;
        }
    };
    Some(Filter { field: Field::LastModified, test })
}

/// Not negative, and less than a day ahead: later ones are somebody's mistake.
fn timestamp(value: &Value, now: Timestamp) -> Option<Timestamp> {
    let timestamp = match value {
        Value::String(text) => Timestamp::parse(text).ok()?,
        Value::Number(number) => {
            let millis = i64::try_from(whole(number)?).ok()?;
            Some(millis).filter(|millis| *millis >= 0).map(Timestamp::from_millis)?
        }
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
    };
    Some(timestamp).filter(|timestamp| *timestamp < now.plus_millis(24 * 3_600 * 1_000))
}
