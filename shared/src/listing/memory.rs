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
    objects.filter(|object| passes(object, filters)).collect()
}

/// Whether every filter lets the object through.
pub fn passes(object: &Object, filters: &[Filter]) -> bool {
    filters.iter().all(|filter| matches(member(object, &filter.field), &filter.test))
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
    let next = next.map(|last| after_of(query, last));
    found.truncate(limit);
    (found, next)
}

/// A page in the making, of objects that come one by one: what cannot be in it is forgotten, so that
/// it takes the memory of a page, whatever the list's length.
#[derive(Debug)]
pub struct Picks<'a> {
    query: &'a ListQuery,
    after: Option<Place>,
    limit: usize,
    found: Vec<(Place, usize)>,
}

impl<'a> Picks<'a> {
    /// The page of at most `limit` objects that begins after a place.
    pub fn new(query: &'a ListQuery, after: Option<&Cursor>, limit: usize) -> Self {
        let after = after.map(|after| after.iter().map(|text| parsed(text.as_deref())).collect());
        Self { query, after, limit, found: Vec::new() }
    }

    /// Offers an object, which stands at `index` of its list.
    pub fn offer(&mut self, index: usize, object: &Object) {
        if !passes(object, &self.query.filters) {
            return;
        }
        let place = place(self.query, object);
        if self.after.as_ref().is_some_and(|after| order(self.query, &place, after).is_le()) {
            return;
        }
        self.found.push((place, index));
        // Sorted now and then: the cost for each object stays that of sorting a page.
        if self.found.len() > self.limit.saturating_mul(2).saturating_add(64) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        self.found.sort_by(|(a, _), (b, _)| order(self.query, a, b));
        // One more than the page says that there is a next one.
        self.found.truncate(self.limit.saturating_add(1));
    }

    /// Where the page's objects stand, and where the next page begins.
    pub fn finish(mut self) -> (Vec<usize>, Option<Cursor>) {
        self.sort();
        let next =
            (self.found.len() > self.limit).then(|| self.found.get(self.limit.checked_sub(1)?));
        let next = next.flatten().map(|(place, _)| cursor(place.clone()));
        self.found.truncate(self.limit);
        (self.found.into_iter().map(|(_, index)| index).collect(), next)
    }
}

/// Where a page begins that comes after an object.
pub fn after_of(query: &ListQuery, object: &Object) -> Cursor {
    cursor(place(query, object))
}

fn cursor(place: Place) -> Cursor {
    place.into_iter().map(|value| value.map(|value| value.to_string())).collect()
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
            let mut picks = Picks::new(&query, after.as_ref(), 1);
            objects.iter().enumerate().for_each(|(at, object)| picks.offer(at, object));
            let (picked, next_picked) = picks.finish();
            let (page, next) = page(objects.iter(), &query, after.as_ref(), 1);
            let picked: Vec<_> = picked.into_iter().map(|at| &objects[at]).collect();
            assert_eq!((&picked, &next_picked), (&page, &next), "one by one, and all at once");
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
    fn a_page_of_a_long_list_is_that_of_the_sorted_list() {
        let long: Vec<Object> = (0..1_000_i64)
            .map(|at| {
                let bucket = (at * 7_919 % 1_000).to_string();
                let object = json!({"id": at.to_string(), "last_modified": at, "bucket": bucket});
                object.as_object().unwrap().clone()
            })
            .collect();
        let query = query("_sort=bucket&exclude_id=%223%22");
        let (whole, next) = page(long.iter(), &query, None, 10);
        let mut picks = Picks::new(&query, None, 10);
        long.iter().enumerate().for_each(|(at, object)| picks.offer(at, object));

        let (picked, next_picked) = picks.finish();

        assert_eq!(picked.into_iter().map(|at| &long[at]).collect::<Vec<_>>(), whole);
        assert_eq!(next_picked, next);
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
