//! A request that was answered, in the words of Kinto's metrics (`kinto-http-api.md` §7.5.4).

use std::time::Duration;

use http::{Method, StatusCode};
use shared::http::segments;

/// One request that was answered, or one of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// The method.
    pub method: &'a Method,
    /// The path as sent.
    pub path: &'a str,
    /// The route's name.
    pub route: &'static str,
    /// The reply's status.
    pub status: StatusCode,
    /// The length of the reply's body, in bytes.
    pub bytes: usize,
    /// From the request to its reply.
    pub elapsed: Duration,
}

impl Answered<'_> {
    /// The method in small letters. Clients may invent methods; they do not get a series each.
    pub(super) fn method_name(&self) -> &'static str {
        match self.method.as_str() {
            "GET" => "get",
            "HEAD" => "head",
            "POST" => "post",
            "PUT" => "put",
            "PATCH" => "patch",
            "DELETE" => "delete",
            "OPTIONS" => "options",
            _ => "other",
        }
    }

    /// The name of the route in Kinto (§7.5.4).
    pub(super) fn endpoint(&self) -> &'static str {
        match self.route {
            "metrics" => "prometheus_metrics",
            "history" => "history-plural",
            "gone" | "readonly" => "unnamed",
            "unknown" if !self.path.starts_with("/v1") && self.status.is_redirection() => {
                "redirect_to_version"
            }
            "unknown" if self.status != StatusCode::NOT_FOUND => "unnamed",
            known => known,
        }
    }

    /// What the URL says of these fields, `bucket_id` or `record_id`; empty where it says nothing.
    pub(super) fn ids(&self, fields: &[String]) -> Vec<String> {
        // What a refused request names need not exist: it would be a series for each guess.
        let is_refused = self.status.as_u16() >= 400;
        let ids = if is_refused { Vec::new() } else { matchdict(self.path) };
        let value = |field: &String| {
            let found = ids.iter().find(|(name, _)| name == field);
            found.map_or_else(String::new, |(_, value)| value.clone())
        };
        fields.iter().map(value).collect()
    }
}

/// The ids of a URL by the names of their labels, `id` being the addressed object's again.
fn matchdict(path: &str) -> Vec<(&'static str, String)> {
    let Ok(segments) = segments(path) else { return Vec::new() };
    let Some((_, segments)) = segments.split_first() else { return Vec::new() };
    let mut ids: Vec<_> = segments
        .chunks(2)
        .filter_map(|pair| {
            let name = match pair.first()?.as_ref() {
                "buckets" => "bucket_id",
                "groups" => "group_id",
                "collections" => "collection_id",
                "records" => "record_id",
                "accounts" => "account_id",
                "__user_data__" => "principal",
                _ => return None,
            };
            Some((name, pair.get(1)?.to_string()))
        })
        .collect();
    if segments.len() % 2 == 0
        && let Some((_, last)) = ids.last().cloned()
    {
        ids.push(("id", last));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_s_ids_are_labels() {
        let ids = matchdict("/v1/buckets/b/collections/c/records/r%20x");

        let expected =
            [("bucket_id", "b"), ("collection_id", "c"), ("record_id", "r x"), ("id", "r x")];
        assert_eq!(ids, expected.map(|(name, value)| (name, value.to_owned())));
        let list = matchdict("/v1/buckets/b/groups");
        assert_eq!(list, [("bucket_id", "b".to_owned())]);
        assert!(matchdict("/v1/__heartbeat__").is_empty());
    }
}
