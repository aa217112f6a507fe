//! How much one validation may cost: schemas can be made whose evaluation grows exponentially.
//!
//! A keyword of ours, put into each subschema that refers to others, counts evaluations. The
//! library cannot be told to stop, so that an unwinding ends the evaluation where the budget does.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

/// The name of the keyword, which no other schema uses.
pub(super) const KEYWORD: &str = "countersign:cost";

/// What one validation may cost: a fraction of a second.
const LIMIT: usize = 3_000_000;

/// So many bytes of a text cost as much as one evaluation.
const TEXT: usize = 32;

thread_local! {
    static LEFT: Cell<usize> = const { Cell::new(0) };
}

struct Exhausted;

/// Runs a validation; `None` when it was given up.
pub(super) fn within_limit<T>(validation: impl FnOnce() -> T) -> Option<T> {
    LEFT.set(LIMIT);
    match catch_unwind(AssertUnwindSafe(validation)) {
        Ok(result) => Some(result),
        Err(panic) if panic.is::<Exhausted>() => None,
        Err(panic) => resume_unwind(panic),
    }
}

/// What an evaluation of a subschema costs: for its own lists, and for each member or item.
pub(super) struct Cost {
    own: usize,
    each: usize,
}

impl Cost {
    /// The cost of a subschema with these keywords.
    pub(super) fn of(schema: &Map<String, Value>) -> Self {
        let length = |name: &str| schema.get(name).map_or(0, length);
        let lists = ["allOf", "anyOf", "oneOf", "required", "enum", "properties"];
        Self {
            own: 1 + lists.into_iter().map(length).sum::<usize>(),
            each: 1 + length("patternProperties"),
        }
    }

    /// The cost as the keyword says it.
    pub(super) fn to_value(&self) -> Value {
        json!([self.own, self.each])
    }

    /// The cost that the keyword says.
    pub(super) fn from_value(value: &Value) -> Self {
        let number = |index: usize| value[index].as_u64().and_then(|n| usize::try_from(n).ok());
        Self { own: number(0).unwrap_or(1), each: number(1).unwrap_or(1) }
    }

    fn spend(&self, instance: &Value) {
        let size = match instance {
            Value::Object(members) => members.len() * self.each,
            Value::Array(items) => items.len() * self.each,
            Value::String(text) => text.len() / TEXT * self.own,
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        match LEFT.get().checked_sub(self.own + size) {
            Some(left) => LEFT.set(left),
            None => resume_unwind(Box::new(Exhausted)),
        }
    }
}

fn length(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.len(),
        Value::Object(members) => members.len(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Whether a validation costs too much whatever its course: each value may be compared with each
/// part of the schema. Evaluations that fail early are not counted.
pub(super) fn is_too_large(instance: &Value, schema_bytes: usize) -> bool {
    const LIMIT: usize = 4_000_000_000;
    count(instance).saturating_mul(schema_bytes) > LIMIT
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

impl<'i> Keyword<'i> for Cost {
    fn validate(&self, instance: &'i Value) -> Result<(), ValidationError<'i>> {
        self.spend(instance);
        Ok(())
    }

    fn is_valid(&self, instance: &'i Value) -> bool {
        self.spend(instance);
        true
    }
}
