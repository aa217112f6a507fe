//! How much a push changes, for those who are told of it (`remote-settings.md` §1.17).

use std::collections::HashSet;

use serde_json::Value;
use shared::{
    canonical,
    error::ApiError,
    model::{ListPath, Timestamp},
    store::Tx,
};
use tokio_postgres::types::Json;

use super::objects::{Difference, Object};

/// The records that a difference is about to copy.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn changed(
    tx: &Tx<'_>,
    source: &ListPath,
    difference: &Difference,
) -> Result<Vec<Object>, ApiError> {
    const SQL: &str = "
        select id, last_modified, deleted, data from record
        where bucket_id = $1 and collection_id = $2 and id = any($3) and not deleted";

    let ids: Vec<&String> = difference.replaced.iter().chain(&difference.created).collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&source.bucket_id(), &source.collection_id(), &ids]).await?;
    rows.iter().map(Object::from_row).collect()
}

/// The bytes that clients will fetch for changed records that are not yet copied into `target`:
/// their canonical length, and the net size of attachments.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn size_bytes(
    tx: &Tx<'_>,
    target: &ListPath,
    changed: &[Object],
) -> Result<i64, ApiError> {
    let values: Vec<Value> = changed.iter().map(Object::to_value).collect();
    let document = canonical::document(&values, Timestamp::ZERO).len();
    let mut size = i64::try_from(document).unwrap_or(i64::MAX);
    if changed.iter().any(|record| record.data.contains_key("attachment")) {
        size += attachments(changed, &attached(tx, target).await?);
    }
    Ok(size)
}

/// The ids of a collection's records with attachments, and these.
async fn attached(tx: &Tx<'_>, list: &ListPath) -> Result<Vec<(String, Value)>, ApiError> {
    const SQL: &str = "
        select id, data -> 'attachment' as attachment from record
        where bucket_id = $1 and collection_id = $2 and data ? 'attachment' and not deleted";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&list.bucket_id(), &list.collection_id()]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get::<_, Json<Value>>(1)?.0))).collect()
}

/// Files that the target does not have yet, less those of records that lose theirs.
fn attachments(changed: &[Object], target: &[(String, Value)]) -> i64 {
    let known: HashSet<&str> =
        target.iter().filter_map(|(_, attachment)| attachment["location"].as_str()).collect();
    let size = |attachment: &Value| attachment["size"].as_i64().unwrap_or(0);
    let net = |record: &Object| match record.data.get("attachment") {
        None => 0,
        Some(Value::Null) => {
            let previous = target.iter().find(|(id, _)| *id == record.id);
            previous.map_or(0, |(_, attachment)| -size(attachment))
        }
        Some(attachment)
            if attachment["location"].as_str().is_some_and(|at| known.contains(at)) =>
        {
            0
        }
        Some(attachment) => size(attachment),
    };
    changed.iter().map(net).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(id: &str, data: &Value) -> Object {
        let data = data.as_object().unwrap().clone();
        Object { id: id.to_owned(), last_modified: Timestamp::ZERO, deleted: false, data }
    }

    #[test]
    fn only_new_files_count_and_removed_ones_are_subtracted() {
        let file = |location: &str, size: i64| json!({"location": location, "size": size});
        let target = [("kept".to_owned(), file("a", 10)), ("emptied".to_owned(), file("b", 200))];
        let changed = [
            record("kept", &json!({"attachment": file("a", 10)})),
            record("replaced", &json!({"attachment": file("c", 3_000)})),
            record("emptied", &json!({"attachment": null})),
            record("never", &json!({"attachment": null})),
            record("odd", &json!({"attachment": "what"})),
            record("plain", &json!({})),
        ];

        assert_eq!(attachments(&changed, &target), 3_000 - 200);
    }
}
