//! The form of a batch: many requests in one body (`kinto-http-api.md` §6).

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{
    Map, Value,
    value::{RawValue, to_raw_value},
};
use shared::{
    error::{ApiError, Detail, Location},
    http::{Reply, security_headers},
};

use crate::{
    body::{mapping_problem, parse_json, unknown_problem},
    config::Config,
    negotiation, python,
    routes::{Route, redirect},
    service::ApiRequest,
};

/// The body of the batch's reply.
#[derive(Debug, Serialize)]
pub struct Responses {
    /// One for each request, in their order.
    pub responses: Vec<Response>,
}

/// One request's reply, as the batch shows it (§6.3).
#[derive(Debug, Serialize)]
pub struct Response {
    status: u16,
    path: String,
    headers: BTreeMap<String, String>,
    body: Box<RawValue>,
}

impl Response {
    /// The reply with all headers that the request alone would have been answered with.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`], never: any text is JSON when it is quoted.
    pub fn new(request: &ApiRequest, mut reply: Reply) -> Result<Self, ApiError> {
        security_headers(reply.status, &mut reply.headers);
        if reply.status != StatusCode::NOT_MODIFIED {
            reply.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(reply.body.len()));
        }
        let headers = reply.headers.iter();
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        Ok(Self {
            status: reply.status.as_u16(),
            path: percent_decode_str(&request.path).decode_utf8_lossy().into_owned(),
            headers: headers
                .filter_map(|(name, value)| Some((title(name.as_str()), text(value)?)))
                .collect(),
            body: body(&request.method, &reply.body)
                .map_err(|error| ApiError::Internal(error.into()))?,
        })
    }
}

/// JSON, whose bytes are taken as they are, or the text as a string.
fn body(method: &Method, bytes: &Bytes) -> Result<Box<RawValue>, serde_json::Error> {
    if *method == Method::HEAD || bytes.is_empty() {
        return to_raw_value("");
    }
    match serde_json::from_slice(bytes) {
        Ok(json) => Ok(json),
        Err(_) => to_raw_value(&String::from_utf8_lossy(bytes)),
    }
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
#[expect(clippy::wildcard_enum_match_arm, reason = "what is something else is refused alike")]
pub fn parse(config: &Config, request: &ApiRequest) -> Result<Vec<ApiRequest>, ApiError> {
    let invalid = |name: &str, text: String| ApiError::invalid(Location::Body, name, text);
    negotiation::check_content_type(&request.headers, &[negotiation::JSON])?;
    let mut body = match parse_json(&request.body)? {
        Value::Object(body) => body,
        other => return Err(ApiError::Invalid(vec![mapping_problem("", &other)])),
    };
    let (defaults, requests) = (body.remove("defaults"), body.remove("requests"));
    if !body.is_empty() {
        return Err(ApiError::Invalid(vec![unknown_problem("", body)]));
    }
    let mut problems = Vec::new();
    let defaults = check_defaults(defaults, &mut problems);
    let entries = check_requests(requests, &defaults, &mut problems);
    if !problems.is_empty() {
        return Err(ApiError::Invalid(problems));
    }
    let max = config.service.batch_max_requests;
    if entries.len() > max {
        return Err(invalid("requests", format!("Number of requests is limited to {max}")));
    }
    let mut parsed = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let step = into_request(request, entry);
        parsed.push(step.map_err(|text| invalid(&format!("requests.{index}.headers"), text))?);
    }
    if parsed.iter().any(is_recursive) {
        let text = "Recursive call on /batch endpoint is forbidden.";
        return Err(invalid("requests", text.to_owned()));
    }
    for step in &mut parsed {
        follow(config, step);
    }
    Ok(parsed)
}

/// A request as it stands in the batch, checked in form.
#[derive(Debug, Default)]
struct Entry {
    method: Method,
    path: String,
    headers: Map<String, Value>,
    body: Option<Map<String, Value>>,
}

/// What is wrong with `defaults` is told beside what is wrong with the requests.
fn check_defaults(defaults: Option<Value>, problems: &mut Vec<Detail>) -> Map<String, Value> {
    let Some(defaults) = defaults else { return Map::new() };
    check_entry("defaults", defaults.clone(), false, problems);
    match defaults {
        Value::Object(defaults) => defaults,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn check_requests(
    requests: Option<Value>,
    defaults: &Map<String, Value>,
    problems: &mut Vec<Detail>,
) -> Vec<Entry> {
    let mut refuse = |text| problems.push(Detail::new(Location::Body, "requests", text));
    let requests = match requests {
        Some(Value::Array(requests)) => requests,
        Some(other) => {
            refuse(format!("\"{}\" is not iterable", python::text(&other)));
            return Vec::new();
        }
        None => {
            refuse("Required".to_owned());
            return Vec::new();
        }
    };
    let checked = requests.into_iter().enumerate().map(|(index, own)| {
        check_entry(&format!("requests.{index}"), with_defaults(defaults, own), true, problems)
    });
    checked.collect()
}

fn with_defaults(defaults: &Map<String, Value>, own: Value) -> Value {
    if !own.is_object() {
        return own;
    }
    let mut merged = Value::Object(defaults.clone());
    merge_deep(&mut merged, own);
    merged
}

/// Checks one request; a member that nobody knows is told alone (§6.1.2).
#[expect(clippy::wildcard_enum_match_arm, reason = "what is something else is refused alike")]
fn check_entry(at: &str, value: Value, has_path: bool, problems: &mut Vec<Detail>) -> Entry {
    let mut members = match value {
        Value::Object(members) => members,
        other => {
            problems.push(mapping_problem(at, &other));
            return Entry::default();
        }
    };
    let mut found = Vec::new();
    let mut take = |name: &str| members.remove(name);
    let (method, path) = (take("method"), take("path"));
    let (headers, body) = (take("headers"), take("body"));
    let entry = Entry {
        method: check_method(at, method, &mut found),
        path: check_path(at, path, has_path, &mut found),
        headers: check_headers(at, headers, &mut found),
        body: check_mapping(&format!("{at}.body"), body, &mut found),
    };
    if members.is_empty() {
        problems.append(&mut found);
    } else {
        problems.push(unknown_problem(at, members));
    }
    entry
}

/// A text; what counts as nothing is absent.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is something else is refused alike")]
fn check_text(
    at: &str,
    name: &str,
    value: Option<Value>,
    problems: &mut Vec<Detail>,
) -> Option<String> {
    match value.filter(python::is_truthy)? {
        Value::String(text) => Some(text),
        other => {
            let text = format!("{} is not a string: {{'{name}': ''}}", python::repr(&other));
            problems.push(Detail::new(Location::Body, &format!("{at}.{name}"), text));
            None
        }
    }
}

fn check_method(at: &str, value: Option<Value>, problems: &mut Vec<Detail>) -> Method {
    const METHODS: &str = "GET, HEAD, DELETE, TRACE, POST, PUT, PATCH";
    let Some(name) = check_text(at, "method", value, problems) else { return Method::GET };
    let known = METHODS.split(", ").find(|known| *known == name);
    if let Some(method) = known.and_then(|known| Method::from_bytes(known.as_bytes()).ok()) {
        return method;
    }
    let text = format!("\"{name}\" is not one of {METHODS}");
    problems.push(Detail::new(Location::Body, &format!("{at}.method"), text));
    Method::GET
}

fn check_path(
    at: &str,
    value: Option<Value>,
    is_required: bool,
    problems: &mut Vec<Detail>,
) -> String {
    let before = problems.len();
    let path = check_text(at, "path", value, problems);
    let text = match &path {
        Some(path) if !path.starts_with('/') => Some("String does not match expected pattern"),
        None if is_required && problems.len() == before => Some("Required"),
        Some(_) | None => None,
    };
    problems.extend(text.map(|text| Detail::new(Location::Body, &format!("{at}.path"), text)));
    path.unwrap_or_default()
}

fn check_headers(at: &str, value: Option<Value>, problems: &mut Vec<Detail>) -> Map<String, Value> {
    let at = format!("{at}.headers");
    let headers = check_mapping(&at, value, problems).unwrap_or_default();
    if headers.values().all(Value::is_string) {
        return headers;
    }
    let shown = python::text(&Value::Object(headers));
    problems.push(Detail::new(Location::Body, &at, format!("{shown} contains non string value")));
    Map::new()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "what is something else is refused alike")]
fn check_mapping(
    at: &str,
    value: Option<Value>,
    problems: &mut Vec<Detail>,
) -> Option<Map<String, Value>> {
    match value? {
        Value::Object(members) => Some(members),
        other => {
            problems.push(mapping_problem(at, &other));
            None
        }
    }
}

fn into_request(parent: &ApiRequest, entry: Entry) -> Result<ApiRequest, String> {
    let Entry { method, path: url, headers, body } = entry;
    let body = body.map_or_else(Bytes::new, |body| Value::Object(body).to_string().into());
    let headers = step_headers(parent, &headers, !body.is_empty())?;
    let url = if url.starts_with("/v1") { url } else { format!("/v1{url}") };
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    let (path, query_text) = (path.to_owned(), query.to_owned());
    Ok(ApiRequest { method, path, query_text, headers, body, client: parent.client })
}

/// The text anywhere in a URL counts (§6.1.4); so does the endpoint, however it is written.
fn is_recursive(step: &ApiRequest) -> bool {
    step.path.contains("/batch")
        || step.query_text.contains("/batch")
        || matches!(Route::parse(&step.path), Ok(Route::Batch))
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
    own: &Map<String, Value>,
    has_body: bool,
) -> Result<HeaderMap, String> {
    let mut headers = parent.headers.clone();
    headers.remove(header::CONTENT_LENGTH);
    for (name, value) in own {
        // A batch comes from where it comes from.
        if name.eq_ignore_ascii_case("x-forwarded-for") {
            continue;
        }
        let text = value.as_str().unwrap_or_default();
        match (name.parse::<http::HeaderName>(), text.parse()) {
            (Ok(name), Ok(value)) => headers.insert(name, value),
            _ => return Err(format!("\"{name}\" is not a header")),
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
