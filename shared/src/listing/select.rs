//! `_fields` (§3.7).

use crate::{
    error::{Detail, Location},
    http::Query,
};
use serde_json::{Map, Value};

use super::{params::names, schema::Schema};

/// The members that each object is reduced to. `id` and `last_modified` stay always.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<String>);

impl Selection {
    /// The selection of a single object's query string; all of it when there is none.
    pub fn of_object(query: &Query) -> Option<Self> {
        let values: Vec<&str> = query.all("_fields").collect();
        Some(Self(names(&values))).filter(|selection| !selection.0.is_empty())
    }

    /// # Errors
    ///
    /// The names that a strict schema does not know.
    pub(super) fn new(names: &[String], schema: &Schema) -> Result<Option<Self>, Detail> {
        let unknown: Vec<&str> = names
            .iter()
            .filter(|name| !schema.knows(name))
            .map(|name| name.split('.').next().unwrap_or_default())
            .collect();
        if !unknown.is_empty() {
            let text = format!("Fields {} do not exist", unknown.join(","));
            return Err(Detail::new(Location::Body, "Invalid _fields parameter", text));
        }
        Ok(Some(Self(names.to_vec())).filter(|_| !names.is_empty()))
    }

    /// The object with the selected members only.
    pub fn of(&self, object: &Map<String, Value>) -> Map<String, Value> {
        let mut selected = Map::new();
        for name in self.0.iter().map(String::as_str).chain(["id", "last_modified"]) {
            select(object, name, &mut selected);
        }
        selected
    }
}

/// A path that crosses what is no object selects that member whole.
fn select(object: &Map<String, Value>, name: &str, selected: &mut Map<String, Value>) {
    let (first, rest) = name.split_once('.').map_or((name, None), |(a, b)| (a, Some(b)));
    let Some(value) = object.get(first) else { return };
    let (Some(rest), Value::Object(inner)) = (rest, value) else {
        selected.insert(first.to_owned(), value.clone());
        return;
    };
    let below = selected.entry(first).or_insert_with(|| Map::new().into());
    if let Value::Object(below) = below {
        select(inner, rest, below);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_select_nested_members() {
        let object = json!({"a": {"b": 1, "c": {"d": 2, "e": 3}}, "s": "x", "n": 1, "id": "r"});
        let object = object.as_object().unwrap();
        for (fields, expected) in [
            (vec!["n"], json!({"n": 1, "id": "r"})),
            (vec!["a.b"], json!({"a": {"b": 1}, "id": "r"})),
            (vec!["a.b", "a.c.d"], json!({"a": {"b": 1, "c": {"d": 2}}, "id": "r"})),
            (vec!["a.b", "a"], json!({"a": object["a"], "id": "r"})),
            (vec!["a", "a.b"], json!({"a": object["a"], "id": "r"})),
            (vec!["s.x.y"], json!({"s": "x", "id": "r"})),
            (vec!["a.x"], json!({"a": {}, "id": "r"})),
            (vec!["unknown"], json!({"id": "r"})),
        ] {
            let selection = Selection(fields.iter().map(|name| (*name).to_owned()).collect());
            assert_eq!(Value::Object(selection.of(object)), expected, "{fields:?}");
        }
    }
}
