//! JSON schemas: of a collection for its records, of a bucket for all that it holds
//! (`kinto-http-api.md` §2.13).
//!
//! Schemas and objects come from strangers. Nothing is fetched, patterns run in linear time, whose
//! factor counts as well, and a validation that takes too many steps, or too much memory, is given up.
//! One that takes more than milliseconds is not done within a transaction: that is rolled back, and runs
//! again when a few at a time have been judged ([`Costly`]). A schema is compiled within one, once for
//! all its records: the largest in a fraction of a second.

mod budget;
mod compile;
mod costly;
mod describe;
mod document;
mod pattern;

use std::sync::Arc;

use aws_lc_rs::digest;
use compile::Compiled;
pub(crate) use compile::check_document;
pub use costly::{Busy, Costly, Turns, Verdicts};
use moka::future::Cache;
use serde_json::{Map, Value};
use shared::{
    error::{ApiError, Detail, Location, Name},
    model::{ListPath, ObjectPath, Resource},
};

use crate::context::Ctx;

/// How much the compiled schemas may weigh together, in bytes, estimated.
const CACHE_BYTES: u64 = 64 << 20;

/// Why an object is not valid: what is wrong, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    name: Name,
    text: String,
}

impl Failure {
    /// The schema itself cannot be used.
    fn of_schema(text: impl Into<String>) -> Self {
        Self { name: Name::Member("schema".to_owned()), text: text.into() }
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> Self {
        let Failure { name, text } = failure;
        Self::Invalid(vec![Detail {
            location: Location::Body,
            name: Some(name),
            description: text,
        }])
    }
}

/// What a schema says about an object.
type Verdict = Result<(), Failure>;

/// Compiled schemas, by the digest of what they were made from.
#[derive(Clone)]
pub struct Validators(Cache<[u8; 32], Result<Arc<Compiled>, Failure>>);

impl std::fmt::Debug for Validators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Validators").field(&self.0.entry_count()).finish()
    }
}

impl Default for Validators {
    fn default() -> Self {
        let weigh = |_: &[u8; 32], compiled: &Result<Arc<Compiled>, Failure>| {
            compiled.as_ref().map_or(1_000, |compiled| compiled.weight())
        };
        Self(Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).build())
    }
}

impl Validators {
    /// Validates what of an object a schema is about.
    ///
    /// # Errors
    ///
    /// 400 with the first thing that is wrong; [`Costly`] when that takes long to say, and is not
    /// among `verdicts`.
    async fn validate(
        &self,
        verdicts: Option<&Verdicts>,
        schema: &Value,
        object: &Map<String, Value>,
        id: Option<&str>,
        resource: Resource,
    ) -> Result<(), ApiError> {
        let Value::Object(schema) = schema else { return Ok(()) };
        let (schema, instance) = document::without_internals(schema, object, id, resource);
        let key = key(&schema)?;
        let work = move || compile::compile(schema).map(Arc::new);
        let compiled = self.0.get_with(key, async { run(work).await.unwrap_or_else(Err) }).await?;
        let instance = Arc::new(instance);
        let work = {
            let (compiled, instance) = (compiled.clone(), instance.clone());
            move || compiled.validate_quickly(&instance)
        };
        if let Ok(verdict) = run(work).await? {
            return Ok(verdict?);
        }
        let costly = Costly::new(key, compiled, instance);
        match verdicts.and_then(|verdicts| verdicts.of(&costly)) {
            Some(verdict) => Ok(verdict?),
            None => Err(costly.into()),
        }
    }
}

/// Runs what may take long where it holds up nobody.
async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let failed = |error: tokio::task::JoinError| {
        tracing::error!(%error, "schema validation failed");
        Failure::of_schema("The schema cannot be evaluated")
    };
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

fn key(schema: &Value) -> Result<[u8; 32], ApiError> {
    let text = serde_json::to_vec(schema).map_err(|error| ApiError::Internal(error.into()))?;
    let mut key = [0; 32];
    key.copy_from_slice(digest::digest(&digest::SHA256, &text).as_ref());
    Ok(key)
}

/// Validates an object that is to be stored, where schemas are switched on; a record that its
/// collection's schema accepts says so (§2.13.3). An id that was generated is not validated.
///
/// # Errors
///
/// 400 with the first thing that is wrong.
pub(crate) async fn enforce(
    ctx: &mut Ctx<'_>,
    path: &ObjectPath,
    has_own_id: bool,
    data: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    if !ctx.app.config.schema_validation {
        return Ok(());
    }
    let (resource, member) = (path.resource(), format!("{}:schema", path.resource().name()));
    let (validators, verdicts) = (&ctx.app.schemas, ctx.verdicts);
    let id = has_own_id.then(|| path.id.as_ref());
    let bucket = match &path.list {
        ListPath::Records(bucket, collection) => {
            let collection = ObjectPath::collection(bucket.clone(), collection.clone());
            let collection = ctx.object(&collection).await?;
            let schema = collection.as_ref().and_then(|collection| {
                Some((collection.data.get("schema")?, collection.last_modified))
            });
            if let Some((schema, version)) = schema {
                validators.validate(verdicts, schema, data, id, resource).await?;
                data.insert("schema".to_owned(), version.as_millis().into());
            }
            bucket
        }
        ListPath::Groups(bucket) | ListPath::Collections(bucket) => bucket,
        ListPath::Buckets | ListPath::Accounts | ListPath::History(_) => return Ok(()),
    };
    let bucket = ctx.object(&ListPath::Buckets.object(bucket.clone())).await?;
    match bucket.as_ref().and_then(|bucket| bucket.data.get(&member)) {
        Some(schema) => validators.validate(verdicts, schema, data, id, resource).await,
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
