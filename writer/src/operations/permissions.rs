//! `GET` and `HEAD /v1/permissions` (`kinto-http-api.md` §4.9): what the user may do, object by
//! object.

use http::StatusCode;
use serde_json::json;
use shared::{error::ApiError, http::Reply, model::Resource, store::Tx};

use crate::{
    app::App,
    config::Grant,
    context::User,
    service::ApiRequest,
    store::permissions::{self, BySettings},
};

/// One entry an object on which the user holds a right.
///
/// # Errors
///
/// 401 or 403 where `permissions_read_principals` leaves the user out.
pub async fn permissions(
    app: &App,
    tx: &Tx<'_>,
    request: &ApiRequest,
    user: &User,
) -> Result<Reply, ApiError> {
    let readers = &app.config.extras.permissions_readers;
    if !readers.iter().any(|principal| user.is(principal)) {
        return Err(if user.id.is_some() { ApiError::Forbidden } else { ApiError::MissingAuth });
    }
    let _ = request;
    let entries = permissions::held(tx, &user.principals, &by_settings(app, user)).await?;
    Ok(Reply::json(StatusCode::OK, &json!({"data": entries})))
}

/// The rights that settings give the user on every object of a kind. What may be created below an
/// object is a right on that object (§4.9.3).
fn by_settings(app: &App, user: &User) -> BySettings {
    let mut rights = BySettings::default();
    for ((resource, grant), principals) in &app.config.principals {
        if !principals.iter().any(|principal| user.is(principal)) {
            continue;
        }
        match (resource, grant) {
            (Resource::Bucket, Grant::Create) => rights.root.push("bucket:create"),
            (Resource::Account, Grant::Create) => rights.root.push("account:create"),
            (Resource::Group, Grant::Create) => rights.buckets.push("group:create"),
            (Resource::Collection, Grant::Create) => rights.buckets.push("collection:create"),
            (Resource::Record, Grant::Create) => rights.collections.push("record:create"),
            (Resource::Bucket, other) => rights.buckets.push(other.name()),
            (Resource::Collection, other) => rights.collections.push(other.name()),
            (Resource::Group, other) => rights.groups.push(other.name()),
            // Too many to be listed.
            (Resource::Record | Resource::Account | Resource::History, _) => {}
        }
    }
    rights
}
