//! URL to [`Route`]: the table of contents.

use http::Method;
use shared::{
    error::ApiError,
    http::segments,
    model::{Id, ListPath, Resource},
};

use crate::{app::App, config::Plugin};

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
    /// `/v1/batch`
    Batch,
    /// `/v1/openid/{provider}/login` and `/v1/openid/{provider}/token`
    OpenId {
        /// The provider's name in the settings, unchecked.
        provider: String,
        /// Which of the two.
        step: LoginStep,
    },
    /// A list of objects.
    List(Parent),
    /// One object, by an id that is not checked yet: that comes after authorization (§2.3.3).
    Object(Parent, String),
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
    },
}

const SERVICE: &[Method] = &[Method::GET, Method::HEAD, Method::OPTIONS];
const BATCH: &[Method] = &[Method::POST, Method::OPTIONS];
const LIST: &[Method] = &[Method::HEAD, Method::GET, Method::POST, Method::DELETE, Method::OPTIONS];
const OBJECT: &[Method] =
    &[Method::GET, Method::HEAD, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

impl Route {
    /// Finds the route of an undecoded path, among those of the plug-ins that are switched on.
    ///
    /// # Errors
    ///
    /// As [`Route::parse`].
    pub fn find(app: &App, path: &str) -> Result<Self, ApiError> {
        let route = Self::parse(path)?;
        match route.plugin() {
            Some(plugin) if !app.config.plugins.has(plugin) => Err(ApiError::NoSuchEndpoint),
            _ => Ok(route),
        }
    }

    /// The plug-in that the route is a part of.
    fn plugin(&self) -> Option<Plugin> {
        match self {
            Self::OpenId { .. } => Some(Plugin::OpenId),
            Self::List(parent) | Self::Object(parent, _) if parent.holds() == Resource::Account => {
                Some(Plugin::Accounts)
            }
            Self::Hello
            | Self::Heartbeat
            | Self::LoadBalancerHeartbeat
            | Self::Version
            | Self::Metrics
            | Self::Batch
            | Self::List(_)
            | Self::Object(..) => None,
        }
    }

    /// Finds the route of an undecoded path.
    ///
    /// # Errors
    ///
    /// 404, or 400 when the path is not UTF-8.
    pub fn parse(path: &str) -> Result<Self, ApiError> {
        let segments = segments(path)?;
        let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
        Ok(match *segments {
            ["v1", ""] => Self::Hello,
            ["__heartbeat__"] | ["v1", "__heartbeat__"] => Self::Heartbeat,
            ["__lbheartbeat__"] | ["v1", "__lbheartbeat__"] => Self::LoadBalancerHeartbeat,
            ["__version__"] | ["v1", "__version__"] => Self::Version,
            ["__metrics__"] | ["v1", "__metrics__"] => Self::Metrics,
            ["v1", "batch"] => Self::Batch,
            ["v1", "buckets"] => Self::List(Parent::Known(ListPath::Buckets)),
            ["v1", "buckets", b] if !b.is_empty() => {
                Self::Object(Parent::Known(ListPath::Buckets), b.to_owned())
            }
            ["v1", "buckets", b, "groups"] => Self::List(groups(b)),
            ["v1", "buckets", b, "groups", g] if !g.is_empty() => {
                Self::Object(groups(b), g.to_owned())
            }
            ["v1", "buckets", b, "collections"] => Self::List(collections(b)),
            ["v1", "buckets", b, "collections", c] if !c.is_empty() => {
                Self::Object(collections(b), c.to_owned())
            }
            ["v1", "buckets", b, "collections", c, "records"] => Self::List(records(b, c)),
            ["v1", "buckets", b, "collections", c, "records", r] if !r.is_empty() => {
                Self::Object(records(b, c), r.to_owned())
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

    /// The name in metrics and logs; never an id.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::Heartbeat => "heartbeat",
            Self::LoadBalancerHeartbeat => "lbheartbeat",
            Self::Version => "version",
            Self::Metrics => "metrics",
            Self::Batch => "batch",
            Self::OpenId { step: LoginStep::Begin, .. } => "openid_login",
            Self::OpenId { step: LoginStep::End, .. } => "openid_token",
            Self::List(parent) => match parent.holds() {
                Resource::Bucket => "bucket-plural",
                Resource::Group => "group-plural",
                Resource::Collection => "collection-plural",
                Resource::Record => "record-plural",
                Resource::Account => "account-plural",
                Resource::History => "history-plural",
            },
            Self::Object(parent, _) => match parent.holds() {
                Resource::Bucket => "bucket-object",
                Resource::Group => "group-object",
                Resource::Collection => "collection-object",
                Resource::Record => "record-object",
                Resource::Account => "account-object",
                Resource::History => "history-object",
            },
        }
    }

    /// Refuses a method that the URL does not have.
    ///
    /// # Errors
    ///
    /// 405 with the methods that it has.
    pub fn allow(&self, method: &Method) -> Result<(), ApiError> {
        let allow = match self {
            Self::Batch => BATCH,
            Self::List(_) => LIST,
            Self::Object(..) => OBJECT,
            Self::Hello
            | Self::Heartbeat
            | Self::LoadBalancerHeartbeat
            | Self::Version
            | Self::Metrics
            | Self::OpenId { .. } => SERVICE,
        };
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
        (_, Err(_)) => malformed(Resource::Record, Resource::Collection, collection),
    }
}

fn malformed(holds: Resource, resource: Resource, id: &str) -> Parent {
    Parent::Malformed { holds, resource, id: id.to_owned() }
}

/// Where a URL that is not a route is redirected, if anywhere: below the version prefix, or
/// without its trailing slashes (`kinto-http-api.md` §1.5-1.6).
pub fn redirect(path: &str) -> Option<String> {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let mut characters = first.chars();
    let is_version =
        characters.next() == Some('v') && characters.next().is_some_and(|c| c.is_ascii_digit());
    if path == "/v1" {
        return Some("/v1/".to_owned());
    }
    if !is_version && !path.contains("%0A") && !path.contains("%0D") {
        return Some(format!("/v1{path}"));
    }
    let trimmed = path.trim_end_matches('/');
    (is_version && trimmed.len() < path.len() && trimmed.starts_with("/v1/"))
        .then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_their_routes() {
        let list = |path| Route::parse(path).unwrap();

        assert_eq!(list("/v1/"), Route::Hello);
        assert_eq!(list("/__metrics__"), Route::Metrics);
        assert_eq!(list("/v1/buckets/b/collections/c/records/r").name(), "record-object");
        assert_eq!(list("/v1/buckets/_b/groups").name(), "group-plural");
        let encoded = list("/v1/buckets/a%2Fb");
        assert_eq!(
            encoded,
            Route::Object(Parent::Known(ListPath::Buckets), "a/b".to_owned()),
            "no id accepts a slash"
        );
        for (path, errno) in [("/v1/unknown", 111), ("/v12/foo", 111), ("/v0/foo", 116)] {
            assert_eq!(Route::parse(path).unwrap_err().contract().1 as u16, errno, "{path}");
        }
    }

    #[test]
    fn redirects_stay_on_the_host() {
        assert_eq!(redirect("/"), Some("/v1/".to_owned()));
        assert_eq!(redirect("/v1"), Some("/v1/".to_owned()));
        assert_eq!(redirect("/buckets"), Some("/v1/buckets".to_owned()));
        assert_eq!(redirect("/v1/unknown//"), Some("/v1/unknown".to_owned()));
        assert_eq!(redirect("//evil.example/x"), Some("/v1//evil.example/x".to_owned()));
        assert_eq!(redirect("/v1/buckets"), None);
        assert_eq!(redirect("/v2/"), None);
    }
}
