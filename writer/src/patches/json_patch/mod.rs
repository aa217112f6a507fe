//! RFC 6902: a list of operations on `{"data": {…}, "permissions": {"read": {"a": "a"}, …}}`, in
//! which permissions are sets: objects whose members are principals (`kinto-http-api.md` §2.11.5).

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

/// How much more work than the size of one body a patch may ask for.
const WORK_FACTOR: usize = 10;

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
        let items = match body::parse_json(bytes)? {
            Value::Array(items) => items,
            other => {
                let text = format!("\"{}\" is not iterable", python::text(&other));
                return Err(ApiError::invalid(Location::Body, "", text));
            }
        };
        let mut problems = Vec::new();
        let mut operations = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::Object(members) => {
                    operations.push(checked(members, index, resource, &mut problems));
                }
                other => problems.push(mapping_problem(&index.to_string(), &other)),
            }
        }
        if problems.is_empty() { Ok(Self(operations)) } else { Err(ApiError::Invalid(problems)) }
    }

    /// Applies the operations in order; one that fails refuses all.
    pub(super) fn apply(
        self,
        old: &Object,
        acl: &Acl,
        resource: Resource,
        max_bytes: usize,
    ) -> Result<Patched, ApiError> {
        let mut document = json!({"data": old.to_value(), "permissions": sets(acl, resource)});
        let mut budget = Budget { copied: max_bytes, work: max_bytes.saturating_mul(WORK_FACTOR) };
        let mut touched = Vec::new();
        for operation in &self.0 {
            let operation = typed(operation).map_err(failed)?;
            budget.charge(&document, &operation).map_err(failed)?;
            apply_one(&mut document, &operation).map_err(failed)?;
            touched.extend(touched_member(&operation));
        }
        json::check_storable(&document)?;
        let acl = rights(document["permissions"].take(), resource)?;
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
    serde_json::from_value(Value::Object(members.clone())).map_err(|error| error.to_string())
}

fn apply_one(document: &mut Value, operation: &PatchOperation) -> Result<(), String> {
    if let PatchOperation::Test(test) = operation {
        let path = test.path.as_str();
        let value = document.pointer(path).ok_or_else(|| missing(path))?;
        return if equal(value, &test.value) { Ok(()) } else { Err(unequal(value, &test.value)) };
    }
    patch_unsafe(document, std::slice::from_ref(operation))
        .map_err(|error| reason(operation, &error.kind))
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

fn last_token(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().replace("~1", "/").replace("~0", "~")
}

fn missing(path: &str) -> String {
    format!("member {} not found", python::repr_text(&last_token(path)))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the list of reasons may grow")]
fn reason(operation: &PatchOperation, kind: &PatchErrorKind) -> String {
    let path = operation.path().as_str();
    let object = || python::repr_text(&last_token(path));
    match (kind, operation) {
        (PatchErrorKind::CannotMoveInsideItself, _) => {
            "Cannot move values into their own children".to_owned()
        }
        (PatchErrorKind::InvalidFromPointer, PatchOperation::Move(operation)) => {
            missing(operation.from.as_str())
        }
        (PatchErrorKind::InvalidFromPointer, PatchOperation::Copy(operation)) => {
            missing(operation.from.as_str())
        }
        (_, PatchOperation::Remove(_)) => {
            format!("can't remove a non-existent object {}", object())
        }
        (_, PatchOperation::Replace(_)) => {
            format!("can't replace a non-existent object {}", object())
        }
        _ => format!("nothing can be added at {}", python::repr_text(path)),
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

/// Bounds time, memory and nesting, whatever the operations copy into one another.
struct Budget {
    copied: usize,
    work: usize,
}

impl Budget {
    fn charge(&mut self, document: &Value, operation: &PatchOperation) -> Result<(), String> {
        let path = operation.path().as_str();
        let mut size = Size::default();
        match operation {
            PatchOperation::Add(add) => size.add(&add.value, 0),
            PatchOperation::Replace(replace) => size.add(&replace.value, 0),
            PatchOperation::Move(moved) => size.add_at(document, moved.from.as_str()),
            PatchOperation::Copy(copy) => {
                size.add_at(document, copy.from.as_str());
                self.copied = spend(self.copied, size.bytes)?;
            }
            PatchOperation::Remove(_) | PatchOperation::Test(_) => {}
        }
        if size.depth + path.matches('/').count() > json::MAX_DEPTH {
            return Err(json::JsonError::TooDeep.to_string());
        }
        // An array moves its items when one is put into it or taken out.
        let items = |path: &str| {
            let list = path.rsplit_once('/').and_then(|(list, _)| document.pointer(list));
            list.and_then(Value::as_array).map_or(0, Vec::len)
        };
        let from = match operation {
            PatchOperation::Move(moved) => items(moved.from.as_str()),
            _ => 0,
        };
        self.work = spend(self.work, 1 + size.bytes + items(path) + from)?;
        Ok(())
    }
}

fn spend(budget: usize, bytes: usize) -> Result<usize, String> {
    budget.checked_sub(bytes).ok_or_else(|| "the result would be too large".to_owned())
}

/// About how many bytes a value takes, and how deep it is.
#[derive(Default)]
struct Size {
    bytes: usize,
    depth: usize,
}

impl Size {
    fn add_at(&mut self, document: &Value, path: &str) {
        if let Some(value) = document.pointer(path) {
            self.add(value, 0);
        }
    }

    fn add(&mut self, value: &Value, depth: usize) {
        self.depth = self.depth.max(depth);
        self.bytes += 4;
        match value {
            Value::String(text) => self.bytes += text.len(),
            Value::Array(items) => items.iter().for_each(|item| self.add(item, depth + 1)),
            Value::Object(members) => {
                for (name, member) in members {
                    self.bytes += name.len();
                    self.add(member, depth + 1);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
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
        let items: Vec<Value> = match set {
            Value::Object(members) => members.into_iter().map(|(id, _)| id.into()).collect(),
            Value::Array(items) => items,
            other => {
                let text = format!("\"{}\" is not iterable", python::text(&other));
                problems.push(Detail::new(Location::Body, &at, text));
                continue;
            }
        };
        acl.insert(right.name(), body::strings(&items, &at, &mut problems));
    }
    if problems.is_empty() { Ok(acl) } else { Err(ApiError::Invalid(problems)) }
}

#[cfg(test)]
mod tests;
