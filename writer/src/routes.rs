//! URL to [`Route`]: the table of contents.

use http::Method;
use shared::{
    error::ApiError,
    http::segments,
    model::{Id, ListPath, Resource},
};

use crate::{
    config::{Config, Redirect},
    endpoints::{self, Endpoint},
};

/// What a URL addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/v1/`
    Hello,
    /// `/v1/__heartbeat__`
    Heartbeat,
    /// `/v1/__lbheartbeat__`
    LoadBalancerHeartbeat,
    /// `/v1/__version__`
    Version,
    /// `/v1/__metrics__`
    Metrics,
    /// `/v1/__api__`
    OpenApi,
    /// `/v1/contribute.json`
    Contribute,
    /// `/v1/batch`
    Batch,
    /// `/v1/openid/{provider}/login` and `/v1/openid/{provider}/token`
    OpenId {
        /// The provider's name in the settings, unchecked.
        provider: String,
        /// Which of the two.
        step: LoginStep,
    },
    /// `/v1/permissions`
    Permissions,
    /// `/v1/__flush__`
    Flush,
    /// `/v1/__counters__`
    Counters,
    /// `/v1/__user_data__`, which has no method, or what is below: a principal.
    UserData(Option<String>),
    /// The list of published collections.
    Monitor,
    /// The same in its legacy form.
    MonitorRecords,
    /// What push services poll.
    Broadcasts,
    /// A list of objects.
    List(Parent),
    /// One object, by an id that is not checked yet: that comes after authorization (§2.3.3).
    Object(Parent, String),
    /// What a bucket or collection holds, and may hold; the id is not checked yet either.
    Quota(Parent, String),
    /// A collection's records as they were; the time is not checked yet.
    Snapshot(Parent, String),
    /// What changed in a collection.
    Changeset(Parent),
}

/// A part of a login at an OpenID provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginStep {
    /// The user is sent to the provider.
    Begin,
    /// The provider has sent the user back.
    End,
}

/// The list that a URL addresses. A malformed parent is told late for reads (§2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parent {
    /// Well-formed; it may not exist.
    Known(ListPath),
    /// Malformed: it cannot exist.
    Malformed {
        /// What the list would hold.
        holds: Resource,
        /// What kind of parent.
        resource: Resource,
        /// Its id as sent.
        id: String,
        /// The bucket around it, when that is well-formed: who may read that one is told.
        bucket: Option<Id>,
    },
}

impl Route {
    /// Finds the route of an undecoded path.
    ///
    /// # Errors
    ///
    /// 404, or 400 when the path is not UTF-8.
    pub fn parse(path: &str) -> Result<Self, ApiError> {
        let segments = segments(path)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        // Nothing has a slash in its name (§1.6.4).
        if segments.iter().any(|segment| segment.contains('/')) {
            return Err(ApiError::NoSuchEndpoint);
        }
        Ok(match *segments {
            ["v1", ""] => Self::Hello,
            ["__heartbeat__"] | ["v1", "__heartbeat__"] => Self::Heartbeat,
            ["__lbheartbeat__"] | ["v1", "__lbheartbeat__"] => Self::LoadBalancerHeartbeat,
            ["__version__"] | ["v1", "__version__"] => Self::Version,
            ["__metrics__"] | ["v1", "__metrics__"] => Self::Metrics,
            ["v1", "__api__"] => Self::OpenApi,
            ["v1", "contribute.json"] => Self::Contribute,
            ["v1", "batch"] => Self::Batch,
            ["v1", "permissions"] => Self::Permissions,
            ["v1", "__flush__"] => Self::Flush,
            ["v1", "__counters__"] => Self::Counters,
            ["v1", "__user_data__"] => Self::UserData(None),
            ["v1", "__user_data__", p] if !p.is_empty() => Self::UserData(Some(p.to_owned())),
            ["v1", "__broadcasts__"] => Self::Broadcasts,
            ["v1", "buckets", "monitor", "collections", "changes", "changeset"] => Self::Monitor,
            ["v1", "buckets", "monitor", "collections", "changes", "records"] => {
                Self::MonitorRecords
            }
            ["v1", "buckets", ref below @ ..] => {
                Self::below_buckets(below).ok_or(ApiError::NoSuchEndpoint)?
            }
            ["v1", "accounts"] => Self::List(Parent::Known(ListPath::Accounts)),
            ["v1", "accounts", a] if !a.is_empty() => {
                Self::Object(Parent::Known(ListPath::Accounts), a.to_owned())
            }
            ["v1", "openid", provider, "login"] => {
                Self::OpenId { provider: provider.to_owned(), step: LoginStep::Begin }
            }
            ["v1", "openid", provider, "token"] => {
                Self::OpenId { provider: provider.to_owned(), step: LoginStep::End }
            }
            [first, ..] if first.starts_with("v1") => return Err(ApiError::NoSuchEndpoint),
            _ => return Err(ApiError::NoSuchVersion),
        })
    }

    /// `/v1/buckets`, by the segments below it.
    fn below_buckets(segments: &[&str]) -> Option<Self> {
        Some(match *segments {
            [] => Self::List(Parent::Known(ListPath::Buckets)),
            [b] if !b.is_empty() => Self::Object(Parent::Known(ListPath::Buckets), b.to_owned()),
            [b, "groups"] => Self::List(groups(b)),
            [b, "groups", g] if !g.is_empty() => Self::Object(groups(b), g.to_owned()),
            [b, "collections"] => Self::List(collections(b)),
            [b, "collections", c] if !c.is_empty() => Self::Object(collections(b), c.to_owned()),
            [b, "collections", c, "records"] => Self::List(records(b, c)),
            [b, "collections", c, "records", r] if !r.is_empty() => {
                Self::Object(records(b, c), r.to_owned())
            }
            [b, "quota"] => Self::Quota(Parent::Known(ListPath::Buckets), b.to_owned()),
            [b, "collections", c, "quota"] => Self::Quota(collections(b), c.to_owned()),
            [b, "collections", c, "changeset"] => Self::Changeset(records(b, c)),
            [b, "history"] => Self::List(history(b)),
            [b, "snapshot", "collections", last] => {
                let (c, at) = last.rsplit_once('@')?;
                if c.is_empty() || at.is_empty() {
                    return None;
                }
                Self::Snapshot(records(b, c), at.to_owned())
            }
            _ => return None,
        })
    }

    /// Finds the route of an undecoded path among those that exist with these settings.
    ///
    /// # Errors
    ///
    /// 404, or 400 when the path is not UTF-8.
    pub fn find(config: &Config, path: &str) -> Result<Self, ApiError> {
        let mut route = Self::parse(path)?;
        // Where nothing is published, the monitor is a bucket like any other.
        if route == Self::MonitorRecords && config.changes.monitored.buckets().is_empty() {
            route = Self::List(records("monitor", "changes"));
        }
        if !(route.endpoint().is_on)(config) {
            return Err(ApiError::NoSuchEndpoint);
        }
        if let Self::List(parent)
        | Self::Object(parent, _)
        | Self::Quota(parent, _)
        | Self::Snapshot(parent, _)
        | Self::Changeset(parent) = &mut route
        {
            parent.check(config);
        }
        Ok(route)
    }

    /// Whether it is about lists and objects, and runs in a transaction.
    pub const fn is_step(&self) -> bool {
        matches!(
            self,
            Self::List(_)
                | Self::Object(..)
                | Self::Quota(..)
                | Self::Snapshot(..)
                | Self::Changeset(_)
        )
    }

    /// Its line in the table of endpoints.
    pub const fn endpoint(&self) -> &'static Endpoint {
        match self {
            Self::Hello => &endpoints::HELLO,
            Self::Heartbeat => &endpoints::HEARTBEAT,
            Self::LoadBalancerHeartbeat => &endpoints::LB_HEARTBEAT,
            Self::Version => &endpoints::VERSION,
            Self::Metrics => &endpoints::METRICS,
            Self::OpenApi => &endpoints::OPENAPI,
            Self::Contribute => &endpoints::CONTRIBUTE,
            Self::Batch => &endpoints::BATCH,
            Self::Quota(parent, _) => match parent.holds() {
                Resource::Collection => &endpoints::COLLECTION_QUOTA,
                Resource::Bucket
                | Resource::Group
                | Resource::Record
                | Resource::Account
                | Resource::History => &endpoints::BUCKET_QUOTA,
            },
            Self::Snapshot(..) => &endpoints::SNAPSHOT,
            Self::Changeset(_) => &endpoints::CHANGESET,
            Self::Monitor => &endpoints::MONITOR,
            Self::MonitorRecords => &endpoints::MONITOR_RECORDS,
            Self::Broadcasts => &endpoints::BROADCASTS,
            Self::OpenId { step: LoginStep::Begin, .. } => &endpoints::OPENID_LOGIN,
            Self::OpenId { step: LoginStep::End, .. } => &endpoints::OPENID_TOKEN,
            Self::Permissions => &endpoints::PERMISSIONS,
            Self::Flush => &endpoints::FLUSH,
            Self::Counters => &endpoints::COUNTERS,
            Self::UserData(None) => &endpoints::ALL_USER_DATA,
            Self::UserData(Some(_)) => &endpoints::USER_DATA,
            Self::List(parent) => match parent.holds() {
                Resource::Bucket => &endpoints::BUCKETS,
                Resource::Group => &endpoints::GROUPS,
                Resource::Collection => &endpoints::COLLECTIONS,
                Resource::Record => &endpoints::RECORDS,
                Resource::Account => &endpoints::ACCOUNTS,
                Resource::History => &endpoints::HISTORY,
            },
            Self::Object(parent, _) => match parent.holds() {
                Resource::Bucket => &endpoints::BUCKET,
                Resource::Group => &endpoints::GROUP,
                Resource::Collection => &endpoints::COLLECTION,
                Resource::Record => &endpoints::RECORD,
                Resource::Account => &endpoints::ACCOUNT,
                Resource::History => &endpoints::HISTORY,
            },
        }
    }

    /// The name in metrics and logs; never an id.
    pub const fn name(&self) -> &'static str {
        self.endpoint().name
    }

    /// Refuses a method that the URL does not have.
    ///
    /// # Errors
    ///
    /// 405 with the methods that it has.
    pub fn allow(&self, config: &Config, method: &Method) -> Result<(), ApiError> {
        let allow = self.endpoint().methods(config);
        if allow.contains(method) { Ok(()) } else { Err(ApiError::MethodNotAllowed { allow }) }
    }
}

impl Parent {
    const fn holds(&self) -> Resource {
        match self {
            Self::Known(list) => list.resource(),
            Self::Malformed { holds, .. } => *holds,
        }
    }

    /// An id that the settings do not allow is as malformed as any other.
    fn check(&mut self, config: &Config) {
        let generators = &config.service.generators;
        let Self::Known(list) = &*self else { return };
        let holds = list.resource();
        let refused = match list {
            ListPath::Buckets | ListPath::Accounts => None,
            ListPath::Groups(bucket)
            | ListPath::Collections(bucket)
            | ListPath::History(bucket) => {
                Some((Resource::Bucket, bucket)).filter(|(kind, id)| !generators.accept(*kind, id))
            }
            ListPath::Records(bucket, collection) => {
                [(Resource::Bucket, bucket), (Resource::Collection, collection)]
                    .into_iter()
                    .find(|(kind, id)| !generators.accept(*kind, id))
            }
        };
        *self = match (refused, list) {
            (Some((Resource::Collection, id)), ListPath::Records(bucket, _)) => {
                malformed_collection(bucket.clone(), id)
            }
            (Some((resource, id)), _) => malformed(holds, resource, id),
            (None, _) => return,
        };
    }
}

fn groups(bucket: &str) -> Parent {
    match Id::new(bucket) {
        Ok(bucket) => Parent::Known(ListPath::Groups(bucket)),
        Err(_) => malformed(Resource::Group, Resource::Bucket, bucket),
    }
}

fn collections(bucket: &str) -> Parent {
    match Id::new(bucket) {
        Ok(bucket) => Parent::Known(ListPath::Collections(bucket)),
        Err(_) => malformed(Resource::Collection, Resource::Bucket, bucket),
    }
}

fn records(bucket: &str, collection: &str) -> Parent {
    match (Id::new(bucket), Id::new(collection)) {
        (Ok(bucket), Ok(collection)) => Parent::Known(ListPath::Records(bucket, collection)),
        (Err(_), _) => malformed(Resource::Record, Resource::Bucket, bucket),
        (Ok(bucket), Err(_)) => malformed_collection(bucket, collection),
    }
}

fn history(bucket: &str) -> Parent {
    match Id::new(bucket) {
        Ok(bucket) => Parent::Known(ListPath::History(bucket)),
        Err(_) => malformed(Resource::History, Resource::Bucket, bucket),
    }
}

fn malformed(holds: Resource, resource: Resource, id: &str) -> Parent {
    Parent::Malformed { holds, resource, id: id.to_owned(), bucket: None }
}

fn malformed_collection(bucket: Id, collection: &str) -> Parent {
    let (holds, resource) = (Resource::Record, Resource::Collection);
    Parent::Malformed { holds, resource, id: collection.to_owned(), bucket: Some(bucket) }
}

/// Where a URL that is not a route is redirected, if anywhere, and how (`kinto-http-api.md`
/// §1.5-1.6): below the version prefix, or without its trailing slashes.
pub fn redirect(config: &Config, path: &str) -> Option<(Redirect, String)> {
    let service = &config.service;
    if !is_versioned(path) {
        let upper = path.to_ascii_uppercase();
        let splits = upper.contains("%0A") || upper.contains("%0D");
        let target = (!splits && path.starts_with('/')).then(|| format!("/v1{path}"))?;
        return Some((service.version_redirect?, target));
    }
    Some((service.slash_redirect?, without_slashes(path)?))
}

/// Whether the first segment looks like a version: `v` and a digit.
pub fn is_versioned(path: &str) -> bool {
    let mut characters = path.strip_prefix('/').unwrap_or(path).chars();
    characters.next() == Some('v') && characters.next().is_some_and(|c| c.is_ascii_digit())
}

fn without_slashes(path: &str) -> Option<String> {
    if path == "/v1" {
        return Some("/v1/".to_owned());
    }
    let trimmed = path.trim_end_matches('/');
    (trimmed.len() < path.len() && trimmed.starts_with("/v1")).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use shared::config::Layers;

    use super::*;

    #[test]
    fn urls_have_their_routes() {
        let list = |path: &str| Route::parse(path).unwrap();

        assert_eq!(list("/v1/"), Route::Hello);
        assert_eq!(list("/__metrics__"), Route::Metrics);
        assert_eq!(list("/v1/buckets/b/collections/c/records/r").name(), "record-object");
        assert_eq!(list("/v1/buckets/_b/groups").name(), "group-plural");
        let snapshot = "/v1/buckets/b/snapshot/collections/";
        assert_eq!(list(&format!("{snapshot}c@1")).name(), "history_snapshot");
        assert_eq!(
            list(&format!("{snapshot}c@x@1")),
            Route::Snapshot(malformed_collection(Id::new("b").unwrap(), "c@x"), "1".into()),
            "the last @ counts"
        );
        for bad in ["c", "c@", "@1"] {
            assert!(Route::parse(&format!("{snapshot}{bad}")).is_err(), "{bad}");
        }
        for (path, errno) in
            [("/v1/buckets/a%2Fb", 111), ("/v1/unknown", 111), ("/v12/foo", 111), ("/v0/foo", 116)]
        {
            assert_eq!(Route::parse(path).unwrap_err().contract().1 as u16, errno, "{path}");
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        let config = Config::read(&mut Layers::new(crate::config::DEFAULTS)).unwrap();
        let redirect = |path| super::redirect(&config, path).map(|(_, target)| target);
        assert_eq!(redirect("/"), Some("/v1/".to_owned()));
        assert_eq!(redirect("/v1"), Some("/v1/".to_owned()));
        assert_eq!(redirect("/buckets"), Some("/v1/buckets".to_owned()));
        assert_eq!(redirect("/v1/unknown//"), Some("/v1/unknown".to_owned()));
        assert_eq!(redirect("//evil.example/x"), Some("/v1//evil.example/x".to_owned()));
        assert_eq!(redirect("/v1/buckets"), None);
        assert_eq!(redirect("/v2/"), None);
    }
}
