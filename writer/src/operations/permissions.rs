//! `GET` and `HEAD /v1/permissions` (`kinto-http-api.md` §4.9): what the user may do, object by
//! object.

use http::{HeaderValue, Method, header};
use shared::{
    error::ApiError,
    http::Reply,
    model::{Resource, Timestamp},
};

use super::list::Listing;
use crate::{
    app::App,
    authz,
    config::Grant,
    context::Ctx,
    listing::Schema,
    negotiation,
    service::ApiRequest,
    store::permissions::{self, BySettings},
    user::User,
};

static SCHEMA: Schema = Schema::PERMISSIONS;

/// One entry an object on which the user holds a right.
///
/// # Errors
///
/// 401 or 403 where `permissions_read_principals` leaves the user out; 400 as lists do.
pub async fn permissions(ctx: &mut Ctx<'_>, request: &ApiRequest) -> Result<Reply, ApiError> {
    negotiation::check(request)?;
    let readers = &ctx.app.config.extras.permissions_readers;
    if !readers.iter().any(|principal| ctx.user.is(principal)) {
        return Err(authz::denied(ctx));
    }
    let rights = by_settings(ctx.app, &ctx.user);
    let listing = Listing {
        uri: "/permissions".to_owned(),
        source: permissions::held(&ctx.user.principals, &rights),
        schema: &SCHEMA,
        whole: None,
        request,
    };
    // Entries have no timestamp: this one never comes again, so that nobody gets a 304.
    let now = Timestamp::now();
    let outcome = listing.reply(ctx, now, request.method == Method::HEAD).await?;
    let never = HeaderValue::from_static("no-cache, no-store");
    Ok(outcome.into_reply(ctx).header(header::CACHE_CONTROL, never))
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
