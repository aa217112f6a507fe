//! The default bucket: `/buckets/default` is the user's own bucket, which is there, with its
//! collections, as soon as it is asked for (`kinto-http-api.md` §7.1).

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::Method;
use serde_json::Value;
use shared::{
    error::{ApiError, Detail, Location},
    http::segments,
    model::{Id, ObjectPath},
    store::Tx,
};
use uuid::Uuid;

use crate::{
    app::App,
    config::{Plugin, Secret},
    context::Ctx,
    locks::Outdated,
    operations, pipeline,
    service::ApiRequest,
    store::objects,
};

const ALIAS: &str = "default";

/// A request below `/buckets/default`, as it is meant.
#[derive(Debug)]
pub struct Resolved {
    /// The request for the real bucket.
    pub request: ApiRequest,
    /// The bucket and the collection that it takes for granted: made where they are missing.
    pub implied: Vec<ObjectPath>,
}

/// Why a request below `/buckets/default` is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody in particular has no bucket.
    Anonymous,
    /// Nothing can be made.
    ReadOnly,
    /// The collection's id is malformed.
    CollectionId,
}

impl Refusal {
    /// What the client reads.
    pub fn error(self) -> ApiError {
        match self {
            Self::Anonymous => ApiError::MissingAuth,
            Self::ReadOnly => ApiError::MethodNotAllowed { allow: Vec::new() },
            Self::CollectionId => {
                ApiError::Invalid(vec![Detail::whole(Location::Path, "Invalid collection id")])
            }
        }
    }
}

/// The id of a user's bucket: not to be guessed by whoever does not know the secret (§7.1.1).
pub fn bucket_id(secret: &Secret, user_id: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.0.as_bytes());
    let tag = hmac::sign(&key, user_id.as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(byte, of_tag)| *byte = *of_tag);
    Uuid::from_bytes(bytes).hyphenated().to_string()
}

/// Replaces the alias in a request's URL, and in the body of a request for the bucket itself.
/// `None` where the request is about something else.
///
/// # Errors
///
/// Why it is refused.
pub fn resolve(
    app: &App,
    user_id: Option<&str>,
    request: &ApiRequest,
) -> Result<Option<Resolved>, Refusal> {
    if !app.config.plugins.has(Plugin::DefaultBucket) || !is_alias(&request.path) {
        return Ok(None);
    }
    let user_id = user_id.ok_or(Refusal::Anonymous)?;
    let service = &app.config.service;
    if service.readonly {
        return Err(Refusal::ReadOnly);
    }
    let id = bucket_id(&app.config.extras.default_bucket_secret, user_id);
    let Ok(bucket) = Id::new(&id) else { return Ok(None) };
    let parts: Vec<&str> = request.path.split('/').collect();
    let below = parts.get(4..).unwrap_or_default();
    let mut resolved = request.clone();
    resolved.path = [&["", "v1", "buckets", id.as_str()], below].concat().join("/");
    if request.body.is_empty() {
        // As Kinto reads it: an object without members, where elsewhere nothing is sent.
        resolved.body = Bytes::from_static(br#"{"data":{}}"#);
    } else if below.is_empty() {
        resolved.body = with_real_id(&request.body, &id);
    }
    let implied = implied(&bucket, below, request.method == Method::PUT)?;
    if !implied.iter().all(|path| service.generators.accept(path.resource(), &path.id)) {
        return Err(Refusal::CollectionId);
    }
    Ok(Some(Resolved { request: resolved, implied }))
}

fn is_alias(path: &str) -> bool {
    let segments = segments(path).unwrap_or_default();
    matches!(segments.as_slice(), [version, buckets, id, ..]
        if version == "v1" && buckets == "buckets" && id == ALIAS)
}

/// What a request `below` the bucket takes for granted. What a PUT makes is not made before it:
/// it would be an update.
fn implied(bucket: &Id, below: &[&str], is_put: bool) -> Result<Vec<ObjectPath>, Refusal> {
    let mut implied = Vec::new();
    if !(is_put && below.is_empty()) {
        implied.push(ObjectPath::bucket(bucket.clone()));
    }
    if let ["collections", collection, rest @ ..] = below
        && !(is_put && rest.is_empty())
    {
        let id = segments(collection).ok().and_then(|id| Id::new(id.first()?).ok());
        let collection = id.ok_or(Refusal::CollectionId)?;
        implied.push(ObjectPath::collection(bucket.clone(), collection));
    }
    Ok(implied)
}

/// The body with the bucket's id where it names the alias. Ids of other objects, and bodies that
/// are wrong, stay as they are.
fn with_real_id(body: &Bytes, id: &str) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    match value.pointer_mut("/data/id") {
        Some(sent) if sent == ALIAS => {
            *sent = id.into();
            Bytes::from(value.to_string())
        }
        _ => body.clone(),
    }
}

/// What of `implied` does not exist: even a read then has something to write.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn missing<'a>(
    tx: &Tx<'_>,
    implied: &[&'a ObjectPath],
) -> Result<Vec<&'a ObjectPath>, ApiError> {
    if implied.is_empty() {
        return Ok(Vec::new());
    }
    let found = objects::get_all(tx, implied).await?;
    let is_missing = |path: &&&ObjectPath| !found.iter().any(|(known, _)| known == **path);
    Ok(implied.iter().filter(is_missing).copied().collect())
}

/// Checks that what a read takes for granted is still there.
///
/// # Errors
///
/// [`Outdated`]: then it has something to write.
pub async fn check_present(
    ctx: &mut Ctx<'_>,
    implied: impl Iterator<Item = &ObjectPath>,
) -> Result<(), ApiError> {
    for path in implied {
        if ctx.object(path).await?.is_none() {
            return Err(Outdated::default().into());
        }
    }
    Ok(())
}

/// Makes what is missing of `implied`: once, however many requests do so at the same time, since
/// their lists are locked.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn make_missing(ctx: &mut Ctx<'_>, implied: &[ObjectPath]) -> Result<(), ApiError> {
    for path in implied {
        if ctx.object(path).await?.is_none() {
            let first = ctx.changes.len();
            let mut outcome = operations::make(ctx, path.clone()).await?;
            pipeline::after_operation(ctx, first, &mut outcome).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_reference_s() {
        let mat = "basicauth:1acf66711624a550fce894b050abb3e9270a7c3fdd5e99bb8e5b9f8c8143c813";
        let other = "basicauth:001e2c11877cbc6daf01ea89d84dd2ab6ff39b5f78257053081eecc94597d233";
        for (secret, user, id) in [
            ("", mat, "6bbcc657-f8a2-1476-8f9f-24a5e0abdbec"),
            ("9rzkJh2J", mat, "cd2ca91a-c3f8-d8f4-4ac5-81072b1a8707"),
            ("", other, "b1710dfe-f48c-05ca-89e2-d6f6c5b266dc"),
            ("s3cr3t", other, "2894ed24-fc84-563c-8afc-77090334268c"),
        ] {
            assert_eq!(bucket_id(&Secret(secret.to_owned()), user), id);
        }
    }

    #[test]
    fn only_the_segment_itself_is_the_alias() {
        for path in ["/v1/buckets/default", "/v1/buckets/default/groups/g", "/v1/buckets/d%65fault"]
        {
            assert!(is_alias(path), "{path}");
        }
        for path in ["/v1/buckets/default-1", "/v1/buckets", "/v1/default", "/buckets/default"] {
            assert!(!is_alias(path), "{path}");
        }
    }

    #[test]
    fn what_a_put_makes_is_not_made_before_it() {
        let made = |below: &[&str], is_put| {
            let made = implied(&Id::new("b").unwrap(), below, is_put).unwrap();
            made.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let (bucket, collection) = ("/buckets/b", "/buckets/b/collections/c");

        assert_eq!(made(&[], true), Vec::<String>::new());
        assert_eq!(made(&[], false), [bucket]);
        assert_eq!(made(&["collections"], false), [bucket]);
        assert_eq!(made(&["collections", "c"], true), [bucket]);
        assert_eq!(made(&["collections", "c"], false), [bucket, collection]);
        assert_eq!(made(&["collections", "c", "records", "c"], true), [bucket, collection]);
        assert_eq!(made(&["groups", "g"], true), [bucket]);
        let wrong = implied(&Id::new("b").unwrap(), &["collections", "_x", "records"], false);
        assert_eq!(wrong, Err(Refusal::CollectionId));
    }

    #[test]
    fn only_the_bucket_s_own_id_is_replaced() {
        let real = |body: &'static str| with_real_id(&Bytes::from(body), "real");

        assert_eq!(real(r#"{"data":{"id":"default"}}"#), r#"{"data":{"id":"real"}}"#);
        for body in [r#"{"data": {"id": "default-1"}}"#, r#"{"data": {}}"#, "", "{", "[]"] {
            assert_eq!(real(body), body);
        }
    }
}
