//! The body of a write: `{"data": {…}, "permissions": {…}}`, checked in form
//! (`kinto-http-api.md` §2.6).

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Detail, Location},
    json,
    model::{Permission, Resource, Timestamp},
};

use crate::{operations::MAX_PASSWORD_BYTES, store::aces::Acl};

/// A checked body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectBody {
    /// The object's members, if they were sent.
    pub data: Option<Map<String, Value>>,
    /// The rights that were sent, each with its principals.
    pub permissions: Acl,
    /// Whether the body had `permissions` at all.
    pub has_permissions: bool,
}

impl ObjectBody {
    /// Parses the body of a PATCH: members that it does not mention have no defaults, and are
    /// told by their bare names (§2.6.6).
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub fn parse_patch(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        let mentions_members = serde_json::from_slice::<Value>(bytes)
            .is_ok_and(|body| body["data"].get("members").is_some());
        let mut body = Self::read(bytes, resource).map_err(bare_names)?;
        if let Some(data) = body.data.as_mut().filter(|_| !mentions_members) {
            data.remove("members");
        }
        Ok(body)
    }

    /// Parses a body; no body and `{}` are both fine.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub fn parse(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        let body = Self::read(bytes, resource)?;
        if resource == Resource::Account {
            body.require_password()?;
        }
        Ok(body)
    }

    /// New accounts have a password (§5.3.1).
    fn require_password(&self) -> Result<(), ApiError> {
        let missing = match &self.data {
            None => "data",
            Some(data) if !data.contains_key("password") => "data.password",
            Some(_) => return Ok(()),
        };
        Err(ApiError::invalid(Location::Body, missing, "Required"))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "what is not an object is refused alike")]
    fn read(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let body = match json::parse(bytes) {
            Ok(Value::Object(body)) => body,
            Ok(Value::Array(_)) => return Err(not_a_mapping("", "[]")),
            Ok(_) => return Err(no_body("Should be a JSON object or an array")),
            Err(error) => return Err(no_body(&error.to_string())),
        };
        let mut parsed = Self::default();
        let mut problems = Vec::new();
        let mut unknown = Map::new();
        for (name, value) in body {
            match name.as_str() {
                "data" => match value {
                    Value::Object(data) => parsed.data = Some(data),
                    other => problems.push(mapping_detail("data", &python(&other))),
                },
                "permissions" => {
                    parsed.has_permissions = true;
                    parsed.permissions = permissions(&value, resource, &mut problems);
                }
                _ => {
                    unknown.insert(name, value);
                }
            }
        }
        if !unknown.is_empty() {
            let shown = python(&Value::Object(unknown));
            let text = format!("Unrecognized keys in mapping: \"{shown}\"");
            problems.push(Detail::new(Location::Body, "", text));
        }
        if let Some(data) = &mut parsed.data {
            check_members(data, resource, &mut problems);
        }
        if problems.is_empty() { Ok(parsed) } else { Err(ApiError::Invalid(problems)) }
    }
}

/// What was sent counts for nothing, and so the body is missing, too (§2.6.2).
fn no_body(text: &str) -> ApiError {
    let details = [text, "Required"].map(|text| Detail::new(Location::Body, "", text));
    ApiError::Invalid(details.to_vec())
}

fn bare_names(error: ApiError) -> ApiError {
    let ApiError::Invalid(mut details) = error else { return error };
    for detail in &mut details {
        if let Some(bare) = detail.name.as_deref().and_then(|name| name.strip_prefix("data.")) {
            detail.name = Some(bare.to_owned());
        }
    }
    ApiError::Invalid(details)
}

fn mapping_detail(name: &str, shown: &str) -> Detail {
    let text =
        format!("\"{shown}\" is not a mapping type: Does not implement dict-like functionality.");
    Detail::new(Location::Body, name, text)
}

fn not_a_mapping(name: &str, shown: &str) -> ApiError {
    ApiError::Invalid(vec![mapping_detail(name, shown)])
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is not a list is refused alike")]
fn permissions(value: &Value, resource: Resource, problems: &mut Vec<Detail>) -> Acl {
    let mut acl = Acl::new();
    let Value::Object(members) = value else {
        problems.push(mapping_detail("permissions", &python(value)));
        return acl;
    };
    for (name, principals) in members {
        let known = Permission::of(resource).iter().find(|known| known.name() == name);
        let Some(permission) = known else {
            let names: Vec<_> = Permission::of(resource).iter().map(|p| p.name()).collect();
            let text = format!("\"{name}\" is not one of {}", names.join(", "));
            problems.push(Detail::new(Location::Body, "permissions", text));
            continue;
        };
        match principals {
            // Accepted and ignored (§2.6.3).
            Value::Null => {}
            Value::Array(items) => {
                let texts = strings(items, &format!("permissions.{name}"), problems);
                acl.insert(permission.name(), texts);
            }
            other => {
                let text = format!("\"{}\" is not iterable", python(other));
                let at = format!("permissions.{name}");
                problems.push(Detail::new(Location::Body, &at, text));
            }
        }
    }
    acl
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is neither is refused alike")]
fn strings(items: &[Value], at: &str, problems: &mut Vec<Detail>) -> Vec<String> {
    let mut texts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let name = format!("{at}.{index}");
        match item {
            Value::String(text) if !text.is_empty() => texts.push(text.clone()),
            Value::Number(number) => {
                let text = format!("{number} is not a string: {{'': ''}}");
                problems.push(Detail::new(Location::Body, &name, text));
            }
            _ => problems.push(Detail::new(Location::Body, &name, "Required")),
        }
    }
    texts
}

/// Members with a meaning: `last_modified` counts only as an integer, a group has `members`.
fn check_members(data: &mut Map<String, Value>, resource: Resource, problems: &mut Vec<Detail>) {
    match data.get("last_modified") {
        None => {}
        Some(Value::Number(number))
            if number.as_i64().is_some_and(|n| n > Timestamp::LATEST.as_millis()) =>
        {
            let text = format!("{number} is greater than maximum value {}", Timestamp::LATEST);
            problems.push(Detail::new(Location::Body, "data.last_modified", text));
        }
        Some(Value::Number(number)) if number.is_u64() && number.is_i64() => {}
        Some(Value::Number(number)) if number.is_i64() => {
            let text = format!("{number} is less than minimum value 0");
            problems.push(Detail::new(Location::Body, "data.last_modified", text));
        }
        Some(_) => {
            data.remove("last_modified");
        }
    }
    match resource {
        Resource::Group => check_group(data, problems),
        Resource::Account => check_password(data, problems),
        Resource::Bucket | Resource::Collection | Resource::Record | Resource::History => {}
    }
}

/// A password that was good has become its hash already.
fn check_password(data: &Map<String, Value>, problems: &mut Vec<Detail>) {
    let text = match data.get("password") {
        None => return,
        Some(Value::String(text)) if text.len() > MAX_PASSWORD_BYTES => {
            format!("Longer than maximum length {MAX_PASSWORD_BYTES}")
        }
        Some(Value::String(text)) if !text.is_empty() => return,
        Some(Value::Null | Value::String(_)) => "Required".to_owned(),
        Some(other) => format!("{} is not a string: {{'password': ''}}", python(other)),
    };
    problems.push(Detail::new(Location::Body, "data.password", text));
}

fn check_group(data: &mut Map<String, Value>, problems: &mut Vec<Detail>) {
    let at = "data.members";
    match data.get("members") {
        None => {
            data.insert("members".to_owned(), Value::Array(Vec::new()));
        }
        Some(Value::Array(items)) => {
            for (index, member) in strings(items, at, problems).iter().enumerate() {
                if member.starts_with("/buckets/") || member == "system.Everyone" {
                    let text = format!("'{member}' is not a valid user ID.");
                    problems.push(Detail::new(Location::Body, &format!("{at}.{index}"), text));
                }
            }
        }
        Some(other) => {
            let text = format!("\"{}\" is not iterable", python(other));
            problems.push(Detail::new(Location::Body, at, text));
        }
    }
}

/// A value as the reference, which is written in Python, shows it in messages.
#[expect(clippy::wildcard_enum_match_arm, reason = "only strings are shown without quotes")]
pub fn python(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{text}'"),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(repr).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let shown: Vec<_> =
                members.iter().map(|(name, value)| format!("'{name}': {}", repr(value))).collect();
            format!("{{{}}}", shown.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        let error = ObjectBody::parse(&Bytes::from(text.to_owned()), Resource::Bucket).unwrap_err();
        error.body()["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn refusals_have_the_reference_s_texts() {
        let mapping = "is not a mapping type: Does not implement dict-like functionality.";
        assert!(message("{\"a\"").starts_with("Invalid JSON"));
        assert_eq!(message("3"), "Should be a JSON object or an array");
        assert_eq!(message("[]"), format!("\"[]\" {mapping}"));
        assert_eq!(message(r#"{"foo":1}"#), "Unrecognized keys in mapping: \"{'foo': 1}\"");
        assert_eq!(message(r#"{"data":null}"#), format!("data in body: \"None\" {mapping}"));
        assert_eq!(
            message(r#"{"permissions":{"read":"abc"}}"#),
            "permissions.read in body: \"abc\" is not iterable"
        );
        assert_eq!(
            message(r#"{"permissions":{"read":[1]}}"#),
            "permissions.read.0 in body: 1 is not a string: {'': ''}"
        );
        assert_eq!(
            message(r#"{"permissions":{"bogus":[]}}"#),
            "permissions in body: \"bogus\" is not one of \
             read, write, collection:create, group:create"
        );
    }

    #[test]
    fn only_an_integer_is_a_timestamp() {
        for text in ["\"123\"", "1.5", "null", "true", "18446744073709551616"] {
            let body = format!("{{\"data\":{{\"last_modified\":{text},\"a\":1}}}}");
            let body = ObjectBody::parse(&Bytes::from(body), Resource::Record).unwrap();
            assert!(!body.data.unwrap().contains_key("last_modified"), "{text}");
        }
    }

    #[test]
    fn groups_do_not_nest() {
        for member in ["/buckets/b/groups/g", "system.Everyone"] {
            let body = format!("{{\"data\":{{\"members\":[\"{member}\"]}}}}");
            let error = ObjectBody::parse(&Bytes::from(body), Resource::Group).unwrap_err();
            let expected = format!("'{member}' is not a valid user ID.");
            assert!(error.body()["message"].as_str().unwrap().ends_with(&expected));
        }
        let body = Bytes::from_static(b"{\"data\":{}}");
        let group = ObjectBody::parse(&body, Resource::Group).unwrap();
        assert_eq!(group.data.unwrap()["members"], Value::Array(Vec::new()));
    }
}
