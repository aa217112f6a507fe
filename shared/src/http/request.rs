//! Parts of a request, decoded and checked.

use std::{borrow::Cow, time::SystemTime};

use http::{
    HeaderMap,
    header::{IF_MODIFIED_SINCE, IF_NONE_MATCH},
};
use percent_encoding::percent_decode_str;

use crate::{error::ApiError, model::Timestamp};

/// The decoded segments of a path: `/v1/buckets/a%20b` is `["v1", "buckets", "a b"]`.
///
/// An encoded slash stays in its segment, where no id accepts it.
///
/// # Errors
///
/// 400 `Invalid URL path.` when a segment is not UTF-8 (`kinto-http-api.md` §0.4).
pub fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, ApiError> {
    path.strip_prefix('/')
        .unwrap_or(path)
        .split('/')
        .map(|segment| percent_decode_str(segment).decode_utf8())
        .collect::<Result<_, _>>()
        .map_err(|_| ApiError::BadRequest("Invalid URL path.".into()))
}

/// The decoded query string, in the order in which it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes `application/x-www-form-urlencoded` text.
    ///
    /// # Errors
    ///
    /// 400 when it is not UTF-8. The reference's text, with its missing space.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        text.split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Some((decode(name)?, decode(value)?))
            })
            .collect::<Option<_>>()
            .map(Self)
            .ok_or_else(|| {
                ApiError::BadRequest(
                    format!(
                        "A request with an incorrect encoding in the querystring wasreceived. \
                         Please make sure your requests are encoded in UTF-8: {text}"
                    )
                    .into(),
                )
            })
    }

    /// The value of `name`, the last one when it is repeated.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Every (name, value) pair, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

fn decode(text: &str) -> Option<String> {
    let spaced = if text.contains('+') { text.replace('+', " ") } else { text.to_owned() };
    percent_decode_str(&spaced).decode_utf8().ok().map(Cow::into_owned)
}

/// Whether a client has what was last changed at `changed`: `If-Modified-Since`, which counts where no
/// `If-None-Match` is sent (RFC 9110 §13.1.3), to the second.
pub fn is_unmodified_since(headers: &HeaderMap, changed: Timestamp) -> bool {
    let sent = headers.get(IF_MODIFIED_SINCE).filter(|_| !headers.contains_key(IF_NONE_MATCH));
    let date = sent.and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let seconds = |time: SystemTime| Timestamp::from_system(time).as_millis() / 1_000;
    date.is_some_and(|date| seconds(date) >= changed.as_millis() / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_does_not_split_a_segment() {
        assert_eq!(segments("/v1/buckets/a%2Fb").unwrap(), ["v1", "buckets", "a/b"]);
        assert_eq!(segments("/v1/").unwrap(), ["v1", ""]);
        assert_eq!(segments("/").unwrap(), [""]);
        assert!(segments("/v1/%82%AC").is_err());
    }

    #[test]
    fn a_query_is_decoded_in_order() {
        let query = Query::parse("_since=%221%22&a=b+c&a=d&flag&&=x").unwrap();

        assert_eq!(query.get("_since"), Some("\"1\""));
        assert_eq!(query.get("a"), Some("d"));
        assert_eq!(query.all("a").collect::<Vec<_>>(), ["b c", "d"]);
        assert_eq!(query.get("flag"), Some(""));
        assert!(Query::parse("a=%FF").is_err());
    }
}
