//! `GET /v1/__counters__` (`kinto-http-api.md` §7.3.2).

use http::StatusCode;
use serde_json::{Map, Value, json};
use shared::{error::ApiError, http::Reply, store::Tx};

use crate::store::maintenance;

/// How many objects and tombstones there are of each kind; zeros are left out.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn counters(tx: &Tx<'_>) -> Result<Reply, ApiError> {
    let (mut objects, mut tombstones) = (Map::new(), Map::new());
    for counted in maintenance::count(tx).await? {
        let add = |into: &mut Map<String, Value>, count: i64| {
            if count > 0 {
                into.insert(counted.resource.clone(), count.into());
            }
        };
        add(&mut objects, counted.live);
        add(&mut tombstones, counted.tombstones);
    }
    Ok(Reply::json(StatusCode::OK, &json!({"objects": objects, "tombstones": tombstones})))
}
