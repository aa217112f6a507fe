//! The form of a batch: many requests in one body (`kinto-http-api.md` §6).

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};
use shared::{
    error::{ApiError, Detail, Location},
    http::{Reply, security_headers},
    json,
};

use crate::{
    body::python,
    config::Config,
    operations,
    routes::{Route, redirect},
    service::ApiRequest,
};

/// One request's reply, as the batch shows it (§6.3). The headers are all that the request alone
/// would have been answered with.
pub fn entry(request: &ApiRequest, mut reply: Reply) -> Value {
    security_headers(reply.status, &mut reply.headers);
    if reply.status != StatusCode::NOT_MODIFIED {
        reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
    }
    let headers: Map<String, Value> = reply
        .headers
        .iter()
        .filter_map(|(name, value)| Some((title(name.as_str()), value.to_str().ok()?.into())))
        .collect();
    json!({
        "status": reply.status.as_u16(),
        "path": percent_decode_str(&request.path).decode_utf8_lossy(),
        "headers": headers,
        "body": body(&request.method, &reply.body),
    })
}

/// JSON, or the text as it is.
fn body(method: &Method, bytes: &Bytes) -> Value {
    if *method == Method::HEAD || bytes.is_empty() {
        return json!("");
    }
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(bytes)))
}

/// `last-modified` as people and Kinto write it: `Last-Modified`, and `ETag`.
fn title(name: &str) -> String {
    if name == "etag" {
        return "ETag".to_owned();
    }
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            first.to_uppercase().collect::<String>() + letters.as_str()
        })
    };
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Checks a batch and makes it the requests that it stands for, `defaults` merged in and
/// redirects followed.
///
/// # Errors
///
/// 400 with every request that is malformed, or 415.
pub fn parse(config: &Config, request: &ApiRequest) -> Result<Vec<ApiRequest>, ApiError> {
    let invalid = |name: &str, text: String| Err(ApiError::invalid(Location::Body, name, text));
    operations::check_content_type(request, &["application/json"])?;
    let body = if request.body.is_empty() { json!({}) } else { json::parse(&request.body)? };
    let Value::Object(mut body) = body else {
        return invalid("", "Should be a JSON object or an array".to_owned());
    };
    let defaults = match body.remove("defaults") {
        None => Map::new(),
        Some(Value::Object(defaults)) => defaults,
        Some(_) => return invalid("defaults", "expected an object".to_owned()),
    };
    let Some(Value::Array(requests)) = body.remove("requests") else {
        return invalid("requests", "Required".to_owned());
    };
    if !body.is_empty() {
        let shown = python(&Value::Object(body));
        return invalid("", format!("Unrecognized keys in mapping: \"{shown}\""));
    }
    let max = config.service.batch_max_requests;
    if requests.len() > max {
        return invalid("requests", format!("Number of requests is limited to {max}"));
    }
    let mut parsed = Vec::with_capacity(requests.len());
    let mut problems = Vec::new();
    for (index, value) in requests.into_iter().enumerate() {
        match parse_step(request, &defaults, value) {
            Ok(step) => parsed.push(step),
            Err((name, text)) => {
                let at = format!("requests.{index}{name}");
                problems.push(Detail::new(Location::Body, &at, text));
            }
        }
    }
    if !problems.is_empty() {
        return Err(ApiError::Invalid(problems));
    }
    if parsed.iter().any(is_recursive) {
        let text = "Recursive call on /batch endpoint is forbidden.";
        return invalid("requests", text.to_owned());
    }
    for step in &mut parsed {
        follow(config, step);
    }
    Ok(parsed)
}

type Problem = (&'static str, String);

fn parse_step(
    parent: &ApiRequest,
    defaults: &Map<String, Value>,
    value: Value,
) -> Result<ApiRequest, Problem> {
    const METHODS: &str = "GET, HEAD, DELETE, TRACE, POST, PUT, PATCH";
    let Value::Object(own) = value else { return Err(("", "expected an object".to_owned())) };
    let mut merged = Value::Object(defaults.clone());
    merge_deep(&mut merged, Value::Object(own));
    let member = |name: &str| merged.get(name).filter(|value| !value.is_null());
    let method = match member("method") {
        None => Method::GET,
        Some(Value::String(name)) if METHODS.split(", ").any(|known| known == name) => {
            Method::from_bytes(name.as_bytes()).map_err(|error| (".method", error.to_string()))?
        }
        Some(other) => return Err((".method", format!("{other} is not one of {METHODS}"))),
    };
    let url = match member("path") {
        Some(Value::String(path)) if path.starts_with('/') => path.clone(),
        Some(_) => return Err((".path", "String does not match expected pattern".to_owned())),
        None => return Err((".path", "Required".to_owned())),
    };
    let body = match member("body") {
        None => Bytes::new(),
        Some(Value::Object(body)) => Bytes::from(Value::Object(body.clone()).to_string()),
        Some(other) => {
            let shown = python(other);
            let text = "is not a mapping type: Does not implement dict-like functionality.";
            return Err((".body", format!("\"{shown}\" {text}")));
        }
    };
    let headers = step_headers(parent, member("headers"), !body.is_empty())?;
    let url = if url.starts_with("/v1") { url } else { format!("/v1{url}") };
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let (path, query_text) = (path.to_owned(), query.to_owned());
    Ok(ApiRequest { method, path, query_text, headers, body })
}

/// The text anywhere in a path counts (§6.1.4); so does the endpoint, however it is written.
fn is_recursive(step: &ApiRequest) -> bool {
    step.path.contains("/batch") || matches!(Route::parse(&step.path), Ok(Route::Batch))
}

/// Redirects are followed, with method and body (§6.2.3).
fn follow(config: &Config, step: &mut ApiRequest) {
    if Route::find(config, &step.path).is_err()
        && let Some((_, path)) = redirect(config, &step.path)
    {
        step.path = path;
    }
}

/// All headers of the batch, but for its length; a request's own go before (§6.2.1).
fn step_headers(
    parent: &ApiRequest,
    own: Option<&Value>,
    has_body: bool,
) -> Result<HeaderMap, Problem> {
    let mut headers = parent.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in own.and_then(Value::as_object).into_iter().flatten() {
        let text = value
            .as_str()
            .ok_or((".headers", format!("{{'{name}': {value}}} contains non string value")))?;
        match (name.parse::<http::HeaderName>(), text.parse()) {
            (Ok(name), Ok(value)) => headers.insert(name, value),
            _ => return Err((".headers", format!("\"{name}\" is not a header"))),
        };
    }
    if has_body {
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, json);
    }
    Ok(headers)
}

fn merge_deep(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge_deep(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
