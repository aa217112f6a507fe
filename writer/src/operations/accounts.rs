//! What is special about accounts (`kinto-http-api.md` §5.3): users make and see their own,
//! administrators (`account_write_principals`) all, and passwords are stored as hashes.

use bcrypt::HashParts;
use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Location},
    json,
    model::{EVERYONE, Id, ListPath, ObjectPath, Permission, Resource, Timestamp},
    store::Tx,
};

use super::{Operation, check_same_id, checked_id, merge_problems, modified_meanwhile};
use crate::{
    app::App,
    authz::{self, Visible},
    body::ObjectBody,
    config::Grant,
    context::Ctx,
    pipeline,
    preconditions::Preconditions,
    store::aces,
};

/// Longest password, in bytes: bcrypt ignores what is beyond.
pub const MAX_PASSWORD_BYTES: usize = 72;

/// Replaces the password in a body by its hash, so that nothing behind knows it. It takes long:
/// to be called before the transaction begins.
///
/// What cannot be a password is left for the checks that come later, after authorization.
///
/// # Errors
///
/// [`ApiError::Backend`] when too many passwords wait.
pub async fn hash_password(
    app: &App,
    user_id: Option<&String>,
    operation: &mut Operation,
) -> Result<(), ApiError> {
    let may_have_one = operation.list == ListPath::Accounts
        && matches!(operation.method, Method::POST | Method::PUT | Method::PATCH)
        && (user_id.is_some() || everybody_may_sign_up(app));
    if !may_have_one {
        return Ok(());
    }
    let Ok(mut body) = json::parse(&operation.request.body) else { return Ok(()) };
    if let Some(Value::String(password)) = password(&mut body)
        && !password.is_empty()
        && password.len() <= MAX_PASSWORD_BYTES
    {
        *password = app.authn.passwords.hash(password).await?;
        operation.password_hash = Some(password.clone());
        let bytes = serde_json::to_vec(&body).map_err(|error| ApiError::Internal(error.into()))?;
        operation.request.body = Bytes::from(bytes);
    }
    Ok(())
}

/// Anonymous requests that will be refused are not worth a hash.
fn everybody_may_sign_up(app: &App) -> bool {
    [Grant::Create, Grant::Write].into_iter().any(|grant| {
        let principals = app.config.principals.get(&(Resource::Account, grant));
        principals.into_iter().flatten().any(|principal| principal == EVERYONE)
    })
}

/// Where a body has the password: in its data, or in the last step of a JSON-Patch that sets it.
#[expect(clippy::wildcard_enum_match_arm, reason = "other bodies are refused later")]
fn password(body: &mut Value) -> Option<&mut Value> {
    match body {
        Value::Object(body) => body.get_mut("data")?.get_mut("password"),
        Value::Array(steps) => {
            let sets = |step: &&mut Value| {
                step["path"] == "/data/password" && (step["op"] == "add" || step["op"] == "replace")
            };
            steps.iter_mut().rfind(sets)?.get_mut("value")
        }
        _ => None,
    }
}

/// Refuses what a JSON-Patch can bring there from elsewhere. Nobody chooses hashes: one could be made
/// whose check takes days.
///
/// # Errors
///
/// 400.
pub(super) fn check_patched(
    operation: &Operation,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
) -> Result<(), ApiError> {
    let (old, new) = (old.get("password"), new.get("password"));
    let hash = operation.password_hash.as_deref();
    if operation.list == ListPath::Accounts && new != old && new.and_then(Value::as_str) != hash {
        return Err(ApiError::invalid(Location::Body, "password", "Required"));
    }
    Ok(())
}

/// Refuses to store what is no hash.
///
/// # Errors
///
/// 400.
pub(super) fn check_stored(path: &ObjectPath, data: &Map<String, Value>) -> Result<(), ApiError> {
    let hash = data.get("password").and_then(Value::as_str).unwrap_or_default();
    if path.list == ListPath::Accounts && hash.parse::<HashParts>().is_err() {
        return Err(ApiError::invalid(Location::Body, "password", "Required"));
    }
    Ok(())
}

/// The principal of the account itself, in whose name anonymous users and administrators act
/// (§5.3.4); `None` for other objects, and other users.
pub(super) fn stands_for(ctx: &Ctx<'_>, path: &ObjectPath) -> Option<String> {
    let acts_for_others = ctx.user.id.is_none() || is_administrator(ctx);
    (path.list == ListPath::Accounts && acts_for_others).then(|| format!("account:{}", path.id))
}

fn is_administrator(ctx: &Ctx<'_>) -> bool {
    authz::settings_grant(ctx, Resource::Account, &[Grant::Write])
}

/// The account that is the user's own, whether it exists or not: the id without its prefix.
fn own_id<'a>(ctx: &'a Ctx<'_>) -> &'a str {
    ctx.user.id.as_deref().and_then(|id| id.split_once(':')).map_or("", |(_, id)| id)
}

/// Whether access control entries count for who writes the object: those of an account do not let
/// others change its password (§5.3.5).
pub fn may_be_written(ctx: &Ctx<'_>, path: &ObjectPath) -> bool {
    path.list != ListPath::Accounts
        || own_id(ctx) == path.id.as_str()
        || ctx.user.is(&format!("account:{}", path.id))
}

/// Refuses what no account's own checks would: see §5.3.5-7.
///
/// # Errors
///
/// 400, 401, 403 or 412.
pub(super) async fn check(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<(), ApiError> {
    let administrator = is_administrator(ctx);
    let anonymous = ctx.user.id.is_none() && !administrator;
    match (&operation.method, &operation.id) {
        (&Method::GET | &Method::HEAD | &Method::DELETE, None) if anonymous => {
            Err(ApiError::AnonymousAccounts)
        }
        (&Method::POST, None) if anonymous || administrator => require_id(operation),
        (&Method::POST, None) | (&Method::PUT, Some(_)) if !anonymous && !administrator => {
            require_own(ctx, operation).await
        }
        _ => Ok(()),
    }
}

fn require_id(operation: &Operation) -> Result<(), ApiError> {
    let body = json::parse(&operation.request.body).unwrap_or_default();
    if body["data"].get("id").is_none() {
        let text = "data.id in body: Required";
        return Err(ApiError::invalid(Location::Body, "data.id", text));
    }
    Ok(())
}

/// Users write no account but their own. Whether another exists is not told.
async fn require_own(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<(), ApiError> {
    let (list, request) = (&operation.list, &operation.request);
    if operation.id_hint().as_deref() == Some(own_id(ctx)) {
        return Ok(());
    }
    if !authz::may_create(ctx, list).await? {
        return Err(authz::denied(ctx));
    }
    let (conditions, body) = merge_problems(
        Preconditions::parse(&request.headers),
        ObjectBody::parse(&request.body, Resource::Account),
    )?;
    let posted = body.data.as_ref().and_then(|data| data.get("id"));
    match (&operation.id, posted) {
        (Some(id), _) => checked_id(list, id).map(drop)?,
        (None, Some(id)) => checked_id(list, id.as_str().unwrap_or_default()).map(drop)?,
        (None, None) => {}
    }
    if !conditions.allow_write(None) {
        return Err(modified_meanwhile(ctx, list, None));
    }
    let text = match &operation.id {
        Some(id) => {
            check_same_id(body.data.as_ref(), id)?;
            "Username and account ID do not match."
        }
        None if posted.is_some() => "Username and account ID do not match.",
        None => "Accounts must have an ID.",
    };
    Err(ApiError::invalid(Location::Body, "data.id", text))
}

/// What of the list is visible: to users their own account, to administrators those that access
/// control entries show them, and all with the setting's right to just that.
///
/// # Errors
///
/// 401 or 403 when nothing is, and nothing may be created either.
pub async fn visible(
    ctx: &mut Ctx<'_>,
    wanted: Permission,
    rights: &[&str],
) -> Result<Visible, ApiError> {
    let list = ListPath::Accounts;
    let grant = if wanted == Permission::Read { Grant::Read } else { Grant::Write };
    let all = authz::settings_grant(ctx, Resource::Account, &[grant]);
    let shared =
        aces::shared_ids(ctx.settled().await?, &list, rights, &ctx.user.principals).await?;
    if !all && shared.is_empty() && !authz::may_create(ctx, &list).await? {
        return Err(authz::denied(ctx));
    }
    let own = own_id(ctx);
    Ok(match (is_administrator(ctx), all) {
        (true, true) => Visible::All,
        (true, false) => Visible::Only(shared),
        (false, true) => Visible::Only(vec![own.to_owned()]),
        (false, false) => Visible::Only(shared.into_iter().filter(|id| id == own).collect()),
    })
}

/// Makes an account, or replaces it, as an operator does from the command line.
///
/// # Errors
///
/// 400 when the password is too long, [`ApiError::Backend`] when PostgreSQL is away.
pub async fn create_user(app: &App, id: Id, password: &str) -> Result<(), ApiError> {
    let hash = app.authn.passwords.hash(password).await?;
    let mut client = app.pool.get().await?;
    let tx = Tx::writing(&mut client);
    tx.begin().await?;
    let mut ctx = Ctx::new(app, &tx, Timestamp::now());
    let path = ListPath::Accounts.object(id);
    let timestamp = ctx.next_timestamp(&path.list, &path.id).await?;
    let data = Map::from_iter([("password".to_owned(), hash.into())]);
    ctx.put(&path, timestamp, data).await?;
    ctx.grant(&path, Permission::Write, &format!("account:{}", path.id)).await?;
    pipeline::commit(&mut ctx).await
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_password_is_found_wherever_a_body_may_have_it() {
        let mut body = json!({"data": {"password": "a", "x": {"password": "b"}}});
        assert_eq!(password(&mut body), Some(&mut json!("a")));
        let mut patch = json!([
            {"op": "add", "path": "/data/password", "value": "b"},
            {"op": "replace", "path": "/data/password", "value": "c"},
            {"op": "test", "path": "/data/password", "value": "d"},
            {"op": "add", "path": "/data/other", "value": "e"},
            {"op": "remove", "path": "/data/password"},
        ]);
        assert_eq!(password(&mut patch), Some(&mut json!("c")));
        assert_eq!(password(&mut json!("text")), None);
    }
}
