//! JSON schemas of collections and buckets (`kinto-http-api.md` §2.13): not there yet.

use serde_json::{Map, Value};
use shared::{error::ApiError, model::ObjectPath};

use crate::context::Ctx;

/// Whether a schema is one.
pub(crate) fn check_document(_document: &Value) -> Result<(), String> {
    Ok(())
}

/// Validates an object that is to be stored.
pub(crate) async fn enforce(
    _ctx: &mut Ctx<'_>,
    _path: &ObjectPath,
    _data: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    Ok(())
}
