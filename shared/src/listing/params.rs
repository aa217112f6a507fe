//! The form of a query string: told together with what is wrong with the headers (§0.4, §3.3).

use std::collections::HashMap;

use crate::{
    error::{ApiError, Detail, Location},
    http::Query,
    json::JsonError,
};
use serde_json::Value;

use super::json::{is_truthy, native, whole};
use crate::python;

/// Largest whole number that the reference lets through here; what is too late is told later.
const MAX: i128 = 9_223_372_036_854_775_808;

/// A parameter's value, as far as its form says.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Form {
    /// A value, or several under one name, which are a list of texts (§3.1.3).
    Value(Value),
    /// It cannot be compared with anything stored.
    Unusable(JsonError),
}

/// A query string whose form is right: every number is one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// Name to value, in the order in which they were sent; never `_limit` and the like.
    pub(super) filters: Vec<(String, Form)>,
    /// The page's size; `Some(0)` asks for all.
    pub(super) limit: Option<u64>,
    /// The names of `_sort`.
    pub(super) sort: Vec<String>,
    /// The names of `_fields`.
    pub(super) fields: Vec<String>,
    /// `_token`, where it is not empty.
    pub(super) token: Option<String>,
    /// What a token is bound to: whatever decides which objects come in which order.
    pub(super) bound: Vec<(String, String)>,
}

impl Params {
    /// Reads a query string.
    ///
    /// # Errors
    ///
    /// 400 with every parameter that is not what it should be.
    pub fn parse(query: &Query) -> Result<Self, ApiError> {
        let mut params = Self::default();
        let mut problems = Vec::new();
        for (name, values) in grouped(query) {
            match params.read(&name, &values) {
                Ok(()) => {}
                Err(text) => problems.push(Detail::new(Location::QueryString, &name, text)),
            }
        }
        params.bound.sort();
        if problems.is_empty() { Ok(params) } else { Err(ApiError::Invalid(problems)) }
    }

    /// Reads the query string of a DELETE, which has no use for `_fields` (§3.7.4).
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub fn parse_delete(query: &Query) -> Result<Self, ApiError> {
        Ok(Self { fields: Vec::new(), ..Self::parse(query)? })
    }

    fn read(&mut self, name: &str, values: &[&str]) -> Result<(), String> {
        let form = form(name, values);
        match name {
            "_limit" => {
                self.limit = Some(integer(&form, values)?.unwrap_or(0));
                return Ok(());
            }
            "_token" => {
                self.token = text(name, &form)?.map(|_| values.concat());
                return Ok(());
            }
            "_fields" => {
                self.fields = names(values);
                return Ok(());
            }
            "_sort" => self.sort = names(values),
            "id" => {
                text(name, &form)?;
                self.filters.push((name.to_owned(), as_text(form)));
            }
            "_since" | "_before" | "_to" | "last_modified" => {
                let number = integer(&form, values)?;
                let form = number.map_or(form, |number| Form::Value(number.into()));
                self.filters.push((name.to_owned(), form));
            }
            _ if name.starts_with('_') => return Ok(()),
            _ => self.filters.push((name.to_owned(), form)),
        }
        let pairs = values.iter().map(|value| (name.to_owned(), (*value).to_owned()));
        self.bound.extend(pairs);
        Ok(())
    }
}

/// The values of each name, names in the order in which they first appear.
fn grouped(query: &Query) -> Vec<(String, Vec<&str>)> {
    let mut grouped: Vec<(String, Vec<&str>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, value) in query.iter() {
        let name = name.trim();
        let place = *places.entry(name).or_insert(grouped.len());
        match grouped.get_mut(place) {
            Some((_, values)) => values.push(value),
            None => grouped.push((name.to_owned(), vec![value])),
        }
    }
    grouped
}

/// Lists are comma-separated for `in_` and `exclude_`, JSON for `contains_` (§3.1, §3.2.5).
fn form(name: &str, values: &[&str]) -> Form {
    let result = if name.starts_with("in_") || name.starts_with("exclude_") {
        names(values).iter().map(|item| native(item)).collect::<Result<_, _>>().map(Value::Array)
    } else if let [value] = values {
        native(value)
    } else {
        let texts = values.iter().map(|value| Value::from(*value)).collect();
        let has_nul = values.iter().any(|value| value.contains('\0'));
        if has_nul { Err(JsonError::Nul) } else { Ok(Value::Array(texts)) }
    };
    match result {
        Ok(value) if name.starts_with("contains_") && !value.is_array() => {
            Form::Value(Value::Array(vec![value]))
        }
        Ok(value) => Form::Value(value),
        Err(error) => Form::Unusable(error),
    }
}

/// One value is a comma-separated list, several are a list as they are; empty items do not count.
pub(super) fn names(values: &[&str]) -> Vec<String> {
    let items: Vec<&str> = match values {
        [value] => value.split(',').collect(),
        several => several.to_vec(),
    };
    items.into_iter().filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// A whole number; `None` for what counts as absent: null, nothing, empty lists.
fn integer(form: &Form, values: &[&str]) -> Result<Option<u64>, String> {
    let Form::Value(value) = form else {
        return Err(format!("\"{}\" is not a number", values.concat()));
    };
    let refuse = || {
        let shown =
            if let Value::Bool(truth) = value { truth.to_string() } else { python::text(value) };
        format!("\"{shown}\" is not a number")
    };
    let number = match value {
        Value::Number(number) => whole(number).ok_or_else(refuse)?,
        Value::String(text) if !text.is_empty() => digits(text).ok_or_else(refuse)?,
        Value::Bool(_) => return Err(refuse()),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return if is_truthy(value) { Err(refuse()) } else { Ok(None) };
        }
    };
    if number < 0 {
        return Err(format!("{number} is less than minimum value 0"));
    }
    if number > MAX {
        return Err(format!("{number} is greater than maximum value {MAX}"));
    }
    Ok(u64::try_from(number).ok())
}

/// An `ETag` can be pasted, quotes and all; the sign of a URL that was not encoded is a blank.
fn digits(text: &str) -> Option<i128> {
    text.trim().parse().ok()
}

/// What looks like another type must be quoted, booleans apart (§3.3). `None` when it is nothing.
fn text<'a>(name: &str, form: &'a Form) -> Result<Option<&'a Form>, String> {
    match form {
        Form::Value(Value::String(_) | Value::Bool(_)) | Form::Unusable(JsonError::Nul) => {
            Ok(Some(form).filter(|_| *form != Form::Value(Value::String(String::new()))))
        }
        Form::Value(value) if !is_truthy(value) => Ok(None),
        Form::Value(value) => {
            Err(format!("{} is not a string: {{'{name}': ''}}", python::text(value)))
        }
        Form::Unusable(_) => Err(format!("Invalid value for {name}")),
    }
}

fn as_text(form: Form) -> Form {
    if let Form::Value(Value::Bool(truth)) = form {
        return Form::Value(truth.to_string().into());
    }
    form
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parse(query: &str) -> Result<Params, ApiError> {
        Params::parse(&Query::parse(query).unwrap())
    }

    fn message(query: &str) -> String {
        parse(query).unwrap_err().body()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn refusals_have_the_reference_s_texts() {
        let numbers = "is greater than maximum value 9223372036854775808";
        for (query, text) in [
            ("id=1", "1 is not a string: {'id': ''}".to_owned()),
            ("id=[1]", "[1] is not a string: {'id': ''}".to_owned()),
            ("id=1&id=2", "['1', '2'] is not a string: {'id': ''}".to_owned()),
            ("_token=123", "123 is not a string: {'_token': ''}".to_owned()),
            ("_since=abc", "_since in querystring: \"abc\" is not a number".to_owned()),
            ("_since=true", "_since in querystring: \"true\" is not a number".to_owned()),
            ("_since=%22abc%22", "_since in querystring: \"abc\" is not a number".to_owned()),
            ("_since={\"a\":1}", "_since in querystring: \"{'a': 1}\" is not a number".to_owned()),
            (
                "_limit=1&_limit=2",
                "_limit in querystring: \"['1', '2']\" is not a number".to_owned(),
            ),
            ("_limit=-1", "_limit in querystring: -1 is less than minimum value 0".to_owned()),
            ("_limit=true", "_limit in querystring: \"true\" is not a number".to_owned()),
            (
                "last_modified=abc",
                "last_modified in querystring: \"abc\" is not a number".to_owned(),
            ),
            (
                "_before=1e30",
                format!("_before in querystring: 1000000000000000019884624838656 {numbers}"),
            ),
            (
                "_to=99999999999999999999",
                format!("_to in querystring: 100000000000000000000 {numbers}"),
            ),
        ] {
            assert_eq!(message(query), text, "{query}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let error = parse("_since=abc&_limit=z&id=1").unwrap_err();

        assert_eq!(error.body()["details"].as_array().unwrap().len(), 3);
        assert_eq!(
            message("_since=abc&_limit=z&id=1"),
            "_limit in querystring: \"z\" is not a number"
        );
    }

    #[test]
    fn numbers_may_be_quoted_cut_or_nothing() {
        for (query, expected) in [
            ("_since=123", json!(123)),
            ("_since=%22123%22", json!(123)),
            ("_since=1e3", json!(1_000)),
            ("_since=1.5", json!(1)),
            ("_since=+5", json!(5)),
            ("_since=null", Value::Null),
            ("_since=", json!("")),
        ] {
            let filters = vec![("_since".to_owned(), Form::Value(expected))];
            assert_eq!(parse(query).unwrap().filters, filters, "{query}");
        }
        for (query, limit) in
            [("_limit=0", 0), ("_limit=null", 0), ("_limit=", 0), ("_limit=1.5", 1)]
        {
            assert_eq!(parse(query).unwrap().limit, Some(limit), "{query}");
        }
    }

    #[test]
    fn lists_are_split_where_the_operator_says_so() {
        let value = |query| match &parse(query).unwrap().filters[0].1 {
            Form::Value(value) => value.clone(),
            other @ Form::Unusable(_) => panic!("{other:?}"),
        };

        assert_eq!(value("in_n=1,a,,true"), json!([1, "a", true]));
        assert_eq!(value("exclude_n="), json!([]));
        assert_eq!(value("contains_n=1,3"), json!(["1,3"]));
        assert_eq!(value("contains_any_n=[1,3]"), json!([1, 3]));
        assert_eq!(value("n=1&n=2"), json!(["1", "2"]));
    }

    proptest! {
        #[test]
        fn any_query_string_gets_an_answer(text in r#"[_a-z0-9=&,.%"{}\[\] +-]{0,60}"#) {
            if let Ok(query) = Query::parse(&text) {
                let _ = Params::parse(&query);
            }
        }

        #[test]
        fn every_number_in_range_is_read_with_or_without_quotes(number in 0..i64::MAX) {
            let expected = vec![("_since".to_owned(), Form::Value(number.into()))];
            for query in [format!("_since={number}"), format!("_since=%22{number}%22")] {
                prop_assert_eq!(&parse(&query).unwrap().filters, &expected);
            }
        }
    }
}
