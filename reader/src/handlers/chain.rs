//! A certificate chain (`remote-settings.md` §2.9): its URL never shows anything else.

use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, ETAG},
    request::Parts,
};
use shared::{error::ApiError, http::Reply};

use super::not_ready;
use crate::{answer::is_known, app::App};

/// RFC 8555 §9.1.
const PEM_CHAIN: HeaderValue = HeaderValue::from_static("application/pem-certificate-chain");
/// A year, which is what caches take for ever.
const FOR_EVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Answers from memory.
pub(super) fn get(app: &App, path: &str, head: &Parts) -> Result<Reply, ApiError> {
    let published = app.board.published().ok_or_else(not_ready)?;
    let chain = published.chains.get(path).ok_or(ApiError::NoSuchEndpoint)?;
    let reply = if is_known(&head.headers, chain.etag.as_bytes()) {
        Reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        let whole = Reply { body: chain.body.clone(), ..Reply::empty(StatusCode::OK) };
        whole.header(CONTENT_TYPE, PEM_CHAIN)
    };
    Ok(reply.header(CACHE_CONTROL, FOR_EVER).header_text(ETAG, &chain.etag))
}
