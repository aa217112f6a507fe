//! What goes back to clients: bytes that exist before the request does, and the few others.
//!
//! | module | what it holds |
//! |---|---|
//! | [`prepared`] | status line, headers and body of one form of a resource |
//! | [`files`] | files in memory, from which bodies are sent |
//! | [`forms`] | all forms of a body: plain, gzip, zstd, brotli |
//! | [`encoding`] | which form a client prefers |
//! | [`dictionary`] | a body as the difference from one that the client has |
//! | [`lifetime`] | how long caches may keep an answer |
//! | [`dates`] | HTTP dates, formatted once a second |

pub mod compress;
pub mod dates;
pub mod dictionary;
pub mod encoding;
pub mod files;
pub mod forms;
pub mod lifetime;
pub mod prepared;

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, IF_NONE_MATCH},
};
use shared::{http::Reply, model::Timestamp};

pub use self::{
    dates::Dates,
    dictionary::{Dictionaries, DictionaryId, Role},
    encoding::{Accepted, Encoding},
    forms::Forms,
    lifetime::{Grace, Lifetime},
    prepared::{Body, Dress, Prepared},
};

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// Bytes that were there before the request, and how long caches may keep them.
    Prepared(Arc<Prepared>, Lifetime),
    /// Made for this request.
    Made(Reply),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        Self::Made(reply)
    }
}

impl Answer {
    /// 304 instead of bytes that the client has already (RFC 9110 §13.1.2).
    pub fn unless_known(self, headers: &HeaderMap, grace: Grace, now: Timestamp) -> Self {
        match self {
            Self::Prepared(form, lifetime) if is_known(headers, form.etag().as_bytes()) => {
                Self::Made(not_modified(&form, lifetime, grace, now))
            }
            Self::Prepared(..) | Self::Made(_) => self,
        }
    }

    /// The answer to `method` as a map of headers and a body, which an answer to HEAD has not: its
    /// length is told, and its bytes would be taken for the next answer.
    pub fn into_reply(self, method: &Method, grace: Grace, now: Timestamp) -> Reply {
        let mut reply = match self {
            Self::Made(reply) => reply,
            Self::Prepared(form, lifetime) => {
                let mut headers = form.headers().clone();
                lifetime.add_to(&mut headers, grace, now);
                Reply { status: StatusCode::OK, headers, body: form.body().bytes().clone() }
            }
        };
        if *method == Method::HEAD && !reply.body.is_empty() {
            reply.headers.insert(CONTENT_LENGTH, reply.body.len().into());
            reply.body = Bytes::new();
        }
        reply
    }
}

fn not_modified(form: &Prepared, lifetime: Lifetime, grace: Grace, now: Timestamp) -> Reply {
    let mut headers = form.headers().clone();
    for name in [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE] {
        headers.remove(name);
    }
    lifetime.add_to(&mut headers, grace, now);
    Reply { headers, ..Reply::empty(StatusCode::NOT_MODIFIED) }
}

/// Whether `If-None-Match` names the entity tag. Comparison is weak, as RFC 9110 §13.1.2 wants it.
pub fn is_known(headers: &HeaderMap, etag: &[u8]) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == etag)
}
