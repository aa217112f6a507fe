//! What browsers ask before a script may ask (`kinto-http-api.md` §1.10).

use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    },
    request::Parts,
};
use shared::{
    error::{ApiError, Detail, Location},
    http::Reply,
};

use crate::{app::METHODS, snapshot::EXPOSED};

/// Answers OPTIONS of a known URL.
///
/// # Errors
///
/// 400 when it is no preflight, or asks for a method that writes.
pub fn answer(head: &Parts) -> Result<Reply, ApiError> {
    let missing: Vec<Detail> = [(ORIGIN, "Origin"), (ACCESS_CONTROL_REQUEST_METHOD, METHOD)]
        .into_iter()
        .filter(|(name, _)| !head.headers.contains_key(name))
        .map(|(_, shown)| {
            Detail::new(Location::Header, shown, format!("{shown} header is missing"))
        })
        .collect();
    if !missing.is_empty() {
        return Err(ApiError::Invalid(missing));
    }
    let wanted = text(head, &ACCESS_CONTROL_REQUEST_METHOD);
    if !METHODS.iter().any(|method| method.as_str() == wanted) {
        return Err(ApiError::invalid(Location::Header, METHOD, "Method not allowed"));
    }
    let asked = text(head, &ACCESS_CONTROL_REQUEST_HEADERS);
    let allowed = if asked.is_empty() { EXPOSED.to_owned() } else { format!("{EXPOSED}, {asked}") };
    Ok(Reply::json_bytes(StatusCode::OK, "null")
        .header(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, OPTIONS"))
        .header_text(ACCESS_CONTROL_ALLOW_HEADERS, &allowed)
        .header(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600")))
}

const METHOD: &str = "Access-Control-Request-Method";

fn text<'a>(head: &'a Parts, name: &HeaderName) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
