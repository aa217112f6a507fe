//! URL to route: the table of contents.

use std::borrow::Cow;

use shared::{error::ApiError, http::segments};

/// What a URL is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// The API root.
    Hello,
    /// The list of published collections.
    Monitor,
    /// The same in its legacy form.
    MonitorRecords,
    /// What push services poll.
    Broadcasts,
    /// What changed in a collection.
    Changeset {
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
    /// A path without version: the same below `/v1`.
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
        Ok(match *names.as_slice() {
            ["v1", ""] => Self::Hello,
            ["v1", "buckets", "monitor", "collections", "changes", "changeset"] => Self::Monitor,
            ["v1", "buckets", "monitor", "collections", "changes", "records"] => {
                Self::MonitorRecords
            }
            ["v1", "buckets", _, "collections", _, "changeset"] => {
                let mut ids = segments.into_iter().skip(2).step_by(2);
                let (bucket, collection) = (ids.next(), ids.next());
                let (Some(bucket), Some(collection)) = (bucket, collection) else {
                    return Err(ApiError::NoSuchEndpoint);
                };
                Self::Changeset { bucket, collection }
            }
            ["v1", "cert-chains", .., last] if !last.is_empty() => {
                Self::Chain { path: names[2..].join("/") }
            }
            ["v1", name] | [name] if name.starts_with("__") => Self::service(name)?,
            ["v1"] => Self::AddVersion,
            ["v1", .., ""] => Self::DropSlash,
            [first, ..] if first.starts_with("v1") => return Err(ApiError::NoSuchEndpoint),
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
    fn service(name: &str) -> Result<Self, ApiError> {
        Ok(match name {
            "__lbheartbeat__" => Self::LbHeartbeat,
            "__heartbeat__" => Self::Heartbeat,
            "__version__" => Self::Version,
            "__broadcasts__" => Self::Broadcasts,
            "__metrics__" => Self::Metrics,
            _ => return Err(ApiError::NoSuchEndpoint),
        })
    }

    /// The name in metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Monitor => "monitor-changeset",
            Self::MonitorRecords => "monitor-records",
            Self::Broadcasts => "broadcasts",
            Self::Changeset { .. } => "changeset",
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
            Ok(Route::Changeset { bucket, collection }) => format!("{bucket}/{collection}"),
            Ok(Route::Chain { path }) => format!("chain {path}"),
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
            ("/v2/", "404/116"),
            ("/a%0d%0ab", "404/116"),
            ("/v1/%FF", "400/107"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
    }
}
