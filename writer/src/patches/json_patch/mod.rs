//! RFC 6902: a list of operations on `{"data": {…}, "permissions": {"read": {"a": "a"}, …}}`, in
//! which permissions are sets: objects whose members are principals (`kinto-http-api.md` §2.11.5).

mod budget;

use budget::Budget;
use bytes::Bytes;
use json_patch::{PatchErrorKind, PatchOperation, patch_unsafe};
use serde_json::{Map, Value, json};
use shared::{
    error::{ApiError, Detail, Location},
    json,
    model::{Permission, Resource},
};

use super::Patched;
use crate::{
    body::{self, mapping_problem, unknown_problem, unknown_right},
    python,
    store::{aces::Acl, objects::Object},
};

/// The rights that are in every document.
const ALWAYS_THERE: [&str; 2] = [Permission::Read.name(), Permission::Write.name()];

/// Checked operations.
#[derive(Debug, PartialEq)]
pub struct Operations(Vec<Map<String, Value>>);

impl Operations {
    /// Parses a body.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong with any of the operations.
    pub(super) fn parse(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        let body = body::parse_json(bytes)?;
        let Value::Array(items) = body else {
            let text = format!("\"{}\" is not iterable", python::text(&body));
            return Err(ApiError::invalid(Location::Body, "", text));
        };
        let mut problems = Vec::new();
        let mut operations = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            if let Value::Object(members) = item {
                operations.push(checked(members, index, resource, &mut problems));
            } else {
                problems.push(mapping_problem(&index.to_string(), &item));
            }
        }
        if problems.is_empty() { Ok(Self(operations)) } else { Err(ApiError::Invalid(problems)) }
    }

    /// Applies the operations in order; one that fails refuses all.
    pub(super) fn apply(
        self,
        old: &Object,
        seen: &Acl,
        resource: Resource,
        max_bytes: usize,
    ) -> Result<Patched, ApiError> {
        let mut document = json!({"data": old.to_value(), "permissions": sets(seen, resource)});
        let mut budget = Budget::new(max_bytes);
        let mut touched = Vec::new();
        for operation in &self.0 {
            let operation = typed(operation).map_err(failed)?;
            budget.charge(&document, &operation).map_err(failed)?;
            apply_one(&mut document, &operation).map_err(failed)?;
            touched.extend(touched_member(&operation));
        }
        json::check_storable(&document)?;
        let mut acl = rights(document["permissions"].take(), resource)?;
        // `read` and `write` are always replaced, whatever the user saw of them; a right that was
        // not seen and got nobody is left as it is.
        acl.retain(|right, principals| {
            ALWAYS_THERE.contains(right) || seen.contains_key(right) || !principals.is_empty()
        });
        let Value::Object(data) = document["data"].take() else {
            return Err(failed("'data' must stay an object"));
        };
        let posted = data
            .iter()
            .filter(|(name, _)| {
                touched.iter().any(|touched| touched.is_empty() || touched == *name)
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        Ok(Patched { sent: data.clone(), data, acl, posted })
    }
}

fn failed(reason: impl AsRef<str>) -> ApiError {
    let text = format!("JSON Patch operation failed: {}", reason.as_ref());
    ApiError::Invalid(vec![Detail::whole(Location::Body, text)])
}

/// The form of one operation. Members that count as nothing count as missing.
fn checked(
    mut members: Map<String, Value>,
    index: usize,
    resource: Resource,
    problems: &mut Vec<Detail>,
) -> Map<String, Value> {
    const OPS: [&str; 6] = ["test", "add", "remove", "replace", "move", "copy"];
    let known = |name: &str| matches!(name, "op" | "path" | "from" | "value");
    let unknown: Map<_, _> = members
        .iter()
        .filter(|(name, _)| !known(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if !unknown.is_empty() {
        problems.push(unknown_problem(&index.to_string(), unknown));
        return members;
    }
    let mut check = |name: &str, required: bool, is_right: &dyn Fn(&str) -> Option<String>| {
        let value = members.get(name).filter(|value| python::is_truthy(value));
        let problem = match (value, value.and_then(Value::as_str)) {
            (None, _) => required.then(|| "Required".to_owned()),
            (Some(_), Some(text)) => is_right(text),
            (Some(value), None) => {
                Some(format!("{} is not a string: {{'{name}': ''}}", python::repr(value)))
            }
        };
        let at = format!("{index}.{name}");
        problems.extend(problem.map(|text| Detail::new(Location::Body, &at, text)));
    };
    let pointer = |text: &str| {
        let text = (!text.starts_with('/')).then_some("String does not match expected pattern");
        text.map(str::to_owned)
    };
    check("op", true, &|op| {
        let text = || format!("\"{op}\" is not one of {}", OPS.join(", "));
        (!OPS.contains(&op)).then(text)
    });
    check("path", true, &pointer);
    check("from", false, &pointer);
    if members.get("from").is_some_and(|from| !python::is_truthy(from)) {
        members.remove("from");
    }
    name_principal(&mut members, resource);
    members
}

/// Key and value of a principal are equal, and so the path says all.
fn name_principal(members: &mut Map<String, Value>, resource: Resource) {
    let principal = members.get("path").and_then(Value::as_str).and_then(|path| {
        let (right, principal) = path.strip_prefix("/permissions/")?.split_once('/')?;
        body::right(right, resource)?;
        Some(principal.rsplit('/').next()?.replace("~1", "/").replace("~0", "~"))
    });
    if let Some(principal) = principal {
        members.insert("value".to_owned(), principal.into());
    }
}

fn typed(members: &Map<String, Value>) -> Result<PatchOperation, String> {
    let op = members.get("op").and_then(Value::as_str).unwrap_or_default();
    let needed = match op {
        "add" | "replace" | "test" => "value",
        "move" | "copy" => "from",
        _ => "path",
    };
    if !members.contains_key(needed) {
        return Err(format!("The operation does not contain a '{needed}' member"));
    }
    for name in ["path", "from"] {
        let pointer = members.get(name).and_then(Value::as_str).unwrap_or_default();
        let wrong = pointer.split('~').skip(1).find(|rest| !rest.starts_with(['0', '1']));
        if let Some(rest) = wrong {
            let escape = rest.get(..rest.chars().next().map_or(0, char::len_utf8));
            return Err(format!("Found invalid escape ~{}", escape.unwrap_or_default()));
        }
    }
    serde_json::from_value(Value::Object(members.clone())).map_err(|error| error.to_string())
}

fn apply_one(document: &mut Value, operation: &PatchOperation) -> Result<(), String> {
    if let PatchOperation::Test(test) = operation {
        let path = test.path.as_str();
        let value = document.pointer(path).ok_or_else(|| missing(document, path))?;
        return if equal(value, &test.value) { Ok(()) } else { Err(unequal(value, &test.value)) };
    }
    patch_unsafe(document, std::slice::from_ref(operation))
        .map_err(|error| reason(document, operation, &error.kind))
}

/// Numbers are equal by value (RFC 6902, section 4.6).
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| equal(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(name, x)| y.get(name).is_some_and(|y| equal(x, y)))
        }
        (a, b) => a == b,
    }
}

fn unequal(value: &Value, tested: &Value) -> String {
    let shown = |value| format!("{} (<class '{}'>)", python::text(value), python::type_name(value));
    format!("{} is not equal to tested value {}", shown(value), shown(tested))
}

/// The last segment of a pointer, unescaped.
fn last_token(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~")
}

fn holder<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    path.rsplit_once('/').and_then(|(holder, _)| document.pointer(holder))
}

/// Why nothing is at a path, or nothing can be put there.
fn missing(document: &Value, path: &str) -> String {
    let token = python::repr_text(&last_token(path));
    match holder(document, path) {
        Some(Value::Array(_)) if is_index(path) => format!("index {token} is out of bounds"),
        Some(Value::Array(_)) => format!("{token} is not a valid sequence index"),
        Some(Value::Object(_)) => format!("member {token} not found"),
        Some(scalar) => {
            let kind = python::type_name(scalar);
            format!("Document '<class '{kind}'>' does not support indexing")
        }
        None => {
            let (holder, _) = path.rsplit_once('/').unwrap_or_default();
            format!("member {} not found", python::repr_text(&last_token(holder)))
        }
    }
}

fn is_index(path: &str) -> bool {
    let token = last_token(path);
    token == "0" || (!token.starts_with('0') && token.parse::<usize>().is_ok())
}

fn reason(document: &Value, operation: &PatchOperation, kind: &PatchErrorKind) -> String {
    let path = operation.path().as_str();
    let token = || python::repr_text(&last_token(path));
    let in_list = is_index(path) && holder(document, path).is_some_and(Value::is_array);
    match (kind, operation) {
        (PatchErrorKind::CannotMoveInsideItself, _) => {
            "Cannot move values into their own children".to_owned()
        }
        (PatchErrorKind::InvalidFromPointer, PatchOperation::Move(operation)) => {
            python::repr_text(&last_token(operation.from.as_str()))
        }
        (PatchErrorKind::InvalidFromPointer, PatchOperation::Copy(operation)) => {
            python::repr_text(&last_token(operation.from.as_str()))
        }
        (_, PatchOperation::Remove(_)) => {
            format!("can't remove a non-existent object {}", token())
        }
        (_, PatchOperation::Replace(_)) if in_list => "can't replace outside of list".to_owned(),
        (_, PatchOperation::Replace(_)) => {
            format!("can't replace a non-existent object {}", token())
        }
        _ if in_list => "can't insert outside of list".to_owned(),
        _ => missing(document, path),
    }
}

/// The member of `data` that an operation writes; empty for all of it.
fn touched_member(operation: &PatchOperation) -> Option<String> {
    if matches!(operation, PatchOperation::Test(_)) {
        return None;
    }
    let mut tokens = operation.path().as_str().split('/').skip(1);
    (tokens.next()? == "data").then(|| last_token(tokens.next().unwrap_or_default()))
}

/// Every right of the resource as a set, so that a principal can be added to any.
fn sets(acl: &Acl, resource: Resource) -> Value {
    let set = |right: &Permission| {
        let principals = acl.get(right.name()).into_iter().flatten();
        let set = principals.map(|id| (id.clone(), Value::from(id.clone()))).collect();
        (right.name().to_owned(), Value::Object(set))
    };
    Value::Object(Permission::of(resource).iter().map(set).collect())
}

/// The sets as lists again. A right that was removed as a whole stays as it is.
fn rights(sets: Value, resource: Resource) -> Result<Acl, ApiError> {
    let Value::Object(sets) = sets else {
        return Err(failed("'permissions' must stay an object"));
    };
    let mut acl = Acl::new();
    let mut problems = Vec::new();
    for (name, set) in sets {
        let Some(right) = body::right(&name, resource) else {
            problems.push(unknown_right(&name, resource));
            continue;
        };
        let at = format!("permissions.{name}");
        let items: Vec<Value> = if let Value::Object(members) = set {
            members.into_iter().map(|(id, _)| id.into()).collect()
        } else if let Value::Array(items) = set {
            items
        } else {
            let text = format!("\"{}\" is not iterable", python::text(&set));
            problems.push(Detail::new(Location::Body, &at, text));
            continue;
        };
        acl.insert(right.name(), body::strings(&items, &at, &mut problems));
    }
    if problems.is_empty() { Ok(acl) } else { Err(ApiError::Invalid(problems)) }
}

#[cfg(test)]
mod tests;
