//! What a PATCH asks for, in its three forms (`kinto-http-api.md` §2.11): pure.

mod behavior;
mod json_patch;
mod merge;

pub use behavior::{Behavior, Shown};
use json_patch::Operations;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Location},
    model::Resource,
};

use crate::{
    body::ObjectBody,
    negotiation::{JSON_PATCH, MERGE_PATCH, content_type},
    service::ApiRequest,
    store::{aces::Acl, objects::Object},
};

/// A patch, checked in form.
#[derive(Debug)]
pub enum Patch {
    /// Members and rights that replace those of the object.
    Shallow(ObjectBody),
    /// RFC 7396: objects are merged, null removes.
    Merge(ObjectBody),
    /// RFC 6902: a list of operations.
    Operations(Operations),
}

/// What a patch makes of an object.
#[derive(Debug, PartialEq)]
pub struct Patched {
    /// The members that will be stored, and `id` and `last_modified` where they were kept or sent.
    pub data: Map<String, Value>,
    /// The rights to replace; others are kept.
    pub acl: Acl,
    /// The members that the client set.
    pub posted: Map<String, Value>,
    /// The members that `Response-Behavior` compares.
    pub sent: Map<String, Value>,
}

impl Patch {
    /// Reads the body as `Content-Type` says.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub fn parse(request: &ApiRequest, resource: Resource) -> Result<Self, ApiError> {
        let kind = content_type(&request.headers);
        if kind == JSON_PATCH {
            return Operations::parse(&request.body, resource).map(Self::Operations);
        }
        let body = ObjectBody::parse_patch(&request.body, resource)?;
        Ok(if kind == MERGE_PATCH { Self::Merge(body) } else { Self::Shallow(body) })
    }

    /// Applies the patch to an object and to its rights as the user sees them. Whoever may write by
    /// inheritance sees none: what a merge or JSON patch makes of none replaces those that there
    /// are. What results is at most `max_bytes` larger.
    ///
    /// # Errors
    ///
    /// 400 when there is nothing to apply, or it cannot be applied.
    pub fn apply(
        self,
        old: &Object,
        seen: &Acl,
        resource: Resource,
        max_bytes: usize,
    ) -> Result<Patched, ApiError> {
        let (body, is_merge) = match self {
            Self::Operations(operations) => {
                return operations.apply(old, seen, resource, max_bytes);
            }
            Self::Shallow(body) => (body, false),
            Self::Merge(body) => (body, true),
        };
        if body.data.is_none() && !body.has_permissions {
            let text = "Provide at least one of data or permissions";
            return Err(ApiError::invalid(Location::Body, "data", text));
        }
        let posted = body.data.unwrap_or_default();
        let mut data = old.data.clone();
        let mut acl = body.permissions;
        if is_merge {
            merge::merge(&mut data, &posted);
            acl = merge::rights(seen, acl, &body.nulls, resource);
        } else {
            data.extend(posted.clone());
        }
        Ok(Patched { data, acl, sent: posted.clone(), posted })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use shared::model::Timestamp;

    use super::*;

    fn old() -> Object {
        let data = json!({"a": {"x": 1, "z": 3}, "b": 2, "kept": null});
        Object {
            id: "r".to_owned(),
            last_modified: Timestamp::from_millis(7),
            deleted: false,
            data: data.as_object().unwrap().clone(),
        }
    }

    fn principals(right: &'static str, principals: &[&str]) -> (&'static str, Vec<String>) {
        (right, principals.iter().map(|principal| (*principal).to_owned()).collect())
    }

    fn patched(body: &Value, is_merge: bool) -> Patched {
        patched_by(&Acl::from([principals("write", &["me"])]), body, is_merge)
    }

    fn patched_by(seen: &Acl, body: &Value, is_merge: bool) -> Patched {
        let bytes = Bytes::from(body.to_string());
        let body = ObjectBody::parse_patch(&bytes, Resource::Record).unwrap();
        let patch = if is_merge { Patch::Merge(body) } else { Patch::Shallow(body) };
        patch.apply(&old(), seen, Resource::Record, 1_000).unwrap()
    }

    #[test]
    fn a_plain_patch_is_shallow_and_keeps_nulls() {
        let patched = patched(&json!({"data": {"a": {"y": 2}, "b": null}}), false);

        assert_eq!(Value::from(patched.data), json!({"a": {"y": 2}, "b": null, "kept": null}));
    }

    #[test]
    fn a_merge_patch_is_deep_and_removes_nulls() {
        let body = json!({"data": {"a": {"x": null, "y": 2}, "b": {"n": null}}});

        let patched = patched(&body, true);

        let merged = json!({"a": {"y": 2, "z": 3}, "b": {}, "kept": null});
        assert_eq!(Value::from(patched.data), merged);
    }

    #[test]
    fn a_right_that_is_null_is_emptied_by_a_merge_patch_only() {
        let body = json!({"permissions": {"read": null, "write": ["a"]}});

        let write = principals("write", &["a"]);
        assert_eq!(patched(&body, false).acl, Acl::from([write.clone()]));
        assert_eq!(patched(&body, true).acl, Acl::from([principals("read", &[]), write]));
    }

    #[test]
    fn a_merge_patch_replaces_the_rights_by_what_it_makes_of_those_that_are_seen() {
        let (none, mine) = (Acl::new(), Acl::from([principals("write", &["me"])]));
        let (read, write) = (principals("read", &["a"]), principals("write", &["me"]));
        let (no_read, no_write) = (principals("read", &[]), principals("write", &[]));

        for (seen, permissions, acl) in [
            (&none, json!({}), Acl::new()),
            (&none, json!({"read": ["a"]}), Acl::from([read.clone(), no_write.clone()])),
            (&none, json!({"read": []}), Acl::from([no_read.clone(), no_write])),
            (&none, json!({"write": null}), Acl::new()),
            (&mine, json!({"read": ["a"]}), Acl::from([read, write.clone()])),
            (&mine, json!({"read": null}), Acl::from([no_read, write])),
            (&mine, json!({"write": null}), Acl::new()),
        ] {
            let body = json!({"permissions": permissions});
            assert_eq!(patched_by(seen, &body, true).acl, acl, "{seen:?} {permissions}");
        }
    }
}
