//! URL to route: the table of contents.

use std::borrow::Cow;

use shared::{error::ApiError, http::segments};

use crate::public::Place;

/// Which API a URL belongs to: the second one has fewer endpoints, and stricter parameters
/// (`remote-settings.md` §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// `/v1`, which all clients know.
    V1,
    /// `/v2`, of recent ones.
    V2,
}

/// What a URL is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// The API root.
    Hello(Api),
    /// The list of published collections.
    Monitor(Api),
    /// The same in its legacy form.
    MonitorRecords,
    /// An ordinary object or list.
    Public(Place<'a>),
    /// What push services poll.
    Broadcasts(Api),
    /// What changed in a collection.
    Changeset {
        /// By whose rules.
        api: Api,
        /// The bucket's id, unchecked: it is only looked up.
        bucket: Cow<'a, str>,
        /// The collection's id, likewise.
        collection: Cow<'a, str>,
    },
    /// A certificate chain.
    Chain {
        /// Its path below `/v1/cert-chains/`, decoded.
        path: String,
    },
    /// Whether the process lives.
    LbHeartbeat,
    /// Whether the service is fit, for people and monitors.
    Heartbeat,
    /// Which build this is.
    Version,
    /// What operators watch.
    Metrics,
    /// A path without version: the same below `/v1`; or a version's without its slash.
    AddVersion,
    /// A path that ends in a slash too many.
    DropSlash,
}

impl<'a> Route<'a> {
    /// The route of a path.
    ///
    /// # Errors
    ///
    /// 404, or 400 when the path cannot be decoded (`kinto-http-api.md` §0.4, §1.5, §1.6).
    pub fn of(path: &'a str) -> Result<Self, ApiError> {
        let segments = segments(path)?;
        let names: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        let api = if names.first() == Some(&"v2") { Api::V2 } else { Api::V1 };
        Ok(match *names.as_slice() {
            ["v1" | "v2", ""] => Self::Hello(api),
            ["v1" | "v2", "buckets", "monitor", "collections", "changes", "changeset"] => {
                Self::Monitor(api)
            }
            ["v1", "buckets", "monitor", "collections", "changes", "records"] => {
                Self::MonitorRecords
            }
            ["v1" | "v2", "buckets", _, "collections", _, "changeset"] => {
                let mut ids = segments.into_iter().skip(2).step_by(2);
                let (bucket, collection) = (ids.next(), ids.next());
                let (Some(bucket), Some(collection)) = (bucket, collection) else {
                    return Err(ApiError::NoSuchEndpoint);
                };
                Self::Changeset { api, bucket, collection }
            }
            ["v1", "buckets", ..] if names.last() != Some(&"") => {
                Self::Public(Place::of(segments).ok_or(ApiError::NoSuchEndpoint)?)
            }
            ["v1" | "v2", "cert-chains", .., last] if !last.is_empty() => {
                Self::Chain { path: names[2..].join("/") }
            }
            ["v1" | "v2", name] | [name] if name.starts_with("__") => Self::service(api, name)?,
            ["v1" | "v2"] => Self::AddVersion,
            ["v1" | "v2", .., ""] => Self::DropSlash,
            [first, ..] if first.starts_with("v1") || first == "v2" => {
                return Err(ApiError::NoSuchEndpoint);
            }
            [first, ..] if is_version(first) || path.contains(['\r', '\n']) => {
                return Err(ApiError::NoSuchVersion);
            }
            _ if segments.iter().any(|segment| segment.contains(['\r', '\n'])) => {
                return Err(ApiError::NoSuchVersion);
            }
            _ => Self::AddVersion,
        })
    }

    /// Dockerflow's endpoints, with and without version.
    fn service(api: Api, name: &str) -> Result<Self, ApiError> {
        Ok(match name {
            "__lbheartbeat__" => Self::LbHeartbeat,
            "__heartbeat__" => Self::Heartbeat,
            "__version__" => Self::Version,
            "__broadcasts__" => Self::Broadcasts(api),
            "__metrics__" => Self::Metrics,
            _ => return Err(ApiError::NoSuchEndpoint),
        })
    }

    /// Whether those ask who keep the service running, and go on when it is over.
    pub fn is_operational(&self) -> bool {
        matches!(self, Self::LbHeartbeat | Self::Heartbeat | Self::Version | Self::Metrics)
    }

    /// The name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(Api::V1) => "hello",
            Self::Hello(Api::V2) => "v2-hello",
            Self::Monitor(Api::V1) => "monitor-changeset",
            Self::Monitor(Api::V2) => "v2-monitor-changeset",
            Self::MonitorRecords => "monitor-records",
            Self::Public(place) => place.name(),
            Self::Broadcasts(_) => "broadcasts",
            Self::Changeset { api: Api::V1, .. } => "changeset",
            Self::Changeset { api: Api::V2, .. } => "v2-changeset",
            Self::Chain { .. } => "chain",
            Self::LbHeartbeat => "lbheartbeat",
            Self::Heartbeat => "heartbeat",
            Self::Version => "version",
            Self::Metrics => "metrics",
            Self::AddVersion | Self::DropSlash => "redirect",
        }
    }
}

/// `v` and digits.
fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|digits| {
        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str) -> String {
        match Route::of(path) {
            Ok(Route::Changeset { api: Api::V1, bucket, collection }) => {
                format!("{bucket}/{collection}")
            }
            Ok(Route::Changeset { api: Api::V2, bucket, collection }) => {
                format!("v2 {bucket}/{collection}")
            }
            Ok(Route::Chain { path }) => format!("chain {path}"),
            Ok(Route::Public(place)) => format!("{place:?}").replace('"', ""),
            Ok(Route::AddVersion) => "add-version".to_owned(),
            Ok(Route::DropSlash) => "drop-slash".to_owned(),
            Ok(route) => route.name().to_owned(),
            Err(error) => {
                let (status, errno) = error.contract();
                format!("{}/{}", status.as_u16(), errno as u16)
            }
        }
    }

    #[test]
    fn every_url_has_its_route() {
        for (path, expected) in [
            ("/v1/", "hello"),
            ("/v1", "add-version"),
            ("/", "add-version"),
            ("/buckets/main", "add-version"),
            ("//evil.example/x", "add-version"),
            ("/v1/buckets/monitor/collections/changes/changeset", "monitor-changeset"),
            ("/v1/buckets/main/collections/cfr/changeset", "main/cfr"),
            ("/v1/buckets/a%20b/collections/c%2Fd/changeset", "a b/c/d"),
            ("/v1/buckets/main/collections/cfr/changeset/", "drop-slash"),
            ("/v1/cert-chains/a.chain", "chain a.chain"),
            ("/v1/cert-chains/g/chains/a.chain", "chain g/chains/a.chain"),
            ("/v1/cert-chains/", "drop-slash"),
            ("/v1/cert-chains/a/", "drop-slash"),
            ("/v1/cert-chains", "404/111"),
            ("/v1/__heartbeat__", "heartbeat"),
            ("/__heartbeat__", "heartbeat"),
            ("/__lbheartbeat__", "lbheartbeat"),
            ("/v1/__version__", "version"),
            ("/v1/__broadcasts__", "broadcasts"),
            ("/v1/buckets/monitor/collections/changes/records", "monitor-records"),
            ("/__metrics__", "metrics"),
            ("/v1/__other__", "404/111"),
            ("/v1/boo", "404/111"),
            ("/v12/foo", "404/111"),
            ("/v0/buckets", "404/116"),
            ("/v1/buckets", "Buckets"),
            ("/v1/buckets/", "drop-slash"),
            ("/v1/buckets/b", "Bucket(b)"),
            ("/v1/buckets/b/collections", "Collections(b)"),
            ("/v1/buckets/b/collections/c", "Collection(b, c)"),
            ("/v1/buckets/b/collections/c/records", "Records(b, c)"),
            ("/v1/buckets/b/collections/c/records/r", "Record(b, c, r)"),
            ("/v1/buckets/b/collections/c/records/r/x", "404/111"),
            ("/v1/buckets/b/groups", "404/111"),
            ("/v1/buckets/b/history", "404/111"),
            ("/v2/", "v2-hello"),
            ("/v2", "add-version"),
            ("/v2/buckets/monitor/collections/changes/changeset", "v2-monitor-changeset"),
            ("/v2/buckets/monitor/collections/changes/records", "404/111"),
            ("/v2/buckets/main/collections/cfr/changeset", "v2 main/cfr"),
            ("/v2/buckets/main/collections/cfr/changeset/", "drop-slash"),
            ("/v2/buckets/main/collections/cfr/records", "404/111"),
            ("/v2/buckets/main/collections/cfr", "404/111"),
            ("/v2/buckets", "404/111"),
            ("/v2/cert-chains/a.chain", "chain a.chain"),
            ("/v2/__broadcasts__", "broadcasts"),
            ("/v2/__heartbeat__", "heartbeat"),
            ("/v2/boo", "404/111"),
            ("/v3/", "404/116"),
            ("/a%0d%0ab", "404/116"),
            ("/v1/%FF", "400/107"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
    }
}
