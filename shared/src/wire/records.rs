//! The published collections as an ordinary list, for Firefox before 88 (`remote-settings.md`
//! §3.5).

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header::CACHE_CONTROL};
use serde_json::json;

use super::{Asked, Entries, lifetime};
use crate::{
    config::{Changes, ttl},
    error::{ApiError, merge_problems},
    http::{Query, Reply, is_unmodified_since},
    listing::{
        Body, ListQuery, Params, Schema, counted, memory, next_page,
        token::{self, Binding, Token},
    },
    model::Timestamp,
    preconditions::{Preconditions, Verdict},
};

static SCHEMA: Schema = Schema::MONITOR;
const URI: &str = "/buckets/monitor/collections/changes/records";

/// Answers GET and HEAD.
///
/// # Errors
///
/// 400 and 412, as ordinary lists.
pub fn records(
    entries: &Entries,
    settings: &Changes,
    asked: Asked<'_>,
    (method, headers): (&Method, &HeaderMap),
    now: Timestamp,
) -> Result<Reply, ApiError> {
    let sent = Query::parse(asked.query)?;
    let current = entries.timestamp_at(now);
    let conditions = Preconditions::parse(headers);
    let (conditions, params) = merge_problems(conditions, Params::parse(&sent))?;
    // A list that lacks something may change while its timestamp does not.
    let is_known = |verdict| {
        let is_same = verdict == Verdict::NotModified || is_unmodified_since(headers, current);
        is_same && !entries.is_lacking()
    };
    let reply = match conditions.for_read(current) {
        Verdict::Failed => {
            return Err(ApiError::ModifiedMeanwhile { existing: None, current: Some(current) });
        }
        // The CDN of the time did not cache 304 (ADR 001 of the reference).
        verdict if is_known(verdict) => nothing(),
        Verdict::NotModified | Verdict::Proceed => {
            let query = ListQuery::new(params, &SCHEMA, now)?;
            if method == Method::HEAD {
                let objects = entries.iter().map(|entry| &entry.members);
                counted(memory::filtered(objects, &query.filters).len())
            } else {
                page(entries, settings, asked.path, (&sent, &query))?
            }
        }
    };
    let policy = settings.lifetimes.of("monitor", "changes");
    let policy = if entries.is_lacking() { policy.all_stale() } else { policy };
    Ok(kept(reply.version(current), policy, sent.get("_expected"), current, now))
}

fn nothing() -> Reply {
    Reply::json(StatusCode::OK, &json!({"data": []}))
}

fn page(
    entries: &Entries,
    settings: &Changes,
    path: &str,
    (sent, query): (&Query, &ListQuery),
) -> Result<Reply, ApiError> {
    // Nothing here is secret, and every reader and writer must know the others' tokens.
    let key = token::key("monitor/changes");
    let binding = Binding { user_id: None, list: URI, parameters: &query.bound };
    let token = query.token.as_deref().map(|text| Token::open(text, &key, binding)).transpose()?;
    let size = settings.pages.of(query.limit);
    let limit = usize::try_from(size).unwrap_or(usize::MAX);
    let objects = entries.iter().map(|entry| &entry.members);
    let after = token.as_ref().map(|token| &token.after);
    let (found, next) = memory::page(objects, query, after, limit);
    let mut body = Body::default();
    for object in found {
        match &query.selection {
            Some(selection) => body.push(&selection.of(object))?,
            None => body.push(object)?,
        }
    }
    let reply = Reply::json_bytes(StatusCode::OK, body.finish());
    Ok(match next {
        None => reply,
        Some(after) => {
            let token = Token::after(after).seal(&key, binding);
            let path = format!("{}{path}", settings.redirects.root);
            let url = next_page(&path, sent, size, &token);
            reply.header_text(HeaderName::from_static("next-page"), &url)
        }
    })
}

fn kept(
    reply: Reply,
    policy: ttl::Policy,
    expected: Option<&str>,
    current: Timestamp,
    now: Timestamp,
) -> Reply {
    let ttl = match expected.filter(|expected| !expected.is_empty()) {
        Some(expected) => lifetime(expected, current, policy),
        None => policy.plain,
    };
    match ttl {
        Some(ttl) => reply.lifetime(ttl, now),
        None => reply.header(CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store")),
    }
}
