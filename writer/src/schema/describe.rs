//! What is wrong with an object, in the words of Python's `jsonschema`, which people and tools
//! know (§2.13.6).

use jsonschema::{ValidationError, error::ValidationErrorKind as Kind};
use serde_json::Value;
use shared::error::Name;

use super::{Failure, compile::is_unresolvable};
use crate::python::{repr, repr_all, repr_text, text};

/// The error as a failure of `instance` by the document `schema`.
pub(super) fn failure(error: &ValidationError<'_>, schema: &Value, instance: &Value) -> Failure {
    if is_unresolvable(error) {
        return Failure::of_schema(error.to_string());
    }
    let text = every_unexpected(error, schema, instance);
    let text = text.unwrap_or_else(|| describe(error, schema));
    Failure { name: name(error, schema), text }
}

/// What is wrong with a schema: the last element of its place, followed by the problem (§2.6.6).
pub(super) fn schema_failure(error: &ValidationError<'_>) -> String {
    let place = error.instance_path().as_str();
    // A pattern that cannot be compiled is told by the schema's own path.
    let last = last_token(place).or_else(|| last_token(error.schema_path().as_str()));
    format!("{}{}", last.unwrap_or_default(), describe(error, &Value::Null))
}

/// The last element of the place; at the root, the last item of the keyword's list, or the
/// keyword.
fn name(error: &ValidationError<'_>, schema: &Value) -> Name {
    if let Some(token) = last_token(error.instance_path().as_str()) {
        return match token.parse() {
            Ok(index) if holder_is_array(error) => Name::Item(index),
            _ => Name::Member(token),
        };
    }
    let listed =
        keyword_value(error, schema).and_then(Value::as_array).and_then(|list| list.last());
    let listed = listed.and_then(Value::as_str).map(str::to_owned);
    Name::Member(listed.unwrap_or_else(|| keyword(error)))
}

/// Members may have names like numbers, too; the path itself tells them from items.
fn holder_is_array(error: &ValidationError<'_>) -> bool {
    use jsonschema::paths::LocationSegment;
    let last = error.instance_path().into_iter().last();
    matches!(last, Some(LocationSegment::Index(_)))
}

/// The keyword that refuses.
fn keyword(error: &ValidationError<'_>) -> String {
    last_token(error.schema_path().as_str()).unwrap_or_default()
}

fn last_token(pointer: &str) -> Option<String> {
    let (_, last) = pointer.rsplit_once('/')?;
    Some(last.replace("~1", "/").replace("~0", "~"))
}

fn keyword_value<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Option<&'a Value> {
    schema.pointer(error.schema_path().as_str())
}

/// The subschema that holds the keyword.
fn holder<'a>(error: &ValidationError<'_>, schema: &'a Value) -> Option<&'a Value> {
    let (holder, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(holder)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the library may learn new keywords")]
fn describe(error: &ValidationError<'_>, schema: &Value) -> String {
    let instance: &Value = error.instance();
    let shown = || repr(instance);
    match error.kind() {
        Kind::Type { .. } => format!("{} is not of type {}", shown(), types(error, schema)),
        Kind::Required { property } => required(error, schema, property),
        Kind::Enum { options } => format!("{} is not one of {}", shown(), repr(options)),
        Kind::Constant { expected_value } => format!("{} was expected", repr(expected_value)),
        Kind::Pattern { pattern } => {
            format!("{} does not match {}", shown(), repr_text(pattern))
        }
        Kind::Minimum { limit } => {
            format!("{} is less than the minimum of {}", shown(), repr(limit))
        }
        Kind::Maximum { limit } => {
            format!("{} is greater than the maximum of {}", shown(), repr(limit))
        }
        Kind::ExclusiveMinimum { limit } => {
            format!("{} is less than or equal to the minimum of {}", shown(), repr(limit))
        }
        Kind::ExclusiveMaximum { limit } => {
            format!("{} is greater than or equal to the maximum of {}", shown(), repr(limit))
        }
        Kind::MultipleOf { multiple_of } => {
            let divisor = keyword_value(error, schema).map_or(multiple_of.to_string(), text);
            format!("{} is not a multiple of {divisor}", shown())
        }
        Kind::MinLength { limit } | Kind::MinItems { limit } => {
            too_few(&shown(), *limit, "is too short")
        }
        Kind::MinProperties { limit } => {
            too_few(&shown(), *limit, "does not have enough properties")
        }
        Kind::MaxLength { limit } | Kind::MaxItems { limit } => {
            too_many(&shown(), *limit, "is too long")
        }
        Kind::MaxProperties { limit } => too_many(&shown(), *limit, "has too many properties"),
        Kind::UniqueItems => format!("{} has non-unique elements", shown()),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            format!("{} is not valid under any of the given schemas", shown())
        }
        Kind::OneOfMultipleValid { context } => {
            let valid: Vec<bool> = context.iter().map(Vec::is_empty).collect();
            format!("{} is valid under each of {}", shown(), each_valid(error, schema, &valid))
        }
        Kind::Not { .. } => {
            let refused = keyword_value(error, schema).map_or_else(String::new, repr);
            format!("{} should not be valid under {refused}", shown())
        }
        _ => describe_rest(error, schema),
    }
}

/// What is unexpected, and what is rare.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library may learn new keywords")]
fn describe_rest(error: &ValidationError<'_>, schema: &Value) -> String {
    let instance: &Value = error.instance();
    match error.kind() {
        Kind::AdditionalProperties { unexpected } => additional(error, schema, unexpected),
        Kind::UnevaluatedProperties { unexpected } => {
            let names = repr_names(unexpected);
            format!("Unevaluated properties are not allowed ({names} {})", were(unexpected.len()))
        }
        Kind::AdditionalItems { limit } => {
            let extra =
                instance.as_array().map_or(&[][..], |items| items.get(*limit..).unwrap_or(&[]));
            format!("Additional items are not allowed ({} {})", repr_all(extra), were(extra.len()))
        }
        Kind::Contains => contains(error, schema),
        Kind::Format { format } => format!("{} is not a '{format}'", repr(instance)),
        Kind::FalseSchema => format!("False schema does not allow {}", repr(instance)),
        Kind::PropertyNames { error } => describe(error, schema),
        _ => error.to_string(),
    }
}

fn too_few(shown: &str, limit: u64, text: &str) -> String {
    let text = if limit == 1 { "should be non-empty" } else { text };
    format!("{shown} {text}")
}

fn too_many(shown: &str, limit: u64, text: &str) -> String {
    let text = if limit == 0 { "is expected to be empty" } else { text };
    format!("{shown} {text}")
}

fn were(count: usize) -> &'static str {
    if count == 1 { "was unexpected" } else { "were unexpected" }
}

fn repr_names(names: &[String]) -> String {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names.into_iter().map(|name| repr_text(name)).collect::<Vec<_>>().join(", ")
}

/// In the order of the schema, which the error does not keep.
fn types(error: &ValidationError<'_>, schema: &Value) -> String {
    match (keyword_value(error, schema), error.kind()) {
        (Some(Value::Array(types)), _) => repr_all(types),
        (Some(kind), _) => repr(kind),
        (None, Kind::Type { kind: jsonschema::error::TypeKind::Single(kind) }) => {
            format!("'{kind}'")
        }
        (None, Kind::Type { kind: jsonschema::error::TypeKind::Multiple(kinds) }) => {
            // Metaschemas name object before boolean, and nothing else of theirs is a list.
            let mut names: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
            names.sort_by(|a, b| b.cmp(a));
            names.join(", ")
        }
        (None, _) => String::new(),
    }
}

/// A member is required always, or because another is there.
fn required(error: &ValidationError<'_>, schema: &Value, property: &Value) -> String {
    let instance: &Value = error.instance();
    let needs = |needed: &Value| needed.as_array().is_some_and(|all| all.contains(property));
    let dependents = keyword_value(error, schema).and_then(Value::as_object);
    let other = dependents.and_then(|all| {
        all.iter().find(|(name, needed)| instance.get(name).is_some() && needs(needed))
    });
    match other {
        Some((other, _)) => format!("{} is a dependency of {}", repr(property), repr_text(other)),
        None => format!("{} is a required property", repr(property)),
    }
}

/// The library may tell the first unexpected member only, and Python tells all.
fn every_unexpected(
    error: &ValidationError<'_>,
    schema: &Value,
    instance: &Value,
) -> Option<String> {
    if keyword(error) != "additionalProperties" {
        return None;
    }
    let holder = holder(error, schema)?;
    let known = |name: &String| holder["properties"].get(name).is_some();
    let members = instance.pointer(error.instance_path().as_str())?.as_object()?;
    let names: Vec<String> = members.keys().filter(|name| !known(name)).cloned().collect();
    let by_pattern = holder.get("patternProperties").is_some();
    (!by_pattern).then(|| additional(error, schema, &names))
}

/// The others first, the first that is valid last.
fn each_valid(error: &ValidationError<'_>, schema: &Value, valid: &[bool]) -> String {
    let branches = keyword_value(error, schema).and_then(Value::as_array);
    let mut matching: Vec<&Value> = branches
        .into_iter()
        .flatten()
        .zip(valid)
        .filter(|(_, valid)| **valid)
        .map(|(branch, _)| branch)
        .collect();
    if !matching.is_empty() {
        matching.rotate_left(1);
    }
    repr_all(matching)
}

fn additional(error: &ValidationError<'_>, schema: &Value, unexpected: &[String]) -> String {
    let names = repr_names(unexpected);
    let patterns = holder(error, schema).and_then(|holder| holder.get("patternProperties"));
    match patterns.and_then(Value::as_object) {
        Some(patterns) => {
            let verb = if unexpected.len() == 1 { "does" } else { "do" };
            let patterns: Vec<String> = patterns.keys().cloned().collect();
            format!("{names} {verb} not match any of the regexes: {}", repr_names(&patterns))
        }
        None => {
            format!("Additional properties are not allowed ({names} {})", were(unexpected.len()))
        }
    }
}

fn contains(error: &ValidationError<'_>, schema: &Value) -> String {
    let limit = |name: &str| holder(error, schema).and_then(|holder| holder.get(name)).map(repr);
    match (keyword(error).as_str(), limit("minContains"), limit("maxContains")) {
        ("maxContains", _, Some(most)) => {
            format!("Too many items match the given schema (expected at most {most})")
        }
        ("minContains", Some(least), _) => {
            format!("Too few items match the given schema (expected at least {least})")
        }
        _ if is_old(schema) => {
            format!("None of {} are valid under the given schema", repr(error.instance()))
        }
        _ => format!("{} does not contain items matching the given schema", repr(error.instance())),
    }
}

/// Whether the schema names a draft before 2019-09.
fn is_old(schema: &Value) -> bool {
    schema.get("$schema").and_then(Value::as_str).is_some_and(|name| name.contains("/draft-0"))
}
