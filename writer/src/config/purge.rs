//! Caches that are told what to forget: `purge.*` (docs/cdn.md).

use std::{collections::BTreeMap, time::Duration};

use http::{HeaderName, HeaderValue, Method};
use shared::config::Layers;

use super::{
    OutgoingSettings, Secret,
    notifications::{EXPECTED, is_web_url},
};

/// The caches, and when they are told.
#[derive(Debug, Clone, Default)]
pub struct Purge {
    /// Time from the commit to the purge: readers must have the new bytes by then.
    pub delay: Duration,
    /// Time from the first purge to its repetition, for readers that were late.
    pub repeat_after: Option<Duration>,
    /// The caches, by their names in the outbox: `purge.edge`, `purge.varnish.1`.
    pub caches: BTreeMap<String, Cache>,
}

/// How one cache is told.
#[derive(Debug, Clone)]
pub enum Cache {
    /// Fastly's API.
    Fastly {
        /// `POST …/service/{id}/purge`
        url: Secret,
        /// `Fastly-Key`
        token: Secret,
        /// Whether answers only become stale, and are served until there are new ones.
        soft: bool,
    },
    /// Cloudflare's API.
    Cloudflare {
        /// `POST …/zones/{id}/purge_cache`
        url: Secret,
        /// A bearer token.
        token: Secret,
    },
    /// One Varnish with `deploy/varnish/countersign.vcl`.
    Varnish {
        /// Where it listens.
        url: Secret,
    },
    /// Any other.
    Http(Template),
}

/// A request with places for keys: `{keys}` (separated by blanks), `{tags}` (by commas), `{json}` (an
/// array of texts), or `{key}`, which makes a request for each.
#[derive(Debug, Clone)]
pub struct Template {
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: Secret,
    /// Its headers.
    pub headers: Vec<(HeaderName, Secret)>,
    /// Its body.
    pub body: Secret,
}

impl Purge {
    /// Reads the section.
    pub fn read(layers: &mut Layers, outgoing: &OutgoingSettings) -> Self {
        let delay = Duration::from_millis(layers.number("purge.delay_ms", 0, 600_000));
        let repeat = layers.number("purge.repeat_after_ms", 0, 3_600_000);
        let mut caches = BTreeMap::new();
        for name in layers.words("purge.caches") {
            read_cache(layers, &name, outgoing, &mut caches);
        }
        let repeat_after = Some(Duration::from_millis(repeat)).filter(|time| !time.is_zero());
        Self { delay, repeat_after, caches }
    }

    /// Whether anybody is told.
    pub fn is_on(&self) -> bool {
        !self.caches.is_empty()
    }
}

#[derive(Clone, Copy)]
enum CacheKind {
    Fastly,
    Cloudflare,
    Varnish,
    Http,
}

const KINDS: [(&str, CacheKind); 4] = [
    ("fastly", CacheKind::Fastly),
    ("cloudflare", CacheKind::Cloudflare),
    ("varnish", CacheKind::Varnish),
    ("http", CacheKind::Http),
];

fn read_cache(
    layers: &mut Layers,
    name: &str,
    outgoing: &OutgoingSettings,
    caches: &mut BTreeMap<String, Cache>,
) {
    let mut section = Section { layers, name, outgoing };
    let target = format!("purge.{name}");
    let Some(kind) = section.layers.choice(&section.key("kind"), &KINDS) else { return };
    let cache = match kind {
        CacheKind::Fastly => section.fastly(),
        CacheKind::Cloudflare => section.cloudflare(),
        CacheKind::Http => section.http(),
        CacheKind::Varnish => {
            for (place, url) in (1..).zip(section.urls()) {
                caches.insert(format!("{target}.{place}"), Cache::Varnish { url });
            }
            return;
        }
    };
    caches.extend(cache.map(|cache| (target, cache)));
}

/// `purge.{name}.*`
struct Section<'a> {
    layers: &'a mut Layers,
    name: &'a str,
    outgoing: &'a OutgoingSettings,
}

impl Section<'_> {
    fn key(&self, member: &str) -> String {
        format!("purge.{}.{member}", self.name)
    }

    fn fastly(&mut self) -> Option<Cache> {
        let service = self.id("service_id", "the id of the Fastly service");
        let soft = self.layers.flag(&self.key("soft"));
        let token = self.token();
        let api = self.api("https://api.fastly.com");
        let url = Secret(format!("{}/service/{}/purge", api?, service?));
        Some(Cache::Fastly { url, token: token?, soft })
    }

    fn cloudflare(&mut self) -> Option<Cache> {
        let zone = self.id("zone_id", "the id of the Cloudflare zone");
        let token = self.token();
        let api = self.api("https://api.cloudflare.com/client/v4");
        let url = Secret(format!("{}/zones/{}/purge_cache", api?, zone?));
        Some(Cache::Cloudflare { url, token: token? })
    }

    fn http(&mut self) -> Option<Cache> {
        let method = self.layers.optional(&self.key("method")).unwrap_or_else(|| "POST".to_owned());
        let method = Method::from_bytes(method.as_bytes());
        if method.is_err() {
            self.wrong("method", "expected a method, as POST");
        }
        let url = self.layers.required(&self.key("url"), "the URL of the cache's purge");
        let url = self.web_url("url", url);
        let headers = self.headers();
        let body = Secret(self.layers.text(&self.key("body")));
        Some(Cache::Http(Template { method: method.ok()?, url: url?, headers: headers?, body }))
    }

    fn urls(&mut self) -> Vec<Secret> {
        let urls = self.layers.words(&self.key("urls"));
        if urls.is_empty() {
            self.wrong("urls", "expected the URLs of the Varnishes");
        }
        urls.into_iter().filter_map(|url| self.web_url("urls", url)).collect()
    }

    /// `Name: value`, one a line.
    fn headers(&mut self) -> Option<Vec<(HeaderName, Secret)>> {
        let parsed: Option<Vec<_>> = self
            .layers
            .lines(&self.key("headers"))
            .iter()
            .map(|line| {
                let (name, value) = line.split_once(':')?;
                let name = HeaderName::from_bytes(name.trim().as_bytes()).ok()?;
                HeaderValue::from_str(value.trim()).ok()?;
                Some((name, Secret(value.trim().to_owned())))
            })
            .collect();
        if parsed.is_none() {
            self.wrong("headers", "expected `Name: value`, one a line");
        }
        parsed
    }

    fn token(&mut self) -> Option<Secret> {
        let token = self.layers.required(&self.key("token"), "the token of the cache's API");
        let is_good = !token.is_empty() && HeaderValue::from_str(&token).is_ok();
        if !token.is_empty() && !is_good {
            self.wrong("token", "expected a text that a header can carry");
        }
        is_good.then_some(Secret(token))
    }

    /// It becomes a part of a URL's path.
    fn id(&mut self, member: &str, what: &str) -> Option<String> {
        let id = self.layers.required(&self.key(member), what);
        let is_good = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_good {
            self.wrong(member, "expected letters and digits");
        }
        (is_good && !id.is_empty()).then_some(id)
    }

    fn api(&mut self, default: &str) -> Option<String> {
        let url = self.layers.optional(&self.key("url")).unwrap_or_else(|| default.to_owned());
        self.web_url("url", url).map(|url| url.0.trim_end_matches('/').to_owned())
    }

    fn web_url(&mut self, member: &str, url: String) -> Option<Secret> {
        if url.is_empty() {
            return None;
        }
        // As it will be asked for: braces belong into no URL.
        let plain = ["{keys}", "{tags}", "{json}", "{key}"]
            .iter()
            .fold(url.clone(), |text, place| text.replace(place, "x"));
        let is_good = is_web_url(&plain, self.outgoing);
        if !is_good {
            self.wrong(member, EXPECTED);
        }
        is_good.then_some(Secret(url))
    }

    fn wrong(&mut self, member: &str, expected: &str) {
        let key = self.key(member);
        self.layers.problem(format!("{key}: {expected}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::layers;

    fn read(layers: &mut Layers) -> Purge {
        let outgoing = OutgoingSettings::read(layers);
        Purge::read(layers, &outgoing)
    }

    #[test]
    fn each_cache_is_a_receiver_and_each_varnish_its_own() {
        let mut layers = layers(&[
            ("outgoing.allowed_hosts", "10.0.0.1 10.0.0.2"),
            ("purge.caches", "edge zone shield other"),
            ("purge.edge.kind", "fastly"),
            ("purge.edge.service_id", "SU1Z0isxPaozGVKXdv0eY"),
            ("purge.zone.kind", "cloudflare"),
            ("purge.zone.zone_id", "023e105f4ecef8ad9ca31a8372d0c353"),
            ("purge.zone.token", "cloudy"),
            ("purge.shield.kind", "varnish"),
            ("purge.shield.urls", "http://10.0.0.1:6081 http://10.0.0.2:6081"),
            ("purge.other.kind", "http"),
            ("purge.other.url", "https://h/purge?tags={tags}"),
            ("purge.other.headers", "X-Key: hidden"),
        ]);
        let token = ("COUNTERSIGN_PURGE_EDGE_TOKEN".to_owned(), "fast".to_owned());
        layers.environment([token].into_iter());

        let purge = read(&mut layers);

        let names: Vec<&String> = purge.caches.keys().collect();
        let expected =
            ["purge.edge", "purge.other", "purge.shield.1", "purge.shield.2", "purge.zone"];
        assert_eq!(names, expected);
        layers.finish().unwrap();
        let shown = format!("{}{purge:?}", layers.effective().join("\n"));
        for secret in ["cloudy", "\"fast\"", "= fast ", "hidden", "tags="] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_told() {
        for (settings, told) in [
            (vec![("purge.x.kind", "akamai")], "purge.x.kind is `akamai`"),
            (vec![("purge.x.kind", "fastly"), ("purge.x.service_id", "a")], "purge.x.token"),
            (vec![("purge.x.kind", "cloudflare"), ("purge.x.zone_id", "a/b")], "purge.x.zone_id"),
            (vec![("purge.x.kind", "varnish")], "purge.x.urls"),
            (vec![("purge.x.kind", "varnish"), ("purge.x.urls", "http://h/")], "purge.x.urls"),
            (
                vec![
                    ("purge.x.kind", "http"),
                    ("purge.x.url", "https://h/"),
                    ("purge.x.headers", "X"),
                ],
                "purge.x.headers",
            ),
        ] {
            let mut layers = layers(&settings);
            layers.set("purge.caches", "x");

            read(&mut layers);

            let problems = layers.finish().unwrap_err().to_string();
            assert!(problems.contains(told), "{problems}");
        }
    }

    #[test]
    fn without_a_cache_nothing_is_told() {
        let mut layers = layers(&[]);

        assert!(!read(&mut layers).is_on());
    }
}
