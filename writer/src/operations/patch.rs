//! `PATCH` of an object: shallow merge, or RFC 7396 (`kinto-http-api.md` §2.11).

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Location},
    model::Resource,
};

use super::{
    Operation, Outcome, Write, addressed, check_content_type, check_same_id, merge_problems,
    modified_meanwhile, no_such_object, require_collection, write,
};
use crate::{body::ObjectBody, context::Ctx, preconditions::Preconditions, service::ApiRequest};

const MERGE_PATCH: &str = "application/merge-patch+json";

pub(super) async fn patch(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    id: &str,
) -> Result<Outcome, ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    require_collection(ctx, list).await?;
    check_content_type(request, &["application/json", MERGE_PATCH])?;
    let (path, old) = addressed(ctx, list, id).await?;
    let (conditions, body) = merge_problems(
        Preconditions::parse(&request.headers),
        ObjectBody::parse_patch(&request.body, list.resource()),
    )?;
    let Some(old) = old else { return Err(no_such_object(&path)) };
    if !conditions.allow_write(Some(old.last_modified)) {
        return Err(modified_meanwhile(ctx, list, Some(&old)));
    }
    if body.data.is_none() && !body.has_permissions {
        let text = "Provide at least one of data or permissions";
        return Err(ApiError::invalid(Location::Body, "data", text));
    }
    check_same_id(body.data.as_ref(), id)?;
    let posted = body.data.unwrap_or_default();
    let mut data = merge(&old.data, &posted, is_merge_patch(request));
    if list.resource() == Resource::Group {
        data.entry("members").or_insert_with(|| Value::Array(Vec::new()));
    }
    let data = Some(data);
    let acl = body.permissions;
    write(ctx, Write { path, old: Some(old), data, posted, acl, replace_all: false }).await
}

fn is_merge_patch(request: &ApiRequest) -> bool {
    let kind = request.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with(MERGE_PATCH))
}

#[expect(clippy::wildcard_enum_match_arm, reason = "every other value replaces the old one")]
fn merge(old: &Map<String, Value>, patch: &Map<String, Value>, deep: bool) -> Map<String, Value> {
    let mut merged = old.clone();
    for (name, value) in patch {
        match value {
            Value::Null if deep => {
                merged.remove(name);
            }
            Value::Object(inner) if deep => {
                // Patched over a scalar, an object replaces it (RFC 7396; the reference fails).
                let empty = Map::new();
                let below = merged.get(name).and_then(Value::as_object).unwrap_or(&empty);
                let value = Value::Object(merge(below, inner, true));
                merged.insert(name.clone(), value);
            }
            _ => {
                merged.insert(name.clone(), value.clone());
            }
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn merged(old: &Value, patch: &Value, deep: bool) -> Value {
        let (old, patch) = (old.as_object().unwrap(), patch.as_object().unwrap());
        Value::Object(merge(old, patch, deep))
    }

    #[test]
    fn a_plain_patch_is_shallow_and_keeps_nulls() {
        let old = json!({"a": {"x": 1}, "b": 2});

        let new = merged(&old, &json!({"a": {"y": 2}, "c": null}), false);

        assert_eq!(new, json!({"a": {"y": 2}, "b": 2, "c": null}));
    }

    #[test]
    fn a_merge_patch_is_deep_and_removes_nulls() {
        let old = json!({"a": {"x": 1, "z": 3}, "b": 2, "kept": null});

        let new = merged(&old, &json!({"a": {"x": null, "y": 2}, "b": {"n": null}}), true);

        assert_eq!(new, json!({"a": {"y": 2, "z": 3}, "b": {}, "kept": null}));
    }
}
