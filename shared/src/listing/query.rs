//! What a query string means for a list.

use crate::{
    error::{ApiError, Detail, Location},
    model::Timestamp,
};

use super::{
    filter::{self, Filter},
    params::Params,
    schema::{Field, Schema},
    select::Selection,
    sort::{self, Sort},
};

/// Most filters of one query: each costs the database some time for each object.
const MAX_FILTERS: usize = 100;

/// Most names in `_fields`: each costs some time for each object.
const MAX_FIELDS: usize = 500;

/// Which objects, in which order, and what of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuery {
    /// All must hold.
    pub filters: Vec<Filter>,
    /// The criteria; the last one is unique in the list.
    pub sort: Vec<Sort>,
    /// What of each object, if not all.
    pub selection: Option<Selection>,
    /// Whether tombstones are shown: they are, to whoever asks about timestamps (§2.9.2).
    pub with_tombstones: bool,
    /// The page's size as sent; `Some(0)` asks for all.
    pub limit: Option<u64>,
    /// Where to go on.
    pub token: Option<String>,
    /// Whether the deprecated `_to` was used (§3.6.3).
    pub uses_to: bool,
    /// What decides which objects come in which order: a token is bound to it.
    pub bound: Vec<(String, String)>,
}

impl ListQuery {
    /// Interprets parameters for the objects of `schema`. `now` bounds timestamps.
    ///
    /// # Errors
    ///
    /// 400 with every parameter that means nothing there.
    pub fn new(params: Params, schema: &Schema, now: Timestamp) -> Result<Self, ApiError> {
        let mut problems = Vec::new();
        let mut filters = Vec::new();
        let mut with_tombstones = false;
        for (name, form) in &params.filters {
            match filter::parse(name, form, schema, now) {
                Ok(filter) => {
                    let is_time = |filter: &Filter| filter.field == Field::LastModified;
                    with_tombstones |= filter.as_ref().is_none_or(is_time);
                    // Objects that have no timestamp ignore filters on it (§4.9.5).
                    filters.extend(filter.filter(|filter| schema.stored || !is_time(filter)));
                }
                Err(text) => problems.push(Detail::new(Location::QueryString, name, text)),
            }
        }
        let (order, unknown) = sort::parse(&params.sort, schema);
        let whole = |text: String| Detail::whole(Location::QueryString, text);
        problems.extend(unknown.iter().map(|name| whole(format!("Unknown sort field '{name}'"))));
        for (what, count, max) in [
            ("filters", filters.len(), MAX_FILTERS),
            ("sort fields", order.len(), sort::MAX),
            ("fields", params.fields.len(), MAX_FIELDS),
        ] {
            if count > max {
                problems.push(whole(format!("More than {max} {what}")));
            }
        }
        let selection = Selection::new(&params.fields, schema);
        match selection {
            Ok(selection) if problems.is_empty() => Ok(Self {
                filters,
                sort: order,
                selection,
                with_tombstones,
                limit: params.limit,
                token: params.token,
                uses_to: params.filters.iter().any(|(name, _)| name == "_to"),
                bound: params.bound,
            }),
            selection => {
                problems.extend(selection.err());
                Err(ApiError::Invalid(problems))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{http::Query, model::Resource};
    use serde_json::{Value, json};

    use super::{
        super::filter::{Comparison, Test},
        *,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn parse_for(resource: Resource, query: &str) -> Result<ListQuery, ApiError> {
        let params = Params::parse(&Query::parse(query).unwrap())?;
        ListQuery::new(params, Schema::of(resource), NOW)
    }

    fn parse(query: &str) -> Result<ListQuery, ApiError> {
        parse_for(Resource::Record, query)
    }

    fn only(query: &str) -> Filter {
        let mut filters = parse(query).unwrap().filters;
        assert_eq!(filters.len(), 1, "{query}");
        filters.remove(0)
    }

    fn equal(path: &[&str], value: Value) -> Filter {
        let path = path.iter().map(|name| (*name).to_owned()).collect();
        Filter { field: Field::Member(path), test: Test::Compare(Comparison::Equal, value) }
    }

    #[test]
    fn a_name_is_an_operator_and_a_field_or_a_field() {
        assert_eq!(only("n=1"), equal(&["n"], json!(1)));
        assert_eq!(only("eq_n=1"), equal(&["n"], json!(1)));
        assert_eq!(only("%20n%20=1"), equal(&["n"], json!(1)));
        assert_eq!(only("a.b=x"), equal(&["a", "b"], json!("x")));
        assert_eq!(only("madmax_n=1"), equal(&["madmax_n"], json!(1)));
        assert_eq!(only("GT_n=1"), equal(&["GT_n"], json!(1)));
        assert_eq!(only("gt_=1"), equal(&["gt_"], json!(1)));
        assert_eq!(only("in_x-y=1"), equal(&["in_x-y"], json!([1])));
        let contains_any = only("contains_any_=1");
        assert_eq!(contains_any.field, Field::Member(vec!["any_".to_owned()]));
        assert_eq!(contains_any.test, Test::Contains(vec![json!(1)]));
        assert_eq!(only("has_n=yes").test, Test::Has(true));
        for falsy in ["has_n=", "has_n=0", "has_n=false", "has_n=null"] {
            assert_eq!(only(falsy).test, Test::Has(false), "{falsy}");
        }
    }

    #[test]
    fn refusals_have_the_reference_s_texts() {
        let day_after_tomorrow = NOW.as_millis() + 48 * 3_600 * 1_000;
        for (query, text) in [
            ("in_id=1,2".to_owned(), "Invalid value for in_id"),
            ("exclude_id=1,a".to_owned(), "Invalid value for exclude_id"),
            ("_since=".to_owned(), "Invalid value for _since"),
            (format!("_since={day_after_tomorrow}"), "Invalid value for _since"),
            ("gt_last_modified=abc".to_owned(), "Invalid value for gt_last_modified"),
            ("gt_last_modified=-1".to_owned(), "Invalid value for gt_last_modified"),
            ("last_modified=null".to_owned(), "Invalid value for last_modified"),
            ("in_last_modified=1".to_owned(), "Invalid value for in_last_modified"),
            ("has_last_modified=true".to_owned(), "Invalid value for has_last_modified"),
            ("contains_last_modified=1".to_owned(), "Invalid value for contains_last_modified"),
            ("contains_id=a".to_owned(), "Field 'id' is not an array"),
            ("contains_any_id=a".to_owned(), "Field 'id' is not an array"),
            ("like_n=10".to_owned(), "Invalid value for like_n"),
            ("like_id=1".to_owned(), "Invalid value for like_id"),
            ("n=%00".to_owned(), "Invalid character 0x00"),
            ("in_n=a,%00".to_owned(), "Invalid character 0x00"),
            ("a%00=1".to_owned(), "Invalid character 0x00"),
            ("id=%00".to_owned(), "Invalid character 0x00"),
        ] {
            let body = parse(&query).unwrap_err().body();
            let detail = &body["details"][0];
            let name = query.split('=').next().unwrap().replace("%00", "\0");
            assert_eq!((&detail["name"], &detail["description"]), (&json!(name), &json!(text)));
        }
    }

    #[test]
    fn a_strict_list_refuses_what_it_does_not_know() {
        let message = |query: &str| {
            let body = parse_for(Resource::History, query).unwrap_err().body();
            body["message"].as_str().unwrap().to_owned()
        };

        assert_eq!(message("foo=1"), "Unknown filter field 'foo'");
        assert_eq!(message("gt_foo=1"), "Unknown filter field 'gt_foo'");
        assert_eq!(message("_sort=foo"), "querystring: Unknown sort field 'foo'");
        assert_eq!(
            message("_fields=foo,uri"),
            "Invalid _fields parameter in body: Fields foo do not exist"
        );
        let filter = &parse_for(Resource::History, "record_id=1").unwrap().filters[0];
        assert_eq!(*filter, equal(&["record_id"], json!("1")));
        assert!(parse_for(Resource::History, "target.data.x=1&_sort=-target.data.x").is_ok());
    }

    #[test]
    fn objects_without_timestamps_ignore_what_is_asked_about_them() {
        let parse = |query: &str| {
            let params = Params::parse(&Query::parse(query).unwrap()).unwrap();
            ListQuery::new(params, &Schema::PERMISSIONS, NOW)
        };
        let by_uri = Field::Member(vec!["uri".to_owned()]);

        let query = parse("_since=5&gt_last_modified=5&_sort=last_modified&id=\"7\"").unwrap();
        assert_eq!(query.filters, [equal(&["id"], json!("7"))]);
        assert_eq!(query.sort, [Sort { field: by_uri, descending: true }]);
        assert!(parse("foo=1").is_err());
        assert!(parse("_sort=foo").is_err());
    }

    #[test]
    fn tombstones_are_shown_to_whoever_asks_about_timestamps() {
        for (query, expected) in [
            ("", false),
            ("deleted=true", false),
            ("_since=0", true),
            ("_since=null", true),
            ("_before=5", true),
            ("last_modified=1", true),
            ("gt_last_modified=1", true),
        ] {
            assert_eq!(parse(query).unwrap().with_tombstones, expected, "{query}");
        }
    }

    #[test]
    fn what_costs_without_bound_is_refused() {
        let filters: Vec<String> = (0..=MAX_FILTERS).map(|n| format!("a{n}=1")).collect();
        assert!(parse(&filters.join("&")).is_err());
        let names: Vec<String> = (0..=sort::MAX).map(|n| format!("a{n}")).collect();
        assert!(parse(&format!("_sort={}", names.join(","))).is_err());
        assert!(parse(&format!("_fields={}", vec!["a"; MAX_FIELDS + 1].join(","))).is_err());
        let deep = vec!["a"; 10_000].join(".");
        assert!(
            matches!(only(&format!("{deep}=1")).field, Field::Member(path) if path.len() < 100)
        );
    }
}
