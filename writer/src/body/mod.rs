//! The body of a write: `{"data": {…}, "permissions": {…}}`, checked in form
//! (`kinto-http-api.md` §2.6).

pub(crate) mod members;

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Detail, Location},
    json,
    model::{Permission, Resource},
};

use crate::{negotiation, python, service::ApiRequest, store::aces::Acl};

/// A checked body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ObjectBody {
    /// The object's members, if they were sent.
    pub data: Option<Map<String, Value>>,
    /// The rights that were sent, each with its principals.
    pub permissions: Acl,
    /// The known rights that were sent as null.
    pub nulls: Vec<Permission>,
    /// Whether the body had `permissions` at all.
    pub has_permissions: bool,
}

impl ObjectBody {
    /// Parses the body of a POST or PUT; no body and `{}` are both fine.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub fn parse(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        let (mut parsed, mut problems) = parse_form(bytes, resource)?;
        if let Some(data) = &mut parsed.data {
            problems.extend(members::check(data, resource, "data."));
        }
        if resource == Resource::Account && problems.is_empty() {
            problems.extend(missing_password(parsed.data.as_ref()));
        }
        if problems.is_empty() { Ok(parsed) } else { Err(ApiError::Invalid(problems)) }
    }

    /// Parses the body of a PATCH. What its members mean is checked when they are in place.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub fn parse_patch(bytes: &Bytes, resource: Resource) -> Result<Self, ApiError> {
        let (parsed, problems) = parse_form(bytes, resource)?;
        if problems.is_empty() { Ok(parsed) } else { Err(ApiError::Invalid(problems)) }
    }
}

/// An account that is made, or replaced, has a password (§5.3.1).
fn missing_password(data: Option<&Map<String, Value>>) -> Option<Detail> {
    let missing = match data {
        None => "data",
        Some(data) if !data.contains_key("password") => "data.password",
        Some(_) => return None,
    };
    Some(Detail::new(Location::Body, missing, "Required"))
}

/// Parses bytes as an object or an array; nothing at all is an empty object (§2.6.1).
///
/// # Errors
///
/// 400: what was sent counts for nothing then, and so the body is missing, too (§2.6.2).
pub fn parse_json(bytes: &Bytes) -> Result<Value, ApiError> {
    let refusal = |text: &str| {
        let details = [text, "Required"].map(|text| Detail::new(Location::Body, "", text));
        Err(ApiError::Invalid(details.to_vec()))
    };
    if bytes.is_empty() {
        return Ok(Value::Object(Map::new()));
    }
    match json::parse(bytes) {
        Ok(body) if body.is_object() || body.is_array() => Ok(body),
        Ok(_) => refusal("Should be a JSON object or an array"),
        Err(error) => refusal(&error.to_string()),
    }
}

/// A body that means nothing, of a GET or a DELETE, must still be JSON (§1.12.3).
///
/// # Errors
///
/// 400.
pub fn check_ignored(request: &ApiRequest) -> Result<(), ApiError> {
    let kind = negotiation::content_type(&request.headers);
    let is_json = kind.starts_with("application/") && kind.ends_with("json");
    if !kind.is_empty() && !is_json {
        return Ok(());
    }
    match parse_json(&request.body) {
        // Nobody asked for a body, so that none is missing.
        Err(ApiError::Invalid(mut details)) => {
            details.truncate(1);
            Err(ApiError::Invalid(details))
        }
        parsed => parsed.map(|_| ()),
    }
}

/// A value that is no object where one must be.
pub(crate) fn mapping_problem(name: &str, value: &Value) -> Detail {
    let shown = python::text(value);
    let text =
        format!("\"{shown}\" is not a mapping type: Does not implement dict-like functionality.");
    Detail::new(Location::Body, name, text)
}

/// Members that the mapping `name` does not have.
pub(crate) fn unknown_problem(name: &str, unknown: Map<String, Value>) -> Detail {
    let shown = python::repr(&Value::Object(unknown));
    Detail::new(Location::Body, name, format!("Unrecognized keys in mapping: \"{shown}\""))
}

fn parse_form(bytes: &Bytes, resource: Resource) -> Result<(ObjectBody, Vec<Detail>), ApiError> {
    let body = parse_json(bytes)?;
    let Value::Object(mut body) = body else {
        return Err(ApiError::Invalid(vec![mapping_problem("", &body)]));
    };
    let (data, rights) = (body.remove("data"), body.remove("permissions"));
    if !body.is_empty() {
        return Err(ApiError::Invalid(vec![unknown_problem("", body)]));
    }
    let mut parsed = ObjectBody { has_permissions: rights.is_some(), ..ObjectBody::default() };
    let mut problems = Vec::new();
    match data {
        None => {}
        Some(Value::Object(data)) => parsed.data = Some(data),
        Some(other) => problems.push(mapping_problem("data", &other)),
    }
    match rights {
        None => {}
        Some(Value::Object(rights)) => permissions(&rights, resource, &mut parsed, &mut problems),
        Some(other) => problems.push(mapping_problem("permissions", &other)),
    }
    Ok((parsed, problems))
}

/// The first unknown right is told alone, null is accepted for any (§2.6.3).
fn permissions(
    rights: &Map<String, Value>,
    resource: Resource,
    parsed: &mut ObjectBody,
    problems: &mut Vec<Detail>,
) {
    let sent = || rights.iter().filter(|(_, principals)| !principals.is_null());
    if let Some((name, _)) = sent().find(|(name, _)| right(name, resource).is_none()) {
        problems.push(unknown_right(name, resource));
        return;
    }
    for (name, principals) in rights {
        let Some(permission) = right(name, resource) else { continue };
        let at = format!("permissions.{name}");
        if let Value::Array(items) = principals {
            parsed.permissions.insert(permission.name(), strings(items, &at, problems));
        } else if principals.is_null() {
            parsed.nulls.push(permission);
        } else {
            let text = format!("\"{}\" is not iterable", python::text(principals));
            problems.push(Detail::new(Location::Body, &at, text));
        }
    }
}

/// The right of that name that objects of the kind have.
pub(crate) fn right(name: &str, resource: Resource) -> Option<Permission> {
    Permission::of(resource).iter().copied().find(|known| known.name() == name)
}

/// A right that objects of the kind do not have.
pub(crate) fn unknown_right(name: &str, resource: Resource) -> Detail {
    let known: Vec<_> = Permission::of(resource).iter().map(|right| right.name()).collect();
    let text = format!("\"{name}\" is not one of {}", known.join(", "));
    Detail::new(Location::Body, "permissions", text)
}

/// The texts of a list; what counts as nothing is missing, all else is no text.
pub(crate) fn strings(items: &[Value], at: &str, problems: &mut Vec<Detail>) -> Vec<String> {
    let mut texts = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match string(item) {
            Ok(text) => texts.push(text.to_owned()),
            Err(text) => {
                problems.push(Detail::new(Location::Body, &format!("{at}.{index}"), text));
            }
        }
    }
    texts
}

/// Longest name of a user or a group, in bytes: the keys that it is a part of have to fit PostgreSQL's
/// indexes, of whose pages a third is the most. The object's URI is a part of the same key: where ids
/// have hundreds of bytes that do not compress, shorter names are too long already, and fail as 503.
const MAX_PRINCIPAL_BYTES: usize = 2_048;

/// A principal, or a group's member: a text that is not empty.
pub(crate) fn string(item: &Value) -> Result<&str, String> {
    if !python::is_truthy(item) {
        return Err("Required".to_owned());
    }
    match item.as_str() {
        Some(text) if text.len() > MAX_PRINCIPAL_BYTES => {
            Err(format!("Longer than maximum length {MAX_PRINCIPAL_BYTES}"))
        }
        Some(text) => Ok(text),
        None => Err(format!("{} is not a string: {{'': ''}}", python::repr(item))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
        assert_eq!(message(r#"{"foo":1.0}"#), "Unrecognized keys in mapping: \"{'foo': 1.0}\"");
        assert_eq!(message(r#"{"data":null}"#), format!("data in body: \"None\" {mapping}"));
        for (rights, text) in [
            (r#"{"read":"abc"}"#, ".read in body: \"abc\" is not iterable"),
            (r#"{"read":{"a":1}}"#, ".read in body: \"{'a': 1}\" is not iterable"),
            (r#"{"read":[1]}"#, ".read.0 in body: 1 is not a string: {'': ''}"),
            (r#"{"read":[["a"]]}"#, ".read.0 in body: ['a'] is not a string: {'': ''}"),
            (r#"{"read":[true]}"#, ".read.0 in body: True is not a string: {'': ''}"),
            (r#"{"read":[0]}"#, ".read.0 in body: Required"),
            (r#"{"read":[{}]}"#, ".read.0 in body: Required"),
            (r#"{"read":[""]}"#, ".read.0 in body: Required"),
            (
                r#"{"bogus":[],"read":3}"#,
                " in body: \"bogus\" is not one of read, write, collection:create, group:create",
            ),
        ] {
            let told = message(&format!("{{\"permissions\":{rights}}}"));
            assert_eq!(told, format!("permissions{text}"));
        }
    }

    #[test]
    fn a_right_that_is_null_is_remembered_where_it_is_known() {
        let bytes = Bytes::from_static(br#"{"permissions":{"read":null,"bogus":null}}"#);

        let body = ObjectBody::parse(&bytes, Resource::Record).unwrap();

        assert_eq!((body.permissions, body.nulls), (Acl::new(), vec![Permission::Read]));
    }

    #[test]
    fn unknown_members_are_told_before_all_else() {
        let text = r#"{"foo":1,"data":3,"permissions":{"read":"a"}}"#;
        assert_eq!(message(text), "Unrecognized keys in mapping: \"{'foo': 1}\"");
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "(data|permissions|read|members|schema|type|\\PC{0,6})".prop_map(Value::from),
        ];
        let name = "(data|permissions|read|write|members|schema|cache_expires|id|\\PC{0,4})";
        leaf.prop_recursive(5, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(name, inner, 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_is_parsed_or_refused_with_a_client_s_error(body in any_json()) {
            let bytes = Bytes::from(body.to_string());
            for resource in [Resource::Bucket, Resource::Group, Resource::Collection] {
                for parsed in [
                    ObjectBody::parse(&bytes, resource),
                    ObjectBody::parse_patch(&bytes, resource),
                ] {
                    if let Err(refusal) = parsed {
                        prop_assert_eq!(refusal.contract().0.as_u16(), 400);
                    }
                }
            }
        }
    }
}
