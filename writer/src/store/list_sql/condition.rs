//! Filters in SQL (`kinto-http-api.md` §3.1-3.2).
//!
//! `jsonb` compares as the specification asks, with one exception: an empty array is less than
//! everything. So whether a value is a container is compared first, and the values then.

use serde_json::{Map, Value};

use super::{
    source::Source,
    statement::{Member, Parameter, Statement},
};
use crate::listing::{Comparison, Field, Filter, Test};

/// Members of live objects.
const LIVE: &str = "data";
/// Tombstones have no members but one.
const ALL: &str = "case when deleted then '{\"deleted\": true}'::jsonb else data end";

/// What members are read from.
pub(super) const fn base(with_tombstones: bool) -> &'static str {
    if with_tombstones { ALL } else { LIVE }
}

/// `from` and `where` with everything that must be true.
pub(super) fn all(
    statement: &mut Statement,
    source: &Source,
    filters: &[Filter],
    with_tombstones: bool,
) {
    statement.sql(" from ").sql(source.from()).sql(" where ").sql(source.scope());
    if !with_tombstones {
        statement.sql(" and not deleted");
    }
    if let Some(ids) = source.ids() {
        statement.sql(" and ").sql(source.id()).sql(" = any (");
        statement.bind(Parameter::texts(ids.clone())).sql(")");
    }
    if let Some(readers) = source.readers() {
        statement.sql(" and readers && ").bind(Parameter::texts(readers.clone()));
    }
    let is_indexed = source.is_indexed() && !with_tombstones;
    let mut equal = Map::new();
    for filter in filters {
        if is_indexed && has_all(&mut equal, filter) {
            continue;
        }
        statement.sql(" and ");
        match &filter.field {
            Field::Id => id(statement, source.id(), &filter.test),
            Field::LastModified => {
                // Always true: it lets the index of timestamps be taken (migration 7).
                statement.sql("last_modified >= 0 and ");
                last_modified(statement, &filter.test);
            }
            Field::Member(path) => {
                if is_indexed && contained(statement, path, &filter.test) {
                    continue;
                }
                let value = statement.member(base(with_tombstones), path);
                member(statement, value, &filter.test);
            }
        }
    }
    if !equal.is_empty() {
        statement.sql(" and data @> ").bind(Parameter::json(equal.into()));
    }
}

/// Adds an equality to those that one look into the index of members answers: members that equal
/// texts, numbers, booleans and nulls. PostgreSQL takes two conditions for twice as selective, and
/// then reads all that match where a walk along the list would soon fill a page.
fn has_all(equal: &mut Map<String, Value>, filter: &Filter) -> bool {
    let (Field::Member(path), Test::Compare(Comparison::Equal, value)) =
        (&filter.field, &filter.test)
    else {
        return false;
    };
    !is_container(value) && put(equal, path, value)
}

/// Puts a value at a path of objects, if nothing is there.
fn put(object: &mut Map<String, Value>, path: &[String], value: &Value) -> bool {
    match path {
        [] => false,
        [name] if object.contains_key(name) => false,
        [name] => object.insert(name.clone(), value.clone()).is_none(),
        [name, below @ ..] => match object.get_mut(name) {
            Some(Value::Object(inner)) => put(inner, below, value),
            Some(_) => false,
            None => {
                object.insert(name.clone(), nested(below, value.clone()));
                true
            }
        },
    }
}

fn id(statement: &mut Statement, column: &'static str, test: &Test) {
    let texts = |items: &[Value]| {
        Parameter::texts(items.iter().filter_map(Value::as_str).map(str::to_owned).collect())
    };
    match test {
        Test::Compare(comparison, Value::String(id)) => {
            statement.sql(column).sql(operator(*comparison)).bind(Parameter::text(id));
        }
        // An id is a text: how that compares with another type is known.
        Test::Compare(comparison, other) => {
            let is_greater = other.is_null();
            let truth = match comparison {
                Comparison::Equal => false,
                Comparison::Different => true,
                Comparison::Greater | Comparison::AtLeast => is_greater,
                Comparison::Less | Comparison::AtMost => !is_greater,
            };
            constant(statement, truth);
        }
        Test::In(items) => {
            statement.sql(column).sql(" = any (").bind(texts(items)).sql(")");
        }
        Test::Exclude(items) => {
            statement.sql(column).sql(" <> all (").bind(texts(items)).sql(")");
        }
        Test::Like(pattern) => {
            statement.sql(column);
            like(statement, pattern);
        }
        Test::Has(there) => constant(statement, *there),
        Test::Contains(_) | Test::ContainsAny(_) => constant(statement, false),
    }
}

fn last_modified(statement: &mut Statement, test: &Test) {
    match test {
        Test::Compare(comparison, value) => {
            let millis = value.as_i64().unwrap_or_default();
            statement.sql("last_modified").sql(operator(*comparison));
            statement.bind(Parameter::number(millis));
        }
        Test::Like(pattern) => {
            statement.sql("last_modified::text");
            like(statement, pattern);
        }
        Test::Has(there) => constant(statement, *there),
        Test::In(_) | Test::Exclude(_) | Test::Contains(_) | Test::ContainsAny(_) => {
            constant(statement, false);
        }
    }
}

fn constant(statement: &mut Statement, truth: bool) {
    statement.sql(if truth { "true" } else { "false" });
}

fn member(statement: &mut Statement, member: Member, test: &Test) {
    match test {
        Test::Compare(comparison, value) => compare(statement, member, *comparison, value),
        Test::In(items) => {
            statement.value(member).sql(" = any (").bind(Parameter::jsons(items.clone())).sql(")");
        }
        Test::Exclude(items) => {
            statement.sql("coalesce(").value(member).sql(" <> all (");
            statement.bind(Parameter::jsons(items.clone())).sql("), true)");
        }
        Test::Like(pattern) => {
            statement.value(member).sql(" #>> '{}'");
            like(statement, pattern);
        }
        Test::Has(true) => {
            statement.value(member).sql(" is not null");
        }
        Test::Has(false) => {
            statement.value(member).sql(" is null");
        }
        Test::Contains(items) => {
            statement.value(member).sql(" @> ").bind(Parameter::json(items.clone().into()));
        }
        Test::ContainsAny(items) => {
            statement.sql("exists (select from jsonb_array_elements(case when jsonb_typeof(");
            statement.value(member).sql(") = 'array' then ").value(member);
            statement.sql(" end) as held (item) where item = any (");
            statement.bind(Parameter::jsons(items.clone())).sql("))");
        }
    }
}

/// A missing member is different from, and greater than, every value.
fn compare(statement: &mut Statement, member: Member, comparison: Comparison, value: &Value) {
    let json = || Parameter::json(value.clone());
    match comparison {
        Comparison::Equal => {
            statement.value(member).sql(" = ").bind(json());
        }
        Comparison::Different => {
            statement.value(member).sql(" is distinct from ").bind(json());
        }
        Comparison::Less | Comparison::AtMost => {
            statement.sql("coalesce(").key(member).sql(operator(comparison));
            statement.row(is_container(value), json()).sql(", false)");
        }
        Comparison::Greater | Comparison::AtLeast => {
            statement.sql("coalesce(").key(member).sql(operator(comparison));
            statement.row(is_container(value), json()).sql(", true)");
        }
    }
}

impl Statement {
    /// Whether the member is a container, and its value: what orders values.
    pub(super) fn key(&mut self, member: Member) -> &mut Self {
        self.sql("(").container(member).sql(", ").value(member).sql(")")
    }

    /// Whether the member is an array or an object; null where it is missing.
    pub(super) fn container(&mut self, member: Member) -> &mut Self {
        self.sql("jsonb_typeof(").value(member).sql(") in ('array', 'object')")
    }

    /// What a [`Self::key`] is compared with.
    pub(super) fn row(&mut self, is_container: bool, value: Parameter) -> &mut Self {
        self.sql("(").bind(Parameter::flag(is_container)).sql(", ").bind(value).sql(")")
    }
}

fn is_container(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

pub(super) const fn operator(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => " = ",
        Comparison::Different => " <> ",
        Comparison::Less => " < ",
        Comparison::AtMost => " <= ",
        Comparison::Greater => " > ",
        Comparison::AtLeast => " >= ",
    }
}

/// What follows from the test and can be found in the index of members; whether the test follows
/// from it, too. It does for single values: what contains a text is that text, but what contains
/// an object may have more members.
fn contained(statement: &mut Statement, path: &[String], test: &Test) -> bool {
    let is_whole = match test {
        Test::Compare(Comparison::Equal, value) => {
            let object = nested(path, value.clone());
            statement.sql("data @> ").bind(Parameter::json(object));
            !is_container(value)
        }
        Test::Contains(items) => {
            let object = nested(path, items.clone().into());
            statement.sql("data @> ").bind(Parameter::json(object));
            // The test itself asks for containment, not for equality.
            true
        }
        Test::In(items) => {
            let objects = items.iter().map(|item| nested(path, item.clone())).collect();
            statement.sql("data @> any (").bind(Parameter::jsons(objects)).sql(")");
            !items.iter().any(is_container)
        }
        Test::Compare(..)
        | Test::Exclude(_)
        | Test::Like(_)
        | Test::Has(_)
        | Test::ContainsAny(_) => return false,
    };
    if !is_whole {
        statement.sql(" and ");
    }
    is_whole
}

/// An object that has `value` at `path`.
fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, name| {
        let mut object = Map::new();
        object.insert(name.clone(), value);
        object.into()
    })
}

/// Without any `*`, the text may stand anywhere (§3.2.6). Letters of every alphabet have cases,
/// whatever the database's collation says.
fn like(statement: &mut Statement, text: &str) {
    let mut pattern = String::with_capacity(text.len() + 2);
    for character in text.chars() {
        match character {
            '*' => pattern.push('%'),
            '%' | '_' | '\\' => pattern.extend(['\\', character]),
            _ => pattern.push(character),
        }
    }
    if !text.contains('*') {
        pattern = format!("%{pattern}%");
    }
    statement.sql(" collate \"und-x-icu\" ilike ").bind(Parameter::text(pattern));
}
