//! What a client accepts and sends: `Accept` and `Content-Type` (`kinto-http-api.md` §1.12).

use http::{HeaderMap, Method, header};
use shared::error::{ApiError, Detail, Location};

use crate::service::ApiRequest;

/// The form of every body, here and there.
pub const JSON: &str = "application/json";
/// A patch that removes members by null (RFC 7396).
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// A patch that is a list of operations (RFC 6902).
pub const JSON_PATCH: &str = "application/json-patch+json";

const PATCHES: [&str; 3] = [JSON, MERGE_PATCH, JSON_PATCH];

/// Checks both headers of a request on an object or a list, before anybody is asked who they are
/// (§0.4).
///
/// # Errors
///
/// 406, 415.
pub fn check(request: &ApiRequest) -> Result<(), ApiError> {
    check_accept(&request.headers)?;
    match request.method {
        Method::POST | Method::PUT => check_content_type(&request.headers, &[JSON]),
        Method::PATCH => check_content_type(&request.headers, &PATCHES),
        _ => Ok(()),
    }
}

/// The body's kind must be one of `accepted`; none at all is fine.
///
/// # Errors
///
/// 415.
pub fn check_content_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), ApiError> {
    let sent = content_type(headers);
    if sent.is_empty() || accepted.contains(&sent.as_str()) {
        return Ok(());
    }
    Err(ApiError::UnsupportedMediaType(one_of("Content-Type", accepted)))
}

/// The kind of the body without its parameters; empty when there is none.
pub fn content_type(headers: &HeaderMap) -> String {
    let mut lines = headers.get_all(header::CONTENT_TYPE).iter();
    let sent = lines.next().map_or("", |sent| sent.to_str().unwrap_or("?"));
    // Several lines are a list (RFC 9110 §5.3), which is no kind.
    let sent = if lines.next().is_some() { "?" } else { sent };
    sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn check_accept(headers: &HeaderMap) -> Result<(), ApiError> {
    let sent: Vec<_> = headers.get_all(header::ACCEPT).iter().map(|sent| sent.to_str()).collect();
    // What cannot be read counts as absent.
    let Some(sent) = sent.into_iter().collect::<Result<Vec<_>, _>>().ok() else { return Ok(()) };
    if sent.is_empty() || accepts_json(&sent.join(",")) {
        return Ok(());
    }
    Err(ApiError::NotAcceptable(one_of("Accept", &[JSON])))
}

fn one_of(header: &str, kinds: &[&str]) -> Detail {
    let kinds: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
    let text = format!("{header} header should be one of [{}]", kinds.join(", "));
    Detail::new(Location::Header, header, text)
}

/// Whether JSON without parameters is acceptable: the most specific range that matches decides.
/// What is not a list of ranges says nothing, and everything is acceptable.
fn accepts_json(text: &str) -> bool {
    let mut best = (0, false);
    for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let Some((kind, quality)) = parse_range(range) else { return true };
        let specificity = match kind.as_str() {
            JSON => 3,
            "application/*" => 2,
            "*/*" => 1,
            _ => 0,
        };
        if specificity > best.0 {
            best = (specificity, quality);
        }
    }
    best.1
}

/// A range and whether its quality is more than 0. A range with parameters has a kind of its own.
fn parse_range(range: &str) -> Option<(String, bool)> {
    let mut parts = range.split(';').map(str::trim);
    let mut kind = parts.next()?.to_ascii_lowercase();
    if kind == "*" {
        "*/*".clone_into(&mut kind);
    }
    let (main, sub) = kind.split_once('/')?;
    if !is_token(main) || !is_token(sub) {
        return None;
    }
    for parameter in parts.filter(|part| !part.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("q") {
            let quality: f32 = value.parse().ok()?;
            return Some((kind, quality > 0.0));
        }
        kind.push_str(";with-parameters");
    }
    Some((kind, true))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides() {
        for text in [
            "*/*",
            "*",
            "text/*, application/*;q=0.5",
            "application/json, text/html",
            "APPLICATION/JSON",
            "text/html, */*;q=0.1",
            "application/json;q=0.001",
            "application/*;q=0, application/json",
            "application/json;version=\"1\", application/json",
            "application/json; q=0.5; ext=1",
            "application/json;;",
            "garbage",
            "a/b;q=x",
        ] {
            assert!(accepts_json(text), "{text}");
        }
        for text in [
            "",
            ",",
            "text/html",
            "text/html;level=1",
            "application/json;q=0",
            "application/json; version=1",
            "application/json;charset=utf-8",
            "application/vnd.api+json",
            "text/html;q=0.5, */*;q=0",
            "application/json;q=0, */*",
            "application/json;q=0, application/*",
        ] {
            assert!(!accepts_json(text), "{text}");
        }
    }
}
