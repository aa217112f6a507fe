//! What one request asks for: an operation is a value, so that it can be planned, put in a batch,
//! and run again.

mod accounts;
mod changeset;
mod counters;
mod create;
mod delete;
mod flush;
mod get;
mod heartbeat;
mod hello;
mod list;
mod monitor;
pub mod openid;
mod patch;
mod permissions;
mod put;
mod quota;
mod snapshot;
pub mod user_data;
mod write;

pub use accounts::{
    MAX_PASSWORD_BYTES, create_user, hash_password, may_be_written, visible as visible_accounts,
};
pub use counters::counters;
pub use flush::{after_flush, flush, flushed};
pub use heartbeat::heartbeat;
pub use hello::{API_VERSION, about, contribute, hello, version};
use http::{Method, StatusCode};
pub use monitor::{broadcasts, monitor, monitor_records, published_entries};
pub use permissions::permissions;
use serde_json::{Map, Value, json};
use shared::{
    error::{ApiError, Detail, Location, merge_problems},
    http::Reply,
    model::{Id, ListPath, ObjectPath, Permission, Resource, Timestamp},
};
pub use snapshot::{invalid_time, parse_time};
pub use write::make;
use write::{Write, store, write};

use crate::{
    authz,
    context::Ctx,
    negotiation,
    patches::Shown,
    service::ApiRequest,
    store::{aces::Acl, objects::Object},
};

/// One request on a list or an object.
#[derive(Debug, Clone)]
pub struct Operation {
    /// What is to be done.
    pub method: Method,
    /// The list that is addressed, or that holds the object.
    pub list: ListPath,
    /// The object's id as sent, unchecked.
    pub id: Option<String>,
    /// What of it is asked for.
    pub view: View,
    /// The whole request.
    pub request: ApiRequest,
    /// The hash of the password in its body, which has it already.
    pub password_hash: Option<String>,
}

/// What of a list or an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Itself.
    Itself,
    /// How much it holds, and may hold.
    Quota,
    /// The list as it was at a time.
    Snapshot(Timestamp),
    /// What changed in the list, with its collection's metadata and signature.
    Changeset,
}

/// What an operation results in.
#[derive(Debug)]
pub enum Outcome {
    /// A reply that is ready.
    Ready(Reply),
    /// An object that was written. What follows from the write may still change it.
    Written {
        /// 200 or 201.
        status: StatusCode,
        /// Which object.
        path: ObjectPath,
        /// As written.
        object: Object,
        /// Its access control list.
        acl: Acl,
        /// What of it the client wants to see.
        shown: Shown,
    },
}

impl Operation {
    /// Whether it may write.
    pub fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// The id that will be written, as far as it can be known beforehand: from the URL, or from
    /// the posted body.
    pub fn id_hint(&self) -> Option<String> {
        if self.id.is_some() || self.method != Method::POST {
            return self.id.clone();
        }
        let body: Value = serde_json::from_slice(&self.request.body).ok()?;
        body["data"]["id"].as_str().map(str::to_owned)
    }

    /// Whether everybody is told that the parent does not exist, before all else (§2.4).
    fn tells_missing_parent(&self) -> bool {
        self.is_write() && (self.method != Method::DELETE || self.id.is_some())
    }

    /// The objects that it will look at, as far as they can be known beforehand.
    pub fn objects(&self) -> impl Iterator<Item = ObjectPath> {
        let addressed = self.id_hint().and_then(|id| self.list.parse_id(&id).ok());
        addressed.map(|id| self.list.object(id)).into_iter().chain(self.list.parent())
    }

    /// Runs the operation. A refusal has written nothing.
    ///
    /// # Errors
    ///
    /// [`ApiError`]: a refusal, or a failure that ends the whole request.
    pub async fn run(&self, ctx: &mut Ctx<'_>) -> Result<Outcome, ApiError> {
        if self.tells_missing_parent() {
            require_collection(ctx, &self.list).await?;
        }
        if self.method == Method::POST {
            create::check_sent_id(ctx, self)?;
        }
        // Of a snapshot Kinto asks nothing (§7.2.10).
        if !matches!(self.view, View::Snapshot(_)) {
            negotiation::check(&self.request)?;
        }
        match self.view {
            View::Itself => {}
            View::Quota => return quota::quota(ctx, self).await,
            View::Snapshot(time) => return snapshot::snapshot(ctx, self, time).await,
            View::Changeset => return changeset::changeset(ctx, self).await,
        }
        if self.list == ListPath::Accounts {
            accounts::check(ctx, self).await?;
        }
        match (&self.method, &self.id) {
            (&Method::GET | &Method::HEAD, None) => list::list(ctx, self).await,
            (&Method::GET | &Method::HEAD, Some(id)) => get::get(ctx, self, id).await,
            (&Method::POST, None) => create::create(ctx, self).await,
            (&Method::PUT, Some(id)) => put::put(ctx, self, id).await,
            (&Method::PATCH, Some(id)) => patch::patch(ctx, self, id).await,
            (&Method::DELETE, None) => delete::delete_list(ctx, self).await,
            (&Method::DELETE, Some(id)) => delete::delete(ctx, self, id).await,
            _ => Err(ApiError::internal("a method that the route does not allow")),
        }
    }
}

impl Outcome {
    /// The reply, with the object's permissions when the user is one of its writers (§4.6).
    pub fn into_reply(self, ctx: &Ctx<'_>) -> Reply {
        match self {
            Self::Ready(reply) => reply,
            Self::Written { status, path, object, acl, shown } => {
                let reply = match shown.members(&object) {
                    None => object_reply(ctx, status, &path, &object, &acl),
                    Some(members) => Reply::json(status, &json!({"data": members})),
                };
                reply.version(object.last_modified)
            }
        }
    }
}

/// `{"permissions": {…}, "data": {…}}`, permissions first (§0.1.2).
fn object_reply(
    ctx: &Ctx<'_>,
    status: StatusCode,
    path: &ObjectPath,
    object: &Object,
    acl: &Acl,
) -> Reply {
    #[derive(serde::Serialize)]
    struct Body {
        permissions: Value,
        data: Value,
    }
    let permissions = if sees_rights(ctx, path, acl) { json!(acl) } else { json!({}) };
    Reply::json(status, &Body { permissions, data: object.to_value() })
}

/// Whether the user sees who has which right: whoever is a writer of the object itself (§4.6.1).
fn sees_rights(ctx: &Ctx<'_>, path: &ObjectPath, acl: &Acl) -> bool {
    let writers = acl.get(Permission::Write.name());
    let stands_for = accounts::stands_for(ctx, path);
    let is_user = |p: &String| ctx.user.is(p) || stands_for.as_ref() == Some(p);
    writers.is_some_and(|list| list.iter().any(is_user))
}

/// 304: no body, no `Content-Type`, no `Cache-Control` (§2.7.2).
fn not_modified(current: Timestamp) -> Outcome {
    Outcome::Ready(Reply::empty(StatusCode::NOT_MODIFIED).version(current))
}

fn no_such_object(path: &ObjectPath) -> ApiError {
    ApiError::NoSuchObject { resource: path.resource(), id: path.id.to_string() }
}

/// 412: with the object as it is, or with the list's timestamp where there is none.
fn modified_meanwhile(ctx: &Ctx<'_>, list: &ListPath, existing: Option<&Object>) -> ApiError {
    let current = existing.map(|object| object.last_modified);
    ApiError::ModifiedMeanwhile {
        existing: existing.map(Object::to_value),
        current: current.or_else(|| ctx.clocks.known(list)),
    }
}

/// The id of an object's URL or body, checked after authorization (§2.3.3).
fn checked_id(list: &ListPath, text: &str) -> Result<Id, ApiError> {
    list.parse_id(text)
        .map_err(|error| ApiError::Invalid(vec![Detail::whole(Location::Path, error.to_string())]))
}

/// Likewise, and as the settings want ids of this kind (`ids.rs`).
fn id_for(ctx: &Ctx<'_>, list: &ListPath, text: &str) -> Result<Id, ApiError> {
    let resource = list.resource();
    let accepted = ctx.app.config.service.generators.accept(resource, text);
    checked_id(list, if accepted { text } else { "" })
}

/// Records need their collection (§2.4).
async fn require_collection(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<(), ApiError> {
    if let (ListPath::Records(_, id), Some(parent)) = (list, list.parent())
        && ctx.object(&parent).await?.is_none()
    {
        return Err(ApiError::NoSuchParent { resource: Resource::Collection, id: id.to_string() });
    }
    Ok(())
}

/// A group or collection is never made in a bucket that does not exist, which a right from the
/// settings would else allow (§2.4.1).
async fn require_bucket(ctx: &mut Ctx<'_>, list: &ListPath) -> Result<(), ApiError> {
    match (list, list.parent()) {
        (ListPath::Groups(id) | ListPath::Collections(id), Some(parent)) => {
            match ctx.object(&parent).await? {
                Some(_) => Ok(()),
                None => {
                    Err(ApiError::NoSuchParent { resource: Resource::Bucket, id: id.to_string() })
                }
            }
        }
        _ => Ok(()),
    }
}

/// A body's id must be the URL's (§2.3.5).
fn check_same_id(data: Option<&Map<String, Value>>, id: &str) -> Result<(), ApiError> {
    match data.and_then(|data| data.get("id")) {
        Some(sent) if sent.as_str() != Some(id) => {
            let text = "Object id does not match existing object";
            Err(ApiError::invalid(Location::Body, "id", text))
        }
        _ => Ok(()),
    }
}

/// The object of a URL; what is wrong with its id is told after all that is wrong with the request
/// (§0.4).
fn addressed_path(ctx: &Ctx<'_>, list: &ListPath, id: &str) -> Result<ObjectPath, ApiError> {
    id_for(ctx, list, id).map(|id| list.object(id))
}

/// Refuses whoever may not read the object. With a malformed id it cannot exist: only those are
/// told who are told what is missing.
async fn require_readable(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    path: Option<&ObjectPath>,
) -> Result<(), ApiError> {
    let may_read = match path {
        Some(path) => authz::may_read_object(ctx, path).await?,
        None => authz::may_miss(ctx, list).await?,
    };
    if may_read { Ok(()) } else { Err(authz::denied(ctx)) }
}

/// The object that is to be changed or deleted, and the right to do so. That it is missing, or
/// cannot be, is told later, after what is wrong with the request (§0.4).
async fn addressed(
    ctx: &mut Ctx<'_>,
    list: &ListPath,
    id: &str,
) -> Result<(Result<ObjectPath, ApiError>, Option<Object>), ApiError> {
    let path = addressed_path(ctx, list, id);
    let old = match &path {
        Ok(path) => ctx.object(path).await?,
        Err(_) => None,
    };
    let allowed = match (&path, &old) {
        (Ok(path), Some(_)) => authz::may(ctx, Permission::Write, path).await?,
        _ => authz::may_miss(ctx, list).await?,
    };
    if allowed { Ok((path, old)) } else { Err(authz::denied(ctx)) }
}
