//! Orders and places in them (`kinto-http-api.md` §3.4-3.5).

use serde_json::value::RawValue;
use shared::error::ApiError;

use super::{
    condition::{base, operator},
    source::Source,
    statement::{Member, Parameter, Statement},
};
use crate::listing::{Comparison, Field, Sort, token::Cursor};

/// A criterion whose path is among the parameters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    what: What,
    descending: bool,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// A text or a number; never missing.
    Id(&'static str),
    LastModified,
    Member(Member),
}

pub(super) fn keys(
    statement: &mut Statement,
    source: &Source,
    sort: &[Sort],
    with_tombstones: bool,
) -> Vec<Key> {
    sort.iter()
        .map(|sort| {
            let what = match &sort.field {
                Field::Id => What::Id(source.id()),
                Field::LastModified => What::LastModified,
                Field::Member(path) => What::Member(statement.member(base(with_tombstones), path)),
            };
            Key { what, descending: sort.descending }
        })
        .collect()
}

/// An object's place, to be read back by [`after`].
pub(super) fn cursor(statement: &mut Statement, keys: &[Key]) {
    statement.sql("array[");
    for (index, key) in keys.iter().enumerate() {
        statement.sql(if index == 0 { "" } else { ", " });
        match key.what {
            What::Id(column) => statement.sql(column).sql("::text"),
            What::LastModified => statement.sql("last_modified::text"),
            What::Member(member) => statement.value(member).sql("::text"),
        };
    }
    statement.sql("]");
}

/// PostgreSQL's null, a missing member, is greater than all values, as it should be.
pub(super) fn order_by(statement: &mut Statement, keys: &[Key]) {
    for (index, key) in keys.iter().enumerate() {
        let direction = if key.descending { " desc" } else { "" };
        statement.sql(if index == 0 { " order by " } else { ", " });
        match key.what {
            What::Id(column) => statement.sql(column),
            What::LastModified => statement.sql("last_modified"),
            What::Member(member) => {
                statement.container(member).sql(direction).sql(", ").value(member)
            }
        }
        .sql(direction);
    }
}

/// The objects after a place: those that a criterion puts there, all former ones being equal.
///
/// # Errors
///
/// [`ApiError::Internal`] for a place in another order: its token was not verified.
pub(super) fn after(
    statement: &mut Statement,
    keys: &[Key],
    cursor: &Cursor,
) -> Result<(), ApiError> {
    if keys.len() != cursor.len() {
        return Err(foreign());
    }
    for (index, (key, place)) in keys.iter().zip(cursor).enumerate() {
        let is_last = index + 1 == keys.len();
        statement.sql("(");
        beyond(statement, *key, place.as_deref())?;
        if !is_last {
            statement.sql(" or ");
            same(statement, *key, place.as_deref())?;
            statement.sql(" and ");
        }
    }
    for _ in keys {
        statement.sql(")");
    }
    Ok(())
}

fn beyond(statement: &mut Statement, key: Key, place: Option<&str>) -> Result<(), ApiError> {
    let comparison = operator(if key.descending { Comparison::Less } else { Comparison::Greater });
    match (key.what, place) {
        (What::Id(column), Some(place)) => {
            statement.sql(column).sql(comparison).bind(Parameter::text(place));
        }
        (What::LastModified, Some(place)) => {
            statement.sql("last_modified").sql(comparison).bind(number(place)?);
        }
        (What::Member(member), Some(place)) => {
            let (is_container, json) = json(place)?;
            statement.sql("coalesce(").key(member).sql(comparison).row(is_container, json);
            statement.sql(if key.descending { ", false)" } else { ", true)" });
        }
        (What::Member(member), None) if key.descending => {
            statement.value(member).sql(" is not null");
        }
        (What::Member(_), None) => {
            statement.sql("false");
        }
        (What::Id(_) | What::LastModified, None) => return Err(foreign()),
    }
    Ok(())
}

fn same(statement: &mut Statement, key: Key, place: Option<&str>) -> Result<(), ApiError> {
    match (key.what, place) {
        (What::Id(column), Some(place)) => {
            statement.sql(column).sql(" = ").bind(Parameter::text(place));
        }
        (What::LastModified, Some(place)) => {
            statement.sql("last_modified = ").bind(number(place)?);
        }
        (What::Member(member), Some(place)) => {
            statement.value(member).sql(" = ").bind(json(place)?.1);
        }
        (What::Member(member), None) => {
            statement.value(member).sql(" is null");
        }
        (What::Id(_) | What::LastModified, None) => return Err(foreign()),
    }
    Ok(())
}

fn number(text: &str) -> Result<Parameter, ApiError> {
    text.parse().map(Parameter::number).map_err(|_| foreign())
}

fn json(text: &str) -> Result<(bool, Parameter), ApiError> {
    let is_container = text.starts_with(['[', '{']);
    let raw = RawValue::from_string(text.to_owned()).map_err(|_| foreign())?;
    Ok((is_container, Parameter::raw_json(raw)))
}

fn foreign() -> ApiError {
    ApiError::internal("a place in another order")
}
