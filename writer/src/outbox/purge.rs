//! Caches are told what to forget (docs/cdn.md). Telling it twice does no harm.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header, request::Builder};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Failure, slack::accepted};
use crate::{
    app::App,
    config::{Cache, Template},
    store::outbox::Claimed,
};

/// Most keys of one request. Cloudflare took no more for long, and a header of so many keys is
/// below the 8 KiB that Varnish reads, unless ids are very long: see `MAX_BYTES`.
const MAX_KEYS: usize = 30;
/// Most bytes of the keys of one request.
const MAX_BYTES: usize = 4_000;

pub(super) async fn deliver(app: &App, entry: &Claimed) -> Result<(), Failure> {
    let Some(cache) = app.config.purge.caches.get(&entry.target) else {
        return Err(Failure::new(format!("purge.caches does not name {}", entry.target)));
    };
    for keys in chunks(&keys_of(&entry.payload)) {
        for request in requests(cache, keys) {
            let request = request.map_err(|_| Failure::new("the settings make no request"))?;
            accepted(app.outbox.outgoing.send(request).await)?;
        }
    }
    Ok(())
}

fn keys_of(payload: &Value) -> Vec<String> {
    let keys = payload["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect()
}

/// As many at a time as a request can name.
fn chunks(keys: &[String]) -> Vec<&[String]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (place, key) in keys.iter().enumerate() {
        if place > start && (place - start == MAX_KEYS || bytes + key.len() > MAX_BYTES) {
            chunks.push(&keys[start..place]);
            (start, bytes) = (place, 0);
        }
        bytes += key.len() + 1;
    }
    if start < keys.len() {
        chunks.push(&keys[start..]);
    }
    chunks
}

type Built = Result<Request<Bytes>, http::Error>;

const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");

fn requests(cache: &Cache, keys: &[String]) -> Vec<Built> {
    match cache {
        Cache::Fastly { url, token, soft } => {
            let request = Request::post(&url.0).header(SURROGATE_KEY, keys.join(" "));
            let request = if *soft { request.header("fastly-soft-purge", "1") } else { request };
            vec![secret(request, "fastly-key", &token.0).body(Bytes::new())]
        }
        Cache::Cloudflare { url, token } => {
            let request = Request::post(&url.0).header(header::CONTENT_TYPE, "application/json");
            let request = secret(request, "authorization", &format!("Bearer {}", token.0));
            vec![request.body(Bytes::from(json!({"tags": keys}).to_string()))]
        }
        Cache::Varnish { url } => {
            let method = Method::from_bytes(b"BAN").unwrap_or(Method::POST);
            let request = Request::builder().method(method).uri(&url.0);
            vec![request.header(SURROGATE_KEY, keys.join(" ")).body(Bytes::new())]
        }
        Cache::Http(template) if template.is_for_one() => {
            keys.chunks(1).map(|key| template.request(key)).collect()
        }
        Cache::Http(template) => vec![template.request(keys)],
    }
}

/// A header that no debug output shows.
fn secret(request: Builder, name: &'static str, value: &str) -> Builder {
    match HeaderValue::from_str(value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            request.header(name, value)
        }
        // The request is refused as a whole.
        Err(_) => request.header(name, "\n"),
    }
}

impl Template {
    /// Whether it has a place for one key only.
    fn is_for_one(&self) -> bool {
        let mut texts = self.headers.iter().map(|(_, value)| value).chain([&self.url, &self.body]);
        texts.any(|text| text.0.contains("{key}"))
    }

    fn request(&self, keys: &[String]) -> Built {
        let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut request =
            Request::builder().method(self.method.clone()).uri(fill(&self.url.0, keys, encode));
        for (name, value) in &self.headers {
            request = request.header(name, fill(&value.0, keys, str::to_owned));
        }
        request.body(Bytes::from(fill(&self.body.0, keys, str::to_owned)))
    }
}

fn fill(template: &str, keys: &[String], encode: impl Fn(&str) -> String) -> String {
    let places = [
        ("{keys}", keys.join(" ")),
        ("{tags}", keys.join(",")),
        ("{json}", json!(keys).to_string()),
        ("{key}", keys.first().cloned().unwrap_or_default()),
    ];
    // No key has a brace, so that nothing is filled in twice.
    places
        .iter()
        .fold(template.to_owned(), |text, (place, value)| text.replace(place, &encode(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn keys(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn template(url: &str, body: &str) -> Cache {
        Cache::Http(Template {
            method: Method::PUT,
            url: Secret(url.to_owned()),
            headers: vec![(HeaderName::from_static("x-keys"), Secret("{keys}".to_owned()))],
            body: Secret(body.to_owned()),
        })
    }

    fn only(cache: &Cache, names: &[&str]) -> Request<Bytes> {
        let mut requests = requests(cache, &keys(names));
        assert_eq!(requests.len(), 1);
        requests.remove(0).unwrap()
    }

    #[test]
    fn each_cache_is_told_in_its_own_words() {
        let (url, token) = (Secret("https://h/x".to_owned()), Secret("t".to_owned()));
        let two = ["main/cfr", "monitor/changes"];

        let fastly = Cache::Fastly { url: url.clone(), token: token.clone(), soft: true };
        let request = only(&fastly, &two);
        assert_eq!(request.headers()["surrogate-key"], "main/cfr monitor/changes");
        assert_eq!(request.headers()["fastly-key"], "t");
        assert_eq!(request.headers()["fastly-soft-purge"], "1");
        assert!(!format!("{request:?}").contains("\"t\""));

        let request = only(&Cache::Cloudflare { url: url.clone(), token }, &two);
        assert_eq!(request.headers()["authorization"], "Bearer t");
        assert_eq!(request.body(), r#"{"tags":["main/cfr","monitor/changes"]}"#.as_bytes());

        let request = only(&Cache::Varnish { url }, &two);
        assert_eq!(request.method().as_str(), "BAN");
        assert_eq!(request.headers()["surrogate-key"], "main/cfr monitor/changes");
    }

    #[test]
    fn templates_are_filled_in_for_all_keys_or_for_each() {
        let request = only(&template("https://h/p?k={tags}", "{\"purge\": {json}}"), &["a/b", "c"]);
        assert_eq!(request.uri(), "https://h/p?k=a%2Fb%2Cc");
        assert_eq!(request.headers()["x-keys"], "a/b c");
        assert_eq!(request.body(), r#"{"purge": ["a/b","c"]}"#.as_bytes());

        let each = requests(&template("https://h/{key}", ""), &keys(&["a/b", "c"]));
        let urls: Vec<String> =
            each.into_iter().map(|request| request.unwrap().uri().to_string()).collect();
        assert_eq!(urls, ["https://h/a%2Fb", "https://h/c"]);
    }

    #[test]
    fn many_keys_are_several_requests() {
        let short: Vec<String> = (0..70).map(|number| format!("b/{number}")).collect();
        let sizes: Vec<usize> = chunks(&short).iter().map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [30, 30, 10]);

        let long = vec!["x".repeat(1_024); 5];
        let sizes: Vec<usize> = chunks(&long).iter().map(|chunk| chunk.len()).collect();
        assert_eq!(sizes, [3, 2]);
        assert!(chunks(&[]).is_empty());
    }
}
