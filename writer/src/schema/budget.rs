//! How much one validation may cost: schemas can be made whose evaluation grows exponentially.
//!
//! A keyword of ours, put into each subschema, counts evaluations, and how much memory the errors
//! may take where they are collected: those of an `anyOf` are a tree of all that is wrong in every
//! branch. The library cannot be told to stop, so that an unwinding ends the evaluation where the
//! budget does.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use jsonschema::{Keyword, ValidationError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::pattern;

/// The name of the keyword, which no other schema uses.
pub(super) const KEYWORD: &str = "countersign:cost";

/// So many bytes of a text cost as much as one evaluation.
const TEXT: usize = 32;

/// So many bytes of a text, times the states of the pattern that it is matched with, cost as much as
/// one evaluation. A byte takes up to 25 nanoseconds for each state, in an optimized build.
const SCAN: usize = 16;

/// What one validation may cost.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    /// Evaluations of subschemas.
    evaluations: usize,
    /// Bytes of what is told of an invalid object: each branch of an `anyOf` that fails tells all
    /// that is wrong, with copies of the values.
    bytes: usize,
    /// Values, times the bytes of the schema.
    product: usize,
}

impl Budget {
    /// What takes milliseconds, and at the very worst 40: ordinary schemas need less than a tenth of it.
    pub(super) const QUICK: Self =
        Self { evaluations: 100_000, bytes: 2 << 20, product: 100_000_000 };
    /// What takes a fraction of a second, and at the very worst little more than one.
    pub(super) const FULL: Self =
        Self { evaluations: 3_000_000, bytes: 32 << 20, product: 4_000_000_000 };
    /// A tenth of what is quick.
    #[cfg(test)]
    pub(super) const TENTH: Self =
        Self { evaluations: 10_000, bytes: 200 << 10, product: 10_000_000 };
}

/// What is left of a budget.
#[derive(Debug, Clone, Copy)]
struct Left {
    evaluations: usize,
    bytes: usize,
    /// Bytes of the longest path that an error may name.
    path: usize,
}

thread_local! {
    static LEFT: Cell<Left> = const { Cell::new(Left { evaluations: 0, bytes: 0, path: 0 }) };
}

/// The budget is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exhausted;

/// Runs a validation that names no path longer than `path`.
///
/// # Errors
///
/// [`Exhausted`] when it was given up.
pub(super) fn within<T>(
    budget: Budget,
    path: usize,
    validation: impl FnOnce() -> T,
) -> Result<T, Exhausted> {
    LEFT.set(Left { evaluations: budget.evaluations, bytes: budget.bytes, path });
    catch_unwind(AssertUnwindSafe(validation)).map_err(|panic| {
        if panic.is::<Exhausted>() {
            return Exhausted;
        }
        resume_unwind(panic)
    })
}

/// Keywords that tell nothing of their own: what is wrong is wrong with a part, or in another
/// subschema, which counts it.
const SILENT: [&str; 22] = [
    "$comment",
    "$defs",
    "$ref",
    "$schema",
    "allOf",
    "default",
    "definitions",
    "description",
    "else",
    "examples",
    "format",
    "if",
    "items",
    "patternProperties",
    "prefixItems",
    "properties",
    "readOnly",
    "required",
    "then",
    "title",
    "type",
    "writeOnly",
];

/// What an evaluation of a subschema costs: for its own lists, and for each member or item.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Cost {
    own: usize,
    each: usize,
    /// The states of its pattern, and of those of names.
    text_states: usize,
    name_states: usize,
    /// The types that it allows, where it names any.
    types: Vec<String>,
    required: Vec<String>,
    /// How many other keywords may tell what is wrong.
    others: usize,
    /// The bytes of the schema that these repeat.
    repeated: usize,
}

impl Cost {
    /// The cost of a subschema with these keywords.
    pub(super) fn of(schema: &Map<String, Value>) -> Self {
        let length = |name: &str| schema.get(name).map_or(0, length);
        let lists = ["allOf", "anyOf", "oneOf", "required", "enum", "properties"];
        let repeated = ["not", "pattern"];
        Self {
            own: 1 + lists.into_iter().map(length).sum::<usize>(),
            each: 1 + length("patternProperties"),
            text_states: schema.get("pattern").and_then(Value::as_str).map_or(0, pattern::states),
            name_states: schema.get("patternProperties").map_or(0, name_states),
            types: texts(schema.get("type")),
            required: texts(schema.get("required")),
            others: schema.keys().filter(|name| !SILENT.contains(&name.as_str())).count(),
            repeated: repeated.into_iter().filter_map(|name| schema.get(name)).map(bytes).sum(),
        }
    }

    /// The cost as the keyword says it.
    pub(super) fn to_value(&self) -> Value {
        json!(self)
    }

    /// The cost that the keyword says.
    pub(super) fn from_value(value: &Value) -> Self {
        Self::deserialize(value).unwrap_or_default()
    }

    fn evaluations(&self, instance: &Value) -> usize {
        self.own
            + match instance {
                Value::Object(members) => {
                    members.len() * self.each + scan(names(members), self.name_states)
                }
                Value::Array(items) => items.len() * self.each,
                Value::String(text) => {
                    text.len() / TEXT * self.own + scan(text.len(), self.text_states)
                }
                Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            }
    }

    /// The most that errors of this evaluation hold: each has paths and a copy of the value.
    fn bytes(&self, instance: &Value, path: usize) -> usize {
        const ERROR: usize = 512;
        let is_missing = |name: &&String| instance.get(name.as_str()).is_none();
        let missing = self.required.iter().filter(is_missing).count();
        let missing = if instance.is_object() { missing } else { 0 };
        let errors = missing + self.others + usize::from(!self.allows_type_of(instance));
        if errors == 0 {
            return 0;
        }
        let each = ERROR + path + 2 * bytes(instance);
        errors.saturating_mul(each).saturating_add(self.repeated)
    }

    fn allows_type_of(&self, instance: &Value) -> bool {
        let is = |name: &String| match name.as_str() {
            "null" => instance.is_null(),
            "boolean" => instance.is_boolean(),
            "integer" => instance.is_i64() || instance.is_u64(),
            "number" => instance.is_number(),
            "string" => instance.is_string(),
            "array" => instance.is_array(),
            "object" => instance.is_object(),
            _ => false,
        };
        self.types.is_empty() || self.types.iter().any(is)
    }
}

/// The evaluations that a text costs which is matched with patterns.
fn scan(bytes: usize, states: usize) -> usize {
    bytes.saturating_mul(states) / SCAN
}

/// The states of the patterns that names are matched with.
pub(super) fn name_states(patterns: &Value) -> usize {
    let states = |(name, _): (&String, &Value)| pattern::states(name);
    patterns.as_object().into_iter().flatten().map(states).fold(0, usize::saturating_add)
}

/// How long the names of members are together.
fn names(members: &Map<String, Value>) -> usize {
    members.keys().map(String::len).sum()
}

/// A text, or the texts of a list.
fn texts(value: Option<&Value>) -> Vec<String> {
    let list = value.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let texts = value.into_iter().chain(list).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

fn spend(evaluations: usize, bytes: impl FnOnce(usize) -> usize) {
    let left = LEFT.get();
    let evaluations = left.evaluations.checked_sub(evaluations);
    match (evaluations, left.bytes.checked_sub(bytes(left.path))) {
        (Some(evaluations), Some(bytes)) => LEFT.set(Left { evaluations, bytes, ..left }),
        _ => resume_unwind(Box::new(Exhausted)),
    }
}

/// About how many bytes a copy of a value takes.
fn bytes(value: &Value) -> usize {
    const NODE: usize = 64;
    NODE + match value {
        Value::Array(items) => items.iter().map(bytes).sum(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| NODE + name.len() + bytes(value)).sum()
        }
        Value::String(text) => text.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// The most bytes that an error about a part of `instance` needs for its paths, by the length of
/// the longest name in the schema.
pub(super) fn longest_path(instance: &Value, name: usize) -> usize {
    /// Keywords and references on the way from a value to its member.
    const KEYWORDS: usize = 64;
    match instance {
        Value::Array(items) => {
            let below = items.iter().map(|item| longest_path(item, name)).max();
            KEYWORDS + name + below.unwrap_or(0)
        }
        Value::Object(members) => {
            let path = |(key, value): (&String, _)| 2 * key.len() + longest_path(value, name);
            KEYWORDS + name + members.iter().map(path).max().unwrap_or(0)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl Budget {
    /// Whether a validation costs too much whatever its course: each value may be compared with
    /// each part of the schema. Evaluations that fail early are not counted.
    pub(super) fn is_too_small_for(self, instance: &Value, schema_bytes: usize) -> bool {
        count(instance).saturating_mul(schema_bytes) > self.product
    }

    /// Whether it is too little to match the names of an object once: that comes before the
    /// evaluation is counted.
    pub(super) fn is_too_small_for_names(self, instance: &Value, states: usize) -> bool {
        states > 0 && scan(longest_names(instance), states) > self.evaluations
    }
}

/// The most that the names of one object have together.
fn longest_names(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(longest_names).max().unwrap_or(0),
        Value::Object(members) => {
            members.values().map(longest_names).fold(names(members), usize::max)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl<'i> Keyword<'i> for Cost {
    /// Called where errors are collected.
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        spend(self.evaluations(instance), |path| self.bytes(instance, path));
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        spend(self.evaluations(instance), |_| 0);
        true
    }
}
