//! A statement in the making: constant text and parameters.

use std::{fmt::Write as _, sync::Arc};

use serde_json::{Value, value::RawValue};
use tokio_postgres::types::{Json, ToSql, Type};

/// A parameter with its type; shared, because a source is used for more than one statement.
#[derive(Debug, Clone)]
pub struct Parameter {
    value: Arc<dyn ToSql + Send + Sync>,
    kind: Type,
}

impl Parameter {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(text.into(), Type::TEXT)
    }

    /// A list of texts.
    pub fn texts(texts: Vec<String>) -> Self {
        Self::new(texts, Type::TEXT_ARRAY)
    }

    /// A whole number.
    pub fn number(number: i64) -> Self {
        Self::new(number, Type::INT8)
    }

    /// True or false.
    pub fn flag(flag: bool) -> Self {
        Self::new(flag, Type::BOOL)
    }

    /// A JSON value.
    pub fn json(value: Value) -> Self {
        Self::new(Json(value), Type::JSONB)
    }

    /// A JSON value as the text that PostgreSQL gave.
    pub(super) fn raw_json(text: Box<RawValue>) -> Self {
        Self::new(Json(text), Type::JSONB)
    }

    /// A list of JSON values.
    pub fn jsons(values: Vec<Value>) -> Self {
        let values: Vec<Json<Value>> = values.into_iter().map(Json).collect();
        Self::new(values, Type::JSONB_ARRAY)
    }

    fn new(value: impl ToSql + Send + Sync + 'static, kind: Type) -> Self {
        Self { value: Arc::new(value), kind }
    }
}

/// A member of the objects: its path is among the parameters already, a segment each.
///
/// `data #> path` would read a number in the path as the index of an array, which it is not
/// (§3.1.2); `->` with a text never does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    base: &'static str,
    first: usize,
    depth: usize,
}

/// Text and parameters.
#[derive(Debug, Default)]
pub(super) struct Statement {
    text: String,
    parameters: Vec<Parameter>,
}

impl Statement {
    /// A statement whose first parameters are known.
    pub(super) fn new(parameters: &[Parameter]) -> Self {
        Self { text: String::new(), parameters: parameters.to_vec() }
    }

    /// Adds text. Only constants are accepted: what clients send cannot be one.
    pub(super) fn sql(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// Adds a parameter, and its number to the text.
    pub(super) fn bind(&mut self, parameter: Parameter) -> &mut Self {
        self.parameters.push(parameter);
        self.number(self.parameters.len())
    }

    /// Adds a path to the parameters, not yet to the text.
    pub(super) fn member(&mut self, base: &'static str, path: &[String]) -> Member {
        let first = self.parameters.len() + 1;
        self.parameters.extend(path.iter().map(Parameter::text));
        Member { base, first, depth: path.len() }
    }

    /// Adds the expression of a member to the text; it is null where the member is missing.
    pub(super) fn value(&mut self, member: Member) -> &mut Self {
        self.sql("(").sql(member.base);
        for number in member.first..member.first + member.depth {
            self.sql(" -> ").number(number);
        }
        self.sql(")")
    }

    fn number(&mut self, number: usize) -> &mut Self {
        let _ = write!(self.text, "${number}");
        self
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The parameters, as the driver takes them.
    pub(super) fn parameters(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.parameters
            .iter()
            .map(|parameter| {
                let value: &(dyn ToSql + Sync) = &*parameter.value;
                (value, parameter.kind.clone())
            })
            .collect()
    }
}
