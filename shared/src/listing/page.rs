//! What a list's answer says beside its objects: how many there are, and where the next page is.

use std::fmt::Display;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::ListQuery;
use crate::http::{Query, Reply};

/// The URL of the next page (§3.5.2): `url` with the parameters that were sent, but for the page's
/// size and where to go on.
pub fn next_page(url: &str, sent: &Query, limit: u64, token: &str) -> String {
    let mut parameters = Serializer::new(String::new());
    for (name, value) in sent.iter().filter(|(name, _)| !matches!(*name, "_limit" | "_token")) {
        parameters.append_pair(name, value);
    }
    parameters.append_pair("_limit", &limit.to_string()).append_pair("_token", token);
    format!("{url}?{}", parameters.finish())
}

/// The answer to HEAD of a list: how many objects there are. The body is that of an empty list, of
/// which only the length is sent (§2.2).
pub fn counted(count: impl Display) -> Reply {
    let reply = Reply::json(StatusCode::OK, &json!({"data": []}));
    ["total-objects", "total-records"].into_iter().fold(reply, |reply, name| {
        reply.header_text(HeaderName::from_static(name), &count.to_string())
    })
}

/// Tells users of `_to` that it is deprecated (§3.6.3).
pub fn alert(reply: Reply, query: &ListQuery) -> Reply {
    const TEXT: &str = "{\"code\":\"soft-eol\",\
        \"message\":\"_to is now deprecated, you should use _before instead\",\
        \"url\":\"https://kinto.readthedocs.io/en/2.4.0/api/resource.html\
        #list-of-available-url-parameters\"}";

    if !query.uses_to {
        return reply;
    }
    reply.header(HeaderName::from_static("alert"), HeaderValue::from_static(TEXT))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_sent_stays_and_is_encoded_again() {
        let sent = Query::parse("_sort=a,-b&n=%22x%22&_limit=9&_token=old&s=a+b").unwrap();

        let url = next_page("http://h/v1/buckets", &sent, 2, "new");

        let parameters = "_sort=a%2C-b&n=%22x%22&s=a+b&_limit=2&_token=new";
        assert_eq!(url, format!("http://h/v1/buckets?{parameters}"));
    }

    proptest! {
        #[test]
        fn every_parameter_survives(pairs in proptest::collection::vec((".{1,8}", ".{0,8}"), 0..4)) {
            let pairs: Vec<(String, String)> =
                pairs.into_iter().map(|(name, value)| (format!("x{name}"), value)).collect();
            let mut text = Serializer::new(String::new());
            text.extend_pairs(&pairs);
            let sent = Query::parse(&text.finish()).unwrap();

            let url = next_page("", &sent, 1, "t");

            let again = Query::parse(url.trim_start_matches('?')).unwrap();
            let kept: Vec<_> = again.iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect();
            prop_assert_eq!(&kept[..pairs.len()], &pairs[..]);
        }
    }
}
