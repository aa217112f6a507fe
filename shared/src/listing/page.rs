//! The URL of the next page (§3.5.2).

use crate::http::Query;
use url::form_urlencoded::Serializer;

/// `url` with the parameters that were sent, but for the page's size and where to go on.
pub fn next_page(url: &str, sent: &Query, limit: u64, token: &str) -> String {
    let mut parameters = Serializer::new(String::new());
    for (name, value) in sent.iter().filter(|(name, _)| !matches!(*name, "_limit" | "_token")) {
        parameters.append_pair(name, value);
    }
    parameters.append_pair("_limit", &limit.to_string()).append_pair("_token", token);
    format!("{url}?{}", parameters.finish())
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
