//! Pages of rows that are rendered already: a row is parsed only where its text does not do.

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    listing::{Body, Field, Filter, ListQuery, Sort, memory, token::Cursor},
    model::Timestamp,
};

use crate::snapshot::{Draft, Shown};

/// How many live objects every filter lets through.
pub(super) fn count(rows: &Draft, filters: &[Filter]) -> Result<usize, ApiError> {
    let mut found = 0;
    for (_, row) in rows.rows_from(0).filter(|(_, row)| !row.deleted) {
        found += usize::from(passes(row, filters)?);
    }
    Ok(found)
}

/// The body of a page, and where the next one begins.
pub(super) fn page(
    rows: &Draft,
    query: &ListQuery,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<(Vec<u8>, Option<Cursor>), ApiError> {
    let is_newest_first = query.sort == [Sort { field: Field::LastModified, descending: true }];
    let start = match after {
        None => Some(0),
        Some(after) => begin(rows, after).filter(|_| is_newest_first),
    };
    let (picked, next) = match start.filter(|_| is_newest_first) {
        Some(start) => in_order(rows, query, start, limit)?,
        None => sorted(rows, query, after, limit)?,
    };
    let mut body = Body::default();
    for row in picked.into_iter().filter_map(|index| rows.row(index)) {
        match &query.selection {
            None => body.push_json(row.json),
            Some(selection) => body.push(&selection.of(&parsed(row)?))?,
        }
    }
    Ok((body.finish(), next))
}

/// Where the rows begin that are older than a page's last one; timestamps are unique in a list.
fn begin(rows: &Draft, after: &Cursor) -> Option<usize> {
    let last = after.first()?.as_deref()?.parse().ok()?;
    Some(rows.count_from(Timestamp::from_millis(last)))
}

type Picked = (Vec<usize>, Option<Cursor>);

/// The rows are in this order already: nothing behind the page is looked at.
fn in_order(
    rows: &Draft,
    query: &ListQuery,
    start: usize,
    limit: usize,
) -> Result<Picked, ApiError> {
    let mut picked = Vec::new();
    for (index, row) in rows.rows_from(start) {
        if !is_shown(row, query) || !passes(row, &query.filters)? {
            continue;
        }
        if picked.len() == limit {
            let last = picked.last().and_then(|last| rows.row(*last));
            let last = last.map(parsed).transpose()?;
            return Ok((picked, last.map(|last| memory::after_of(query, &last))));
        }
        picked.push(index);
    }
    Ok((picked, None))
}

fn sorted(
    rows: &Draft,
    query: &ListQuery,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Picked, ApiError> {
    let mut picks = memory::Picks::new(query, after, limit);
    for (index, row) in rows.rows_from(0).filter(|(_, row)| is_shown(*row, query)) {
        picks.offer(index, &parsed(row)?);
    }
    Ok(picks.finish())
}

fn is_shown(row: Shown<'_>, query: &ListQuery) -> bool {
    query.with_tombstones || !row.deleted
}

/// Filters on the timestamp need no parser.
fn passes(row: Shown<'_>, filters: &[Filter]) -> Result<bool, ApiError> {
    let is_of_time = |filter: &&Filter| filter.field == Field::LastModified;
    let stamp = Value::from(row.last_modified.as_millis());
    let is_in_time =
        filters.iter().filter(is_of_time).all(|filter| memory::matches(Some(&stamp), &filter.test));
    if !is_in_time || filters.iter().all(|filter| is_of_time(&filter)) {
        return Ok(is_in_time);
    }
    Ok(memory::passes(&parsed(row)?, filters))
}

/// A row as an object.
pub(super) fn parsed(row: Shown<'_>) -> Result<Map<String, Value>, ApiError> {
    serde_json::from_slice(row.json).map_err(|error| ApiError::Internal(error.into()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use shared::{
        http::Query,
        listing::{Params, Schema},
    };

    use super::*;
    use crate::snapshot::Change;

    fn rows(count: i64) -> (Draft, Vec<Map<String, Value>>) {
        let mut objects: Vec<Map<String, Value>> = (1..=count)
            .map(|at| {
                let mut object = json!({"id": format!("r{at}"), "last_modified": at * 10});
                if at % 5 == 0 {
                    object["deleted"] = true.into();
                } else {
                    object["n"] = (at % 3).into();
                }
                object.as_object().unwrap().clone()
            })
            .collect();
        objects.reverse();
        let changes: Vec<Change> = objects
            .iter()
            .map(|object| Change {
                last_modified: Timestamp::from_millis(object["last_modified"].as_i64().unwrap()),
                deleted: object.contains_key("deleted"),
                json: Value::Object(object.clone()).to_string().into_bytes(),
            })
            .collect();
        (Draft::new(b"{}", Timestamp::ZERO, &changes), objects)
    }

    fn query(text: &str) -> ListQuery {
        let params = Params::parse(&Query::parse(text).unwrap()).unwrap();
        let schema = Schema::of(shared::model::Resource::Record);
        ListQuery::new(params, schema, Timestamp::from_millis(1_000_000)).unwrap()
    }

    proptest! {
        #[test]
        fn pages_of_rendered_rows_are_those_of_lists_in_memory(
            count in 0..30_i64,
            limit in 1..9_usize,
            filter in prop_oneof![
                Just(""), Just("n=1"), Just("_since=70"), Just("_since=70&not_n=1"),
                Just("_before=90"), Just("has_n=true"), Just("gt_last_modified=20&n=2"),
            ],
            sort in prop_oneof![
                Just(""), Just("_sort=-last_modified"), Just("_sort=last_modified"),
                Just("_sort=n"), Just("_sort=-n,id"), Just("_sort=-id"),
            ],
            fields in prop_oneof![Just(""), Just("_fields=n")],
        ) {
            let (rows, objects) = rows(count);
            let query = query(&format!("{filter}&{sort}&{fields}"));
            let shown = |object: &&Map<String, Value>| {
                query.with_tombstones || !object.contains_key("deleted")
            };
            let (mut after, mut turns) = (None, 0);
            loop {
                let ours = page(&rows, &query, after.as_ref(), limit).unwrap();
                let objects = objects.iter().filter(shown);
                let theirs = memory::page(objects, &query, after.as_ref(), limit);
                let mut body = Body::default();
                for object in theirs.0 {
                    match &query.selection {
                        Some(selection) => body.push(&selection.of(object)).unwrap(),
                        None => body.push(object).unwrap(),
                    }
                }
                prop_assert_eq!(String::from_utf8(ours.0), String::from_utf8(body.finish()));
                prop_assert_eq!(&ours.1, &theirs.1);
                after = ours.1;
                turns += 1;
                if after.is_none() {
                    break;
                }
                prop_assert!(turns < 40);
            }
        }
    }

    #[test]
    fn tombstones_are_not_counted() {
        let (rows, _) = rows(10);

        assert_eq!(rows.live(), 8);
        assert_eq!(count(&rows, &query("n=1").filters).unwrap(), 3);
        assert_eq!(count(&rows, &query("_since=0").filters).unwrap(), 8);
    }
}
