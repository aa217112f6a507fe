//! One collection's state as it is stored: `{"metadata":{…},"records":[[deleted,{…}],…]}`.

use std::fmt::Debug;

use serde_json::{Map, Value};
use shared::{
    model::Timestamp,
    store::published::{Row, Version},
};

use super::Problem;
use crate::snapshot::{Change, Source};

const WRONG: Problem = Problem::Damaged("a collection's file is not what it should be");

/// The metadata as the database has it, and the records as clients see them.
pub(super) fn render(metadata: &Map<String, Value>, changes: &[Change]) -> Vec<u8> {
    let length: usize = changes.iter().map(|change| change.json.len() + 10).sum();
    let mut out = Vec::with_capacity(length + 1_024);
    out.extend_from_slice(b"{\"metadata\":");
    // Cannot fail: a map of JSON, into memory.
    let _ = serde_json::to_writer(&mut out, metadata);
    out.extend_from_slice(b",\"records\":[");
    for (place, change) in changes.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        let start: &[u8] = if change.deleted { b"[true," } else { b"[false," };
        out.extend_from_slice(start);
        out.extend_from_slice(&change.json);
        out.push(b']');
    }
    out.extend_from_slice(b"]}");
    out
}

#[derive(Debug, serde::Deserialize)]
struct Content {
    metadata: Map<String, Value>,
    records: Vec<(bool, Map<String, Value>)>,
}

/// # Errors
///
/// When it is no such document.
pub(super) fn parse(bytes: &[u8], version: Version) -> Result<Source<Vec<Row>>, Problem> {
    let Content { metadata, records } = serde_json::from_slice(bytes).map_err(|_| WRONG)?;
    let rows: Option<Vec<Row>> =
        records.into_iter().map(|(deleted, data)| row(deleted, data)).collect();
    Ok(Source { version, metadata, rows: rows.ok_or(WRONG)? })
}

fn row(deleted: bool, mut data: Map<String, Value>) -> Option<Row> {
    let Some(Value::String(id)) = data.remove("id") else { return None };
    let last_modified = Timestamp::from_millis(data.remove("last_modified")?.as_i64()?);
    Some(Row { id, last_modified, deleted, data })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn version() -> Version {
        Version {
            bucket: "main".to_owned(),
            collection: "cfr".to_owned(),
            timestamp: Timestamp::from_millis(9),
            metadata_timestamp: Timestamp::from_millis(10),
            tombstone_horizon: Timestamp::from_millis(0),
            public: true,
        }
    }

    #[test]
    fn what_is_read_is_what_was_written() {
        let objects = [
            (
                false,
                json!({"deleted": false, "id": "a", "last_modified": 9, "x": {"id": [1.5, "é"]}}),
            ),
            (true, json!({"deleted": true, "id": "b", "last_modified": 8})),
        ];
        let changes = objects.clone().map(|(deleted, object)| Change {
            last_modified: Timestamp::from_millis(object["last_modified"].as_i64().unwrap()),
            deleted,
            json: object.to_string().into_bytes(),
        });
        let Value::Object(metadata) = json!({"signature": {"x5u": "u"}}) else { unreachable!() };

        let source = parse(&render(&metadata, &changes), version()).unwrap();

        assert_eq!(source.metadata, metadata);
        let read: Vec<(bool, Value)> =
            source.rows.into_iter().map(|row| (row.deleted, row.into_value())).collect();
        assert_eq!(read, objects);
    }

    #[test]
    fn what_is_cut_short_is_refused() {
        let bytes = render(&Map::new(), &[]);

        assert!(parse(&bytes, version()).is_ok());
        assert!(parse(&bytes[..bytes.len() - 1], version()).is_err());
        assert!(parse(br#"{"metadata":{},"records":[[false,{"id":"a"}]]}"#, version()).is_err());
    }
}
