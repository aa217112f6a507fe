//! `GET /buckets/{id}/quota` and `GET /buckets/{b}/collections/{id}/quota`
//! (`platform-features.md` §5.7).

use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shared::{error::ApiError, http::Reply, model::ListPath};

use super::{Operation, Outcome, addressed_path, no_such_object, require_readable};
use crate::{context::Ctx, plugins, store::quotas};

/// What a bucket or collection holds, and may hold.
pub(super) async fn quota(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<Outcome, ApiError> {
    let id = operation.id.as_deref().unwrap_or_default();
    let path = addressed_path(ctx, &operation.list, id);
    require_readable(ctx, &operation.list, path.as_ref().ok()).await?;
    let path = path?;
    if ctx.object(&path).await?.is_none() {
        return Err(no_such_object(&path));
    }
    let usage = quotas::get(ctx.settled().await?, &path.to_string()).await?;
    let mut data = json!({"storage_size": usage.bytes, "record_count": usage.records});
    let limits = if let ListPath::Collections(bucket) = &path.list {
        plugins::quotas::collection_limits(ctx, bucket, &path.id).await?
    } else {
        data["collection_count"] = usage.collections.into();
        plugins::quotas::bucket_limits(ctx, &path.id).await?
    };
    data["limits"] = limits.to_value();
    let reply = Reply::json(StatusCode::OK, &json!({"data": data}));
    let never = HeaderValue::from_static("no-cache, no-store");
    Ok(Outcome::Ready(reply.header(header::CACHE_CONTROL, never)))
}
