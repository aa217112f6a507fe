//! `GET /buckets/{b}/snapshot/collections/{c}@{time}` (`kinto-http-api.md` §7.2.10).

use http::StatusCode;
use serde_json::{Value, json};
use shared::{
    error::{ApiError, Location},
    http::Reply,
    model::{Permission, Timestamp},
};

use super::{Operation, Outcome};
use crate::{
    authz,
    context::Ctx,
    store::{history, objects::Object},
};

/// The collection's records as they were at a time. Whether the collection exists is not asked:
/// one that does not has no records.
pub(super) async fn snapshot(
    ctx: &mut Ctx<'_>,
    operation: &Operation,
    time: Timestamp,
) -> Result<Outcome, ApiError> {
    let list = &operation.list;
    let allowed = match list.parent() {
        Some(collection) => authz::is_granted(ctx, Permission::Read, &collection).await?,
        None => false,
    };
    if !allowed {
        return Err(authz::denied(ctx));
    }
    let records = history::snapshot(ctx.settled().await?, list, time).await?;
    let data: Vec<Value> = records.iter().map(Object::to_value).collect();
    Ok(Outcome::Ready(Reply::json(StatusCode::OK, &json!({"data": data}))))
}

/// Digits only. A number that no timestamp reaches is later than all.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| Timestamp::from_millis(text.parse().unwrap_or(i64::MAX)))
}

/// 400 for a time that is none.
pub fn invalid_time(text: &str) -> ApiError {
    ApiError::invalid(Location::Path, "timestamp", format!("Invalid timestamp '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_of_milliseconds() {
        assert_eq!(parse_time("0"), Some(Timestamp::ZERO));
        assert_eq!(parse_time("1700000000001"), Some(Timestamp::from_millis(1_700_000_000_001)));
        assert!(parse_time(&"9".repeat(30)) > parse_time("1700000000001"));
        for bad in ["", "-1", "1.5", "abc", "١"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
