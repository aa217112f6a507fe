//! What `backport-records` copies where: `bucket/collection?filter=value -> bucket/collection`.

use std::fmt;

use serde_json::Value;
use shared::model::{Id, ObjectPath};
use url::form_urlencoded::Serializer;

/// One source and one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// What is copied.
    pub source: ObjectPath,
    /// Only these records: a query string as lists have it.
    pub filters: String,
    /// Where to.
    pub destination: ObjectPath,
}

impl Mapping {
    /// Reads a line. A bucket or collection of the destination that is not there is the source's.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, String> {
        let malformed = |why: &str| format!("`{line}`: {why}");
        let (source, destination) = line
            .split_once("->")
            .ok_or_else(|| malformed("expected bucket/collection -> bucket/collection"))?;
        let (source, filters) = source.trim().split_once('?').unwrap_or((source.trim(), ""));
        let parse = |text: &str| {
            let (bucket, collection) = text.trim().split_once('/')?;
            Some((bucket.to_owned(), collection.to_owned()))
        };
        let place = "expected bucket/collection on both sides";
        let source = parse(source).ok_or_else(|| malformed(place))?;
        let destination = parse(destination).ok_or_else(|| malformed(place))?;
        Self::new(source, filters.to_owned(), destination).map_err(|why| malformed(&why))
    }

    /// A mapping of (bucket, collection) to (bucket, collection).
    ///
    /// # Errors
    ///
    /// When an id is none, or both are the same.
    pub fn new(
        source: (String, String),
        filters: String,
        destination: (String, String),
    ) -> Result<Self, String> {
        let path = |(bucket, collection): (String, String)| {
            let id = |text: &str| Id::new(text).map_err(|_| format!("`{text}` is not an id"));
            Ok::<_, String>(ObjectPath::collection(id(&bucket)?, id(&collection)?))
        };
        let (source, destination) = (path(source)?, path(destination)?);
        if source == destination {
            return Err("source and destination are the same".to_owned());
        }
        Ok(Self { source, filters, destination })
    }

    /// Filters given as a JSON object, `{"min_age": 3}`, as a query string.
    ///
    /// # Errors
    ///
    /// When it is no object.
    pub fn filters_from_json(text: &str) -> Result<String, String> {
        let Ok(Value::Object(filters)) = serde_json::from_str(text) else {
            return Err(format!("`{text}` is not a JSON object of filters"));
        };
        let mut query = Serializer::new(String::new());
        for (name, value) in &filters {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            query.append_pair(name, &value);
        }
        Ok(query.finish())
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.source, self.destination)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_two_collections_and_filters() {
        let mapping = Mapping::parse(" a/b?min_n=3&x=y  ->  c/d ").unwrap();

        assert_eq!(mapping.to_string(), "/buckets/a/collections/b -> /buckets/c/collections/d");
        assert_eq!(mapping.filters, "min_n=3&x=y");
        for (line, why) in [
            ("a/b", "expected bucket/collection -> bucket/collection"),
            ("a/b -> c", "expected bucket/collection on both sides"),
            ("a -> c/d", "expected bucket/collection on both sides"),
            ("a/b -> c/_d", "`_d` is not an id"),
            ("a/b?x=y -> a/b", "source and destination are the same"),
        ] {
            assert_eq!(Mapping::parse(line), Err(format!("`{line}`: {why}")));
        }
    }

    #[test]
    fn filters_of_the_environment_are_json() {
        let filters = Mapping::filters_from_json(r#"{"min_n": 3, "x": "a b", "ok": true}"#);

        assert_eq!(filters.unwrap(), "min_n=3&ok=true&x=a+b");
        assert!(Mapping::filters_from_json("[1]").is_err());
    }
}
