//! Settings that writer and reader have in common.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use super::Layers;
use crate::{
    chain::Role,
    http::{Limits, RequestLog},
    model::{Id, Timestamp},
    telemetry::LogFormat,
};

/// Where a service listens, and what it accepts.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Address and port.
    pub address: SocketAddr,
    /// Limits of connections and requests.
    pub limits: Limits,
}

impl Listen {
    /// Reads `listen` and `http.*`.
    pub fn read(layers: &mut Layers) -> Self {
        let address = layers.parsed("listen", "ADDRESS:PORT, as 127.0.0.1:8888");
        let seconds =
            |layers: &mut Layers, key: &str| Duration::from_secs(layers.number(key, 1, 3_600));
        let size = |layers: &mut Layers, key: &str, max: u64| {
            usize::try_from(layers.number(key, 1, max)).unwrap_or(1)
        };
        let log = layers
            .choice("log.requests", &[("all", RequestLog::All), ("errors", RequestLog::Errors)]);
        Self {
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0))),
            limits: Limits {
                max_body_bytes: size(layers, "http.max_body_bytes", 1 << 30),
                max_connections: size(layers, "http.max_connections", 1_000_000),
                head_timeout: seconds(layers, "http.head_timeout_seconds"),
                body_timeout: seconds(layers, "http.body_timeout_seconds"),
                grace: seconds(layers, "http.grace_seconds"),
                log: log.unwrap_or(RequestLog::Errors),
            },
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Telemetry {
    /// The form of a line.
    pub format: LogFormat,
    /// A level, or directives of `tracing`'s `EnvFilter`.
    pub filter: String,
}

impl Telemetry {
    /// Reads `log.format` and `log.level`.
    pub fn read(layers: &mut Layers) -> Self {
        let format =
            layers.choice("log.format", &[("json", LogFormat::Json), ("text", LogFormat::Text)]);
        Self { format: format.unwrap_or(LogFormat::Json), filter: layers.text("log.level") }
    }
}

/// Which collections are listed in `monitor/changes`, and so published
/// (`remote-settings.md` §3.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Monitored {
    included: Vec<(Id, Option<Id>)>,
    excluded: Vec<(Id, Option<Id>)>,
}

impl Monitored {
    /// Reads `changes.resources` and `changes.excluded_collections`.
    pub fn read(layers: &mut Layers) -> Self {
        Self {
            included: uris(layers, "changes.resources"),
            excluded: uris(layers, "changes.excluded_collections"),
        }
    }

    /// Whether the collection is published. A collection's URI matches exactly (D14).
    pub fn contains(&self, bucket: &str, collection: &str) -> bool {
        let matches = |(b, c): &(Id, Option<Id>)| {
            b.as_str() == bucket && c.as_ref().is_none_or(|c| c.as_str() == collection)
        };
        self.included.iter().any(matches) && !self.excluded.iter().any(matches)
    }

    /// Whether some collection of the bucket may be published.
    pub fn may_contain(&self, bucket: &str) -> bool {
        self.included.iter().any(|(b, _)| b.as_str() == bucket)
    }

    /// The buckets that hold published collections.
    pub fn buckets(&self) -> Vec<String> {
        let mut buckets: Vec<String> = self.included.iter().map(|(b, _)| b.to_string()).collect();
        buckets.sort();
        buckets.dedup();
        buckets
    }

    /// The configured URIs, as the capability shows them.
    pub fn uris(&self) -> Vec<String> {
        self.included
            .iter()
            .map(|(bucket, collection)| match collection {
                None => format!("/buckets/{bucket}"),
                Some(collection) => format!("/buckets/{bucket}/collections/{collection}"),
            })
            .collect()
    }
}

fn uris(layers: &mut Layers, key: &str) -> Vec<(Id, Option<Id>)> {
    let mut uris = Vec::new();
    for word in layers.words(key) {
        match parse_uri(&word) {
            Some(uri) => uris.push(uri),
            None => layers.problem(format!("{key}: `{word}` should be a bucket or collection URI")),
        }
    }
    uris
}

fn parse_uri(uri: &str) -> Option<(Id, Option<Id>)> {
    match *uri.split('/').collect::<Vec<_>>() {
        ["", "buckets", bucket] => Some((Id::new(bucket).ok()?, None)),
        ["", "buckets", bucket, "collections", collection] => {
            Some((Id::new(bucket).ok()?, Some(Id::new(collection).ok()?)))
        }
        _ => None,
    }
}

/// How long before their end certificates are warned of, in days.
#[derive(Debug, Clone, Copy)]
pub struct CertificateWarnings {
    leaf: u64,
    authority: u64,
}

impl CertificateWarnings {
    /// Reads `certificates.*`.
    pub fn read(layers: &mut Layers) -> Self {
        Self {
            leaf: layers.number("certificates.leaf_warning_days", 0, 36_500),
            authority: layers.number("certificates.authority_warning_days", 0, 36_500),
        }
    }

    /// Whether somebody must act about a certificate that ends at `end`.
    pub fn is_due(self, role: Role, end: Timestamp, now: Timestamp) -> bool {
        let days = if role == Role::Leaf { self.leaf } else { self.authority };
        let before = i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(86_400_000);
        end <= now.plus_millis(before)
    }
}

/// Lifetimes of changesets at caches (`remote-settings.md` §3.7).
#[derive(Debug, Clone, Default)]
pub struct RecordCache(BTreeMap<String, u32>);

/// Longest lifetime, in seconds, of an answer older than expected, where no minimum is set.
const STALE: u32 = 5;

const CACHE_SUFFIXES: [&str; 3] = [
    "record_cache_expires_seconds",
    "record_cache_minimum_expires_seconds",
    "record_cache_maximum_expires_seconds",
];

impl RecordCache {
    /// Reads `[{bucket}.[{collection}.]]record_cache_[minimum_|maximum_]expires_seconds`.
    pub fn read(layers: &mut Layers) -> Self {
        let mut keys = layers.keys(|key| CACHE_SUFFIXES.iter().any(|end| key.ends_with(end)));
        keys.extend(CACHE_SUFFIXES.map(str::to_owned));
        let mut ttls = BTreeMap::new();
        for key in keys {
            if let Some(ttl) = layers.lifetime(&key) {
                ttls.insert(key, ttl);
            }
        }
        Self(ttls)
    }

    /// The lifetimes, in seconds, of one collection.
    pub fn of(&self, bucket: &str, collection: &str) -> ttl::Policy {
        let own = |suffix: &str| self.0.get(&format!("{bucket}.{collection}.{suffix}")).copied();
        // A 0 in a fallback counts as unset.
        let fallback = self
            .0
            .get(&format!("{bucket}.{}", CACHE_SUFFIXES[0]))
            .or_else(|| self.0.get(CACHE_SUFFIXES[0]))
            .copied()
            .filter(|ttl| *ttl > 0);
        let [expires, minimum, maximum] = CACHE_SUFFIXES.map(own);
        ttl::Policy {
            plain: expires.or(fallback),
            minimum: minimum.or(expires).or(fallback),
            maximum: maximum.or(expires).or(fallback),
            stale: minimum.or(expires.or(fallback).map(|ttl| ttl.min(STALE))),
        }
    }
}

/// How long caches may keep a changeset.
pub mod ttl {
    /// Seconds, `None` where no header is sent.
    #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
    pub struct Policy {
        /// Without `_expected`.
        pub plain: Option<u32>,
        /// For `_expected=0` and `9999…`.
        pub minimum: Option<u32>,
        /// For every other `_expected`.
        pub maximum: Option<u32>,
        /// For answers older than expected, which must not stay under the new URL.
        pub stale: Option<u32>,
    }

    impl Policy {
        /// That of an answer older than expected (D16): the minimum, or 5 s where none is set.
        pub fn of_stale(self) -> u32 {
            self.stale.unwrap_or(5)
        }

        /// The same for every answer, whatever is expected, where it is not shorter already.
        #[must_use]
        pub fn all_stale(self) -> Self {
            let most = self.of_stale();
            let at_most = |ttl: Option<u32>| Some(ttl.map_or(most, |ttl| ttl.min(most)));
            Self {
                // Unset, it forbids caches to keep the legacy list.
                plain: self.plain.map(|ttl| ttl.min(most)),
                minimum: at_most(self.minimum),
                maximum: at_most(self.maximum),
                stale: self.stale,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_does_not_match_a_longer_name() {
        let mut layers = Layers::new(
            "[changes]\nresources = ['/buckets/main', '/buckets/b/collections/c']\n\
             excluded_collections = '/buckets/main/collections/secret'\n",
        );
        let monitored = Monitored::read(&mut layers);

        assert!(monitored.contains("main", "cfr"));
        assert!(!monitored.contains("main", "secret"));
        assert!(!monitored.contains("main-preview", "cfr"));
        assert!(monitored.contains("b", "c") && !monitored.contains("b", "c2"));
        assert_eq!(monitored.buckets(), ["b", "main"]);
        assert!(layers.finish().is_ok());
    }

    #[test]
    fn lifetimes_fall_back_from_collection_to_bucket_to_all() {
        let mut layers = Layers::new(
            "record_cache_expires_seconds = 7\n[monitor.changes]\n\
             record_cache_minimum_expires_seconds = 60\nrecord_cache_maximum_expires_seconds = 3600\n\
             [main]\nrecord_cache_expires_seconds = 0\n",
        );
        let cache = RecordCache::read(&mut layers);

        let monitor = cache.of("monitor", "changes");
        assert_eq!((monitor.minimum, monitor.maximum), (Some(60), Some(3_600)));
        assert_eq!(monitor.plain, Some(7));
        assert_eq!(monitor.stale, Some(60), "the minimum, where one is set");
        assert_eq!(cache.of("other", "x").stale, Some(5), "not what is set for all answers");
        assert_eq!(cache.of("main", "x").stale, None);
        assert_eq!(cache.of("main", "x").maximum, None, "a 0 in a fallback counts as unset");
        assert_eq!(cache.of("other", "x").maximum, Some(7));
    }
}
