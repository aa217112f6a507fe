//! Lists in memory: filters, orders and pages of what is small and never in a table.
//!
//! The SQL of the writer's lists is tested against this module, so both mean the same.

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use super::{
    filter::{Comparison, Filter, Test},
    query::ListQuery,
    schema::Field,
    token::Cursor,
};

/// An object of a list, with its `id` and `last_modified`.
pub type Object = Map<String, Value>;

/// The objects that every filter lets through.
pub fn filtered<'a>(
    objects: impl Iterator<Item = &'a Object>,
    filters: &[Filter],
) -> Vec<&'a Object> {
    let passes = |object: &&Object| {
        filters.iter().all(|filter| matches(member(object, &filter.field), &filter.test))
    };
    objects.filter(passes).collect()
}

/// The page of at most `limit` objects that begins after a place, and where the next one begins.
pub fn page<'a>(
    objects: impl Iterator<Item = &'a Object>,
    query: &ListQuery,
    after: Option<&Cursor>,
    limit: usize,
) -> (Vec<&'a Object>, Option<Cursor>) {
    let mut found = filtered(objects, &query.filters);
    found.sort_by(|a, b| order(query, &place(query, a), &place(query, b)));
    if let Some(after) = after {
        let after: Place = after.iter().map(|text| parsed(text.as_deref())).collect();
        found.retain(|object| order(query, &place(query, object), &after).is_gt());
    }
    let next = found.get(limit).and_then(|_| found.get(limit.checked_sub(1)?));
    let shown = |value: Option<Value>| value.map(|value| value.to_string());
    let next = next.map(|last| place(query, last).into_iter().map(shown).collect());
    found.truncate(limit);
    (found, next)
}

/// The values of an order's criteria in one object, then its id: two objects may have one
/// timestamp.
type Place = Vec<Option<Value>>;

fn place(query: &ListQuery, object: &Object) -> Place {
    let fields = query.sort.iter().map(|sort| &sort.field).chain([&Field::Id]);
    fields.map(|field| member(object, field).cloned()).collect()
}

fn parsed(text: Option<&str>) -> Option<Value> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

fn order(query: &ListQuery, a: &Place, b: &Place) -> Ordering {
    let descending = query.sort.iter().map(|sort| sort.descending).chain([false]);
    a.iter()
        .zip(b)
        .zip(descending)
        .map(|((a, b), descending)| {
            let order = compare(a.as_ref(), b.as_ref());
            if descending { order.reverse() } else { order }
        })
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn member<'a>(object: &'a Object, field: &Field) -> Option<&'a Value> {
    match field {
        Field::Id => object.get("id"),
        Field::LastModified => object.get("last_modified"),
        Field::Member(path) => {
            let (first, rest) = path.split_first()?;
            rest.iter().try_fold(object.get(first)?, |value, name| value.get(name))
        }
    }
}

/// Null, texts, numbers, booleans, arrays, objects, and what is missing, in this order
/// (`kinto-http-api.md` §3.2.3).
fn rank(value: Option<&Value>) -> u8 {
    match value {
        Some(Value::Null) => 0,
        Some(Value::String(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::Bool(_)) => 3,
        Some(Value::Array(_)) => 4,
        Some(Value::Object(_)) => 5,
        None => 6,
    }
}

/// How two values compare. Arrays and objects do by their size first, as PostgreSQL's `jsonb`.
pub fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => numbers(a, b),
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Array(a)), Some(Value::Array(b))) => a.len().cmp(&b.len()).then_with(|| {
            let pairs = a.iter().zip(b).map(|(a, b)| compare(Some(a), Some(b)));
            first_difference(pairs)
        }),
        (Some(Value::Object(a)), Some(Value::Object(b))) => a.len().cmp(&b.len()).then_with(|| {
            let pairs = a.iter().zip(b);
            first_difference(
                pairs.map(|(a, b)| a.0.cmp(b.0).then_with(|| compare(Some(a.1), Some(b.1)))),
            )
        }),
        _ => rank(a).cmp(&rank(b)),
    }
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn numbers(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        // No JSON number is NaN.
        _ => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
    }
}

/// Whether a member, `None` where it is missing, is as the test wants it.
pub fn matches(value: Option<&Value>, test: &Test) -> bool {
    let among = |items: &[Value]| items.iter().any(|item| compare(value, Some(item)).is_eq());
    let items = value.and_then(Value::as_array);
    let holds = |wanted: &Value| {
        items
            .is_some_and(|items| items.iter().any(|item| compare(Some(item), Some(wanted)).is_eq()))
    };
    match test {
        Test::Compare(comparison, wanted) => compares(compare(value, Some(wanted)), *comparison),
        Test::In(items) => among(items),
        Test::Exclude(items) => !among(items),
        Test::Like(pattern) => value.and_then(text).is_some_and(|text| is_like(&text, pattern)),
        Test::Has(there) => value.is_some() == *there,
        Test::Contains(wanted) => items.is_some() && wanted.iter().all(holds),
        Test::ContainsAny(wanted) => wanted.iter().any(holds),
    }
}

fn compares(order: Ordering, comparison: Comparison) -> bool {
    match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::Different => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::AtMost => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::AtLeast => order.is_ge(),
    }
}

/// The text that `like_` sees: strings as they are, all others as PostgreSQL shows them.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => Some(json(value)),
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(json).collect::<Vec<_>>().join(", "))
        }
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| format!("\"{name}\": {}", json(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// `*` is any run of characters; without any, the text may stand anywhere (§3.2.6).
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern) = (text.to_lowercase(), pattern.to_lowercase());
    let pieces: Vec<&str> = pattern.split('*').collect();
    let [first, middle @ .., last] = pieces.as_slice() else { return text.contains(&pattern) };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        http::Query,
        listing::{Params, Schema},
        model::Timestamp,
    };

    fn query(text: &str) -> ListQuery {
        let params = Params::parse(&Query::parse(text).unwrap()).unwrap();
        ListQuery::new(params, &Schema::MONITOR, Timestamp::from_millis(1_000)).unwrap()
    }

    fn objects() -> Vec<Object> {
        [("a", 3, "main"), ("b", 5, "main"), ("c", 5, "other"), ("d", 1, "main")]
            .into_iter()
            .map(|(id, at, bucket)| {
                let object = json!({"id": id, "last_modified": at, "bucket": bucket});
                object.as_object().unwrap().clone()
            })
            .collect()
    }

    fn ids(text: &str) -> String {
        let objects = objects();
        let (query, mut after, mut all) = (query(text), None, Vec::new());
        loop {
            let (page, next) = page(objects.iter(), &query, after.as_ref(), 1);
            all.extend(page.iter().map(|object| object["id"].as_str().unwrap().to_owned()));
            match next {
                None => return all.concat(),
                next => after = next,
            }
        }
    }

    #[test]
    fn pages_follow_each_other_also_where_timestamps_are_equal() {
        for (text, expected) in [
            ("", "bcad"),
            ("_sort=bucket", "badc"),
            ("_sort=-bucket,last_modified", "cdab"),
            ("_sort=-id", "dcba"),
            ("_since=1", "bca"),
            ("bucket=main", "bad"),
            ("exclude_id=a,b", "cd"),
            ("like_bucket=O*h*R", "c"),
            ("like_bucket=ai", "bad"),
            ("last_modified=5", "bc"),
            ("host=x", ""),
        ] {
            assert_eq!(ids(text), expected, "{text}");
        }
    }

    #[test]
    fn runs_of_characters_do_not_overlap() {
        for (text, pattern, expected) in [
            ("aba", "ab*ba", false),
            ("abba", "ab*ba", true),
            ("x", "*", true),
            ("", "", true),
            ("abc", "*b*", true),
            ("ÄB", "ä*", true),
        ] {
            assert_eq!(is_like(text, pattern), expected, "{text} {pattern}");
        }
    }
}
