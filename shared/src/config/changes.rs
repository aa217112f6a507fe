//! Settings of `monitor/changes` and of changesets (`remote-settings.md` §3.1 and §4.1).

use http::Uri;

use super::{Layers, Monitored, PageSize, RecordCache};
use crate::http::Reply;

/// What readers and writers must agree on, to answer alike.
#[derive(Debug, Clone)]
pub struct Changes {
    /// Which collections are published.
    pub monitored: Monitored,
    /// Where clients are sent instead.
    pub redirects: Redirects,
    /// Lifetimes of changesets at caches.
    pub lifetimes: RecordCache,
    /// Hashed into the ids of entries, and shown in them; may be empty.
    pub http_host: String,
    /// Whether the legacy list exists.
    pub records_enabled: bool,
    /// Pages of the legacy list.
    pub pages: PageSize,
    /// Milliseconds between two values that push services are told.
    pub debounce_ms: i64,
}

/// Redirects of the monitor and of changesets (§3.4, §7.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Redirects {
    /// Older `_since` are redirected; `None` disables that.
    pub since_max_age_days: Option<u32>,
    /// Their lifetime at caches, in seconds; `None` for no header.
    pub ttl: Option<u32>,
    /// `scheme://host` that redirects name, or empty for relative ones.
    pub root: String,
    /// `http_scheme`, where it is set.
    pub scheme: Option<String>,
}

impl Changes {
    /// Reads them all.
    pub fn read(layers: &mut Layers) -> Self {
        let seconds =
            layers.number("push_broadcast_min_debounce_interval_seconds", 0, u64::from(u32::MAX));
        Self {
            monitored: Monitored::read(layers),
            redirects: Redirects::read(layers),
            lifetimes: RecordCache::read(layers),
            http_host: layers.text("http_host"),
            records_enabled: layers.flag("changes.records_enabled"),
            pages: PageSize::read(layers),
            debounce_ms: i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000),
        }
    }
}

impl Redirects {
    fn read(layers: &mut Layers) -> Self {
        // Negative numbers mean: disabled.
        let mut signed = |key: &str| {
            layers
                .parsed::<i64>(key, "a whole number")
                .and_then(|number| u32::try_from(number).ok())
        };
        let since_max_age_days = signed("changes.since_max_age_days");
        let ttl = signed("changes.since_max_age_redirect_ttl_seconds");
        let host = own_host(layers).or_else(|| layers.optional("http_host")).unwrap_or_default();
        let scheme = layers.optional("http_scheme");
        let root = absolute(scheme.as_deref().unwrap_or_default(), &host);
        Self { since_max_age_days, ttl, root, scheme }
    }

    /// 307 to a path of this service, at its public address.
    pub fn to(&self, path: &str, query: &str) -> Reply {
        let joint = if query.is_empty() { "" } else { "?" };
        Reply::redirect(&format!("{}{path}{joint}{query}", self.root))
    }
}

/// `changes.http_host`. Clients are sent there: what is no host would be a broken `Location`.
fn own_host(layers: &mut Layers) -> Option<String> {
    let host = layers.optional("changes.http_host")?;
    if !is_root(&absolute("", &host)) {
        layers.problem(format!(
            "changes.http_host is `{host}`: expected a host, as rs.example.net or rs.example.net:8443"
        ));
    }
    Some(host)
}

/// Whether it is `scheme://host` or `scheme://host:port`, and nothing more.
fn is_root(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    let Some((scheme, host)) = uri.scheme_str().zip(uri.host()) else { return false };
    let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    matches!(scheme, "http" | "https")
        && !host.is_empty()
        && text == format!("{scheme}://{host}{port}")
}

/// `scheme://host`, `https` where no scheme is given; some deployments have it in `http_host`.
pub fn absolute(scheme: &str, host: &str) -> String {
    if host.is_empty() || host.contains("://") {
        return host.trim_end_matches('/').to_owned();
    }
    let scheme = if scheme.is_empty() { "https" } else { scheme };
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Redirects {
        let mut layers = Layers::new("");
        for (key, value) in settings {
            layers.set(key, *value);
        }
        Redirects::read(&mut layers)
    }

    #[test]
    fn redirects_name_the_host_that_clients_know() {
        assert_eq!(read(&[]).root, "");
        assert_eq!(read(&[("http_host", "origin")]).root, "https://origin");
        let cdn = read(&[
            ("http_host", "origin"),
            ("changes.http_host", "cdn.example.net"),
            ("http_scheme", "http"),
        ]);
        assert_eq!(cdn.to("/v1/x", "a=1").headers["location"], "http://cdn.example.net/v1/x?a=1");
        assert_eq!(cdn.to("/v1/x", "").headers["location"], "http://cdn.example.net/v1/x");
    }

    #[test]
    fn clients_are_sent_to_a_host_and_nothing_else() {
        for (host, is_good) in [
            ("rs.example.net", true),
            ("rs.example.net:8443", true),
            ("http://rs.example.net", true),
            ("https://rs.example.net/", true),
            ("[::1]:80", true),
            ("x y", false),
            ("https://a b", false),
            ("x.y/path", false),
            ("x.y?a=b", false),
            ("x.y#a", false),
            ("u@x.y", false),
            ("x.y:", false),
            ("x.y:99999", false),
            ("ftp://x.y", false),
            ("https://", false),
        ] {
            let mut layers = Layers::new("");
            layers.set("changes.http_host", host);
            Redirects::read(&mut layers);
            assert_eq!(layers.finish().is_ok(), is_good, "{host}");
        }
    }

    #[test]
    fn negative_numbers_switch_off() {
        let redirects = read(&[
            ("changes.since_max_age_days", "-1"),
            ("changes.since_max_age_redirect_ttl_seconds", "60"),
        ]);
        assert_eq!((redirects.since_max_age_days, redirects.ttl), (None, Some(60)));
    }
}
