//! The headers of rendered lists.

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE, LAST_MODIFIED,
        VARY,
    },
};
use shared::{
    config::Changes,
    http::security_headers,
    model::Timestamp,
    wire::{SurrogateKey, cache_tag_header, surrogate_key_header},
};

use crate::answer::{Dictionaries, Dress, Role};

/// Headers that scripts in browsers may read.
pub const EXPOSED: &str = "Backoff, Retry-After, Alert, Content-Length, Content-Type, \
                           Last-Modified, ETag, Cache-Control, Expires, Pragma";

/// What every response carries, whatever it says.
pub fn common_headers(backoff: Option<u64>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    add_keys(&mut headers, &SurrogateKey::of_others());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if let Some(backoff) = backoff {
        headers.insert(HeaderName::from_static("backoff"), backoff.into());
    }
    headers
}

/// The names by which caches can be told to forget an answer.
pub fn add_keys(headers: &mut HeaderMap, keys: &[SurrogateKey]) {
    let values = [
        (HeaderName::from_static("surrogate-key"), surrogate_key_header(keys)),
        (HeaderName::from_static("cache-tag"), cache_tag_header(keys)),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}

/// Where lists get their headers.
#[derive(Debug)]
pub struct Wardrobe {
    common: HeaderMap,
    changes: Changes,
    dictionaries: Dictionaries,
}

impl Wardrobe {
    /// With these headers on everything, these lifetimes, and these rules for dictionaries.
    pub fn new(mut common: HeaderMap, changes: Changes, dictionaries: Dictionaries) -> Self {
        security_headers(http::StatusCode::OK, &mut common);
        common.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        common.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        Self { common, changes, dictionaries }
    }

    /// What entries of the monitor show as `host`.
    pub fn http_host(&self) -> &str {
        &self.changes.http_host
    }

    /// The headers and lifetimes of a collection's changesets. `last_modified` is the metadata's:
    /// it moves also when only the signature does (`remote-settings.md` §3.3).
    pub fn of(&self, bucket: &str, collection: &str, last_modified: Timestamp) -> Dress {
        let mut headers = self.common.clone();
        if let Ok(date) = HeaderValue::try_from(last_modified.http_date()) {
            headers.insert(LAST_MODIFIED, date);
        }
        let keys = if (bucket, collection) == ("monitor", "changes") {
            SurrogateKey::of_monitor()
        } else {
            SurrogateKey::of_collection(bucket, collection)
        };
        add_keys(&mut headers, &keys);
        let policy = self.changes.lifetimes.of(bucket, collection);
        Dress { headers, policy, dictionary: Role::of(bucket, collection, self.dictionaries) }
    }
}
