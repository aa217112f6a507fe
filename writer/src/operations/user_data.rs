//! `DELETE /v1/__user_data__/{principal}` (`kinto-http-api.md` §7.8).
//!
//! What only the principal may write is deleted as the principal could do it: by ordinary
//! deletions, some at a time and each time in one transaction, under the name of whoever asked.
//! When it is interrupted, asking again goes on.

use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use shared::{
    error::{ApiError, Location},
    http::Reply,
    model::{EVERYONE, ObjectPath, Timestamp},
    store::Tx,
};

use super::{Operation, View};
use crate::{
    app::App,
    config::Purge,
    purge::{self, Purged},
    routes::{Parent, Route},
    service::ApiRequest,
    store::{
        clocks::{self, Clocks, Lock},
        permissions::{self, Owned},
    },
    user::User,
};

/// Most objects that are looked at, and deleted, in one transaction.
pub const BATCH: i64 = 200;

/// Whether the user may erase what others own (`user-data_delete_principals`), and whether there
/// can be such a principal.
///
/// # Errors
///
/// 401 or 403; 400 for what cannot be stored.
pub fn authorize(app: &App, user: &User, principal: &str) -> Result<(), ApiError> {
    let deleters = &app.config.extras.user_data_deleters;
    match &user.id {
        _ if deleters.iter().any(|principal| user.is(principal)) => {
            let refusal = "U+0000 cannot be stored";
            let is_storable = !principal.contains('\0');
            is_storable
                .then_some(())
                .ok_or_else(|| ApiError::invalid(Location::Path, "principal", refusal))
        }
        Some(_) => Err(ApiError::Forbidden),
        None => Err(ApiError::MissingAuth),
    }
}

/// The deletions of some objects, sorted by URI: of the outermost only, since what they hold goes
/// with them. An object that somebody writes meanwhile stays.
pub fn deletions(request: &ApiRequest, owned: &[Owned]) -> Vec<Operation> {
    let mut outermost: Option<String> = None;
    let mut operations = Vec::new();
    for Owned { uri, last_modified } in owned {
        let is_below = outermost.as_ref().is_some_and(|above| uri.starts_with(above.as_str()));
        if let (false, Some(last_modified)) = (is_below, last_modified)
            && let Some(operation) = deletion(request, uri, *last_modified)
        {
            outermost = Some(format!("{uri}/"));
            operations.push(operation);
        }
    }
    operations
}

fn deletion(request: &ApiRequest, uri: &str, last_modified: Timestamp) -> Option<Operation> {
    let path = format!("/v1{uri}");
    let Ok(Route::Object(Parent::Known(list), id)) = Route::parse(&path) else { return None };
    let mut headers = request.headers.clone();
    headers.remove(header::IF_NONE_MATCH);
    headers.insert(header::IF_MATCH, HeaderValue::from_str(&last_modified.etag()).ok()?);
    let (method, query_text) = (Method::DELETE, String::new());
    let request =
        ApiRequest { method: method.clone(), path, query_text, headers, ..request.clone() };
    Some(Operation { method, list, id: Some(id), view: View::Itself, request, password_hash: None })
}

/// Takes the principal from the access control lists and the groups of some objects: those that
/// come after `after`. Returns the last of them; `None` when there are no more.
///
/// The lists of these objects are locked first, in the order of all.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn forget(
    tx: &Tx<'_>,
    principal: &str,
    after: &str,
    now: Timestamp,
    caches: &Purge,
) -> Result<Option<String>, ApiError> {
    // Readers serve what everybody may read.
    let is_published = principal == EVERYONE;
    let mut uris = permissions::naming(tx, principal, after, BATCH).await?;
    let lists = lists_of(&uris).collect();
    let mut clocks = Clocks::default();
    clocks::prepare(tx).await?;
    clocks.lock(tx, lists, is_published).await?;
    permissions::forget(tx, principal, &uris).await?;
    if is_published {
        clocks.touch_publication(tx, now).await?;
        tx.run(clocks.store(tx).await?).await?;
        tx.run(purge::writes(tx, caches, &Purged::everything()).await?).await?;
    }
    Ok(uris.pop())
}

/// The lists that hold these objects.
pub fn lists_of(uris: &[String]) -> impl Iterator<Item = Lock> + '_ {
    uris.iter().filter_map(|uri| ObjectPath::parse(uri)).map(|path| Lock(path.list))
}

/// What is answered when all is done, also for a principal that nobody knew.
pub fn reply(principal: &str) -> Reply {
    Reply::json(StatusCode::OK, &json!({"data": {"principal": principal}}))
}
