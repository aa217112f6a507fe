//! What goes back: status, headers and bytes that exist before anything is sent.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, EXPIRES, LAST_MODIFIED,
        LOCATION, PRAGMA, X_CONTENT_TYPE_OPTIONS,
    },
};
use serde::Serialize;

use crate::{error::ApiError, model::Timestamp};

/// A response.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, those of every response (`security_headers`) apart.
    pub headers: HeaderMap,
    /// Its body; `Content-Type` says of what kind.
    pub body: Bytes,
}

impl Reply {
    /// A response without body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// A JSON response.
    pub fn json(status: StatusCode, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(bytes) => Self::json_bytes(status, bytes),
            Err(error) => Self::from(&ApiError::Internal(error.into())),
        }
    }

    /// A JSON response whose body is already text.
    pub fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// A plain text response.
    pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..Self::empty(status) }
            .header(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"))
    }

    /// 307 to `location`. A location that is no header value is an error of ours.
    pub fn redirect(location: &str) -> Self {
        match HeaderValue::from_str(location) {
            Ok(location) => {
                let text = "The resource has been temporarily moved.\n";
                Self::text(StatusCode::TEMPORARY_REDIRECT, text).header(LOCATION, location)
            }
            Err(error) => Self::from(&ApiError::Internal(error.into())),
        }
    }

    /// With a header, replacing one of that name.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// With a header made from text; text that cannot be one is left out.
    pub fn header_text(self, name: HeaderName, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => self.header(name, value),
            Err(_) => self,
        }
    }

    /// With `ETag` and `Last-Modified` of `timestamp` (`kinto-http-api.md` §2.2).
    pub fn version(self, timestamp: Timestamp) -> Self {
        self.header_text(ETAG, &timestamp.etag()).header_text(LAST_MODIFIED, &timestamp.http_date())
    }

    /// With the lifetime of `ttl` seconds; 0 forbids keeping (`kinto-http-api.md` §1.13.4).
    pub fn lifetime(self, ttl: u32, now: Timestamp) -> Self {
        if ttl == 0 {
            return self
                .header(
                    CACHE_CONTROL,
                    HeaderValue::from_static("max-age=0, must-revalidate, no-cache, no-store"),
                )
                .header(PRAGMA, HeaderValue::from_static("no-cache"))
                .header_text(EXPIRES, &now.http_date());
        }
        let expires = now.plus_millis(i64::from(ttl) * 1_000);
        self.header_text(CACHE_CONTROL, &format!("max-age={ttl}"))
            .header_text(EXPIRES, &expires.http_date())
    }

    /// The response as hyper sends it.
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

impl From<&ApiError> for Reply {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have no header of their own")]
    fn from(error: &ApiError) -> Self {
        let (status, _) = error.contract();
        let reply = Self::json(status, &error.body());
        match error {
            ApiError::MethodNotAllowed { allow } if allow.is_empty() => reply,
            ApiError::MethodNotAllowed { allow } => reply.header_text(ALLOW, &list(allow)),
            ApiError::ModifiedMeanwhile { current: Some(current), .. } => reply.version(*current),
            _ => reply,
        }
    }
}

fn list(methods: &[Method]) -> String {
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

/// Adds what every response carries (`kinto-http-api.md` §0.3), a 410's `nosniff` apart. The
/// trailing `"; "` is part of the reference's value; header values cannot end in a space, so only
/// its semicolon travels.
pub fn security_headers(status: StatusCode, headers: &mut HeaderMap) {
    if status != StatusCode::GONE {
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none';",
    ));
}
