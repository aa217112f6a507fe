//! What browsers may do from other origins (`kinto-http-api.md` §1.10).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use regex::Regex;
use shared::{
    config::Layers,
    error::{ApiError, Detail, Location},
    http::Reply,
};

use crate::{
    config::Config,
    endpoints::{self, Does, Endpoint},
};

/// `cors_origins` and `cors_max_age_seconds`.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Vec<Origin>,
    max_age: Option<u64>,
}

#[derive(Debug, Clone)]
struct Origin {
    text: String,
    pattern: Regex,
}

const BASE: [&str; 5] = ["Backoff", "Retry-After", "Alert", "Content-Length", "Content-Type"];
const OBJECT: [&str; 5] = ["Last-Modified", "ETag", "Cache-Control", "Expires", "Pragma"];
const LIST: [&str; 6] =
    ["Next-Page", "Last-Modified", "ETag", "Cache-Control", "Expires", "Pragma"];
const CHANGES: [&str; 4] = ["Last-Modified", "Cache-Control", "Expires", "Pragma"];
const COUNT: [&str; 2] = ["Total-Objects", "Total-Records"];

impl Cors {
    /// Reads the settings.
    pub fn read(layers: &mut Layers) -> Self {
        let mut origins = Vec::new();
        for text in layers.words("cors_origins") {
            match Regex::new(&pattern(&text)) {
                Ok(pattern) => origins.push(Origin { text, pattern }),
                Err(_) => layers.problem(format!("cors_origins: `{text}` is not a pattern")),
            }
        }
        Self { origins, max_age: layers.optional_number("cors_max_age_seconds", 0, 31_536_000) }
    }

    /// Refuses a request from an origin that may not ask.
    ///
    /// # Errors
    ///
    /// What is wrong with the header.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Detail> {
        let Some(origin) = sent(headers, &header::ORIGIN) else { return Ok(()) };
        let origin = String::from_utf8_lossy(origin.as_bytes());
        if self.origins.iter().any(|known| known.pattern.is_match(&origin)) {
            return Ok(());
        }
        Err(Detail::new(Location::Header, "Origin", format!("{origin} not allowed")))
    }

    /// Answers a browser that asks whether it may send a request.
    ///
    /// # Errors
    ///
    /// 400 with every header that is missing or wrong.
    pub fn preflight(
        &self,
        config: &Config,
        endpoint: &Endpoint,
        headers: &HeaderMap,
    ) -> Result<Reply, ApiError> {
        let origin = sent(headers, &header::ORIGIN).is_some();
        let wanted = sent(headers, &header::ACCESS_CONTROL_REQUEST_METHOD);
        self.check(headers).map_err(|detail| ApiError::Invalid(vec![detail]))?;
        let mut problems = Vec::new();
        let mut refuse = |header: &str, text: &str| {
            problems.push(Detail::new(Location::Header, header, text));
        };
        if !origin {
            refuse("Origin", "this header is mandatory");
        }
        if wanted.is_none() {
            refuse("Access-Control-Request-Method", "this header is mandatory");
        }
        let methods = endpoint.methods(config);
        let wanted = wanted.and_then(|name| Method::from_bytes(name.as_bytes()).ok());
        if origin && wanted.as_ref().is_some_and(|wanted| !methods.contains(wanted)) {
            refuse("Access-Control-Request-Method", "Method not allowed");
        }
        if !problems.is_empty() {
            return Err(ApiError::Invalid(problems));
        }
        let methods: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let mut reply = Reply::json_bytes(StatusCode::OK, "null")
            .header_text(header::ACCESS_CONTROL_ALLOW_METHODS, &methods.join(","))
            .header_text(header::ACCESS_CONTROL_ALLOW_HEADERS, &allowed(config, endpoint, headers));
        if let Some(seconds) = self.max_age {
            reply = reply.header(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
        Ok(reply)
    }

    /// The reply, with what a browser needs to show it to a page. Without an `endpoint` the URL
    /// is unknown or a redirect, where patterns do not count.
    pub fn decorate(
        &self,
        config: &Config,
        endpoint: Option<&Endpoint>,
        (method, headers): (&Method, &HeaderMap),
        mut reply: Reply,
    ) -> Reply {
        // No page reads what only the operator's machines ask for (§7.5.1).
        if endpoint.is_some_and(|endpoint| endpoint.name == endpoints::METRICS.name) {
            return reply;
        }
        if !self.allows_any() {
            reply = reply.header(header::VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = sent(headers, &header::ORIGIN)
            && self.is_shown(origin, endpoint.is_some())
        {
            reply = self.allow_origin(origin, reply);
        }
        let exposed = match endpoint {
            None => Some(BASE.join(",")),
            Some(_) if *method == Method::OPTIONS => None,
            Some(endpoint) => endpoint.does(config, method).map(|does| exposed(does).join(", ")),
        };
        match exposed {
            Some(names) => reply.header_text(header::ACCESS_CONTROL_EXPOSE_HEADERS, &names),
            None => reply,
        }
    }

    fn is_shown(&self, origin: &HeaderValue, patterns: bool) -> bool {
        let origin = String::from_utf8_lossy(origin.as_bytes());
        self.origins.iter().any(|known| {
            known.text == "*"
                || known.text == origin
                || (patterns && known.pattern.is_match(&origin))
        })
    }

    /// Whether any origin may ask, so that all see the same. Otherwise caches must know that answers
    /// differ, also those to requests without an origin.
    fn allows_any(&self) -> bool {
        self.origins.iter().any(|known| known.text == "*")
    }

    /// `*`, or the origin itself.
    fn allow_origin(&self, origin: &HeaderValue, reply: Reply) -> Reply {
        let any = const { HeaderValue::from_static("*") };
        let shown = if self.allows_any() { any } else { origin.clone() };
        reply.header(header::ACCESS_CONTROL_ALLOW_ORIGIN, shown)
    }
}

/// A header; an empty one is as good as none.
fn sent<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    headers.get(name).filter(|value| !value.is_empty())
}

/// What an operation resulted in, where its origin is refused: only what comes before the check of
/// headers goes before it (`kinto-http-api.md` §0.4). What it has written is rolled back.
///
/// # Errors
///
/// The operation's own, or 400.
pub fn judge<T>(refused: Option<&Detail>, result: Result<T, ApiError>) -> Result<T, ApiError> {
    let Some(detail) = refused else { return result };
    let mut details = vec![detail.clone()];
    match result {
        Err(ApiError::Invalid(more)) => details.extend(more),
        Err(error) if comes_before(&error) => return Err(error),
        Ok(_) | Err(_) => {}
    }
    Err(ApiError::Invalid(details))
}

fn comes_before(error: &ApiError) -> bool {
    let (status, _) = error.contract();
    status.is_server_error()
        || matches!(error, ApiError::NoSuchParent { .. })
        || matches!(
            status,
            StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_ACCEPTABLE
                | StatusCode::UNSUPPORTED_MEDIA_TYPE
        )
}

/// Response headers that a page may read (§1.10.3).
fn exposed(does: Does) -> Vec<&'static str> {
    let (more, counts): (&[&str], &[&str]) = match does {
        Does::List => (&LIST, &[]),
        Does::Count => (&LIST, &COUNT),
        Does::Get => (&OBJECT, &[]),
        Does::Changes => (&CHANGES, &[]),
        Does::Create
        | Does::DeleteList
        | Does::Update
        | Does::Patch
        | Does::Delete
        | Does::Show
        | Does::Inspect
        | Does::Probe
        | Does::ShowText
        | Does::Batch
        | Does::Command
        | Does::Redirect
        | Does::Purge => (&[], &[]),
    };
    [&BASE, more, counts].concat()
}

/// All that the endpoint exposes, and all that the browser asks for.
fn allowed(config: &Config, endpoint: &Endpoint, headers: &HeaderMap) -> String {
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let asked = asked.and_then(|names| names.to_str().ok()).unwrap_or_default();
    let asked = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
    let mut names: Vec<&str> =
        endpoint.enabled(config).flat_map(|action| exposed(action.does)).chain(asked).collect();
    names.sort_unstable();
    names.dedup();
    names.join(",")
}

/// A shell's pattern, `https://*.example.com`, as a regular expression.
fn pattern(glob: &str) -> String {
    let mut out = String::from(r"\A(?s:");
    let mut rest = glob;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match (character, rest.get(1..).and_then(|after| after.find(']'))) {
            ('*', _) => out.push_str(".*"),
            ('?', _) => out.push('.'),
            ('[', Some(end)) if rest.is_char_boundary(1) => {
                let (class, after) = rest.split_at(end + 1);
                out.push_str(&class_pattern(class));
                rest = &after[1..];
            }
            _ => out.push_str(&regex::escape(character.encode_utf8(&mut [0; 4]))),
        }
    }
    out + r")\z"
}

/// `[a-z]`, or `[!a-z]`: only `-` means something inside.
fn class_pattern(class: &str) -> String {
    let (negated, members) = class.strip_prefix('!').map_or(("", class), |members| ("^", members));
    let members: String = members
        .chars()
        .map(|c| if c == '-' { "-".to_owned() } else { regex::escape(&c.to_string()) })
        .collect();
    format!("[{negated}{members}]")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, text: &str) -> bool {
        Regex::new(&pattern(glob)).unwrap().is_match(text)
    }

    #[test]
    fn patterns_are_a_shell_s() {
        for (glob, text, expected) in [
            ("*", "http://a", true),
            ("https://*.example.com", "https://a.example.com", true),
            ("https://*.example.com", "https://example.com", false),
            ("https://*.example.com", "https://a.example.com.evil.org", false),
            ("https://*.example.com", "https://aXexampleXcom", false),
            ("http://a?", "http://ab", true),
            ("http://[ab]", "http://b", true),
            ("http://[!ab]", "http://b", false),
            ("http://[ab", "http://[ab", true),
        ] {
            assert_eq!(matches(glob, text), expected, "{glob} {text}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_a_pattern_that_matches_itself_or_has_signs(text in "\\PC{0,20}") {
            let made = Regex::new(&pattern(&text));
            let plain = !text.contains(['*', '?', '[']);
            prop_assert!(!plain || made.unwrap().is_match(&text));
        }
    }
}
