//! The public error contract: what a client reads when something is refused or fails.
//!
//! # Source
//!
//! `kinto-http-api.md` §0.2, `remote-settings.md` §0.2.

mod detail;

use std::{borrow::Cow, error::Error as StdError};

pub use detail::{Detail, Location, Name};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    json::JsonError,
    model::{Resource, Timestamp},
};

/// Numbers that clients switch on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum Errno {
    /// No credentials, or none that any policy knows.
    MissingAuthToken = 104,
    /// The state of a login is not one that was begun.
    InvalidAuthToken = 105,
    /// A header, the query string, the path or the body is wrong.
    InvalidParameters = 107,
    /// The workflow refuses what was posted.
    InvalidPostedData = 109,
    /// The object does not exist.
    InvalidResourceId = 110,
    /// The URL, or a parent, does not exist.
    MissingResource = 111,
    /// The request is too large.
    RequestTooLarge = 113,
    /// A precondition failed.
    ModifiedMeanwhile = 114,
    /// The method does not exist here.
    MethodNotAllowed = 115,
    /// The API version does not exist.
    VersionNotAvailable = 116,
    /// Authenticated, and not allowed.
    Forbidden = 121,
    /// The storage refuses the write.
    Constraint = 122,
    /// The storage, or the signer, does not answer.
    Backend = 201,
    /// The service has ended.
    ServiceDeprecated = 202,
    /// Anything else.
    Undefined = 999,
}

/// Why a request did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The URL is not one of ours.
    #[error("The resource you are looking for could not be found.")]
    NoSuchEndpoint,
    /// The path does not begin with a version that we speak.
    #[error("The requested API version is not available on this server.")]
    NoSuchVersion,
    /// The object that should hold the addressed one does not exist, or its id is malformed.
    #[error("no such {}", .resource.name())]
    NoSuchParent {
        /// What kind of parent.
        resource: Resource,
        /// Its id as sent.
        id: String,
    },
    /// The object does not exist.
    #[error("no such {}", .resource.name())]
    NoSuchObject {
        /// What kind of object.
        resource: Resource,
        /// Its id.
        id: String,
    },
    /// The URL exists, the method does not.
    #[error("Method not allowed on this endpoint.")]
    MethodNotAllowed {
        /// The methods that do; none of them is told in read-only mode.
        allow: Vec<Method>,
    },
    /// Anonymous, and not allowed.
    #[error("Please authenticate yourself to use this endpoint.")]
    MissingAuth,
    /// Anonymous, and accounts are never listed to everybody (`kinto-http-api.md` §5.3.6).
    #[error("Cannot read accounts.")]
    AnonymousAccounts,
    /// A login has ended already, or was never begun (`kinto-http-api.md` §5.4.6).
    #[error("Invalid state")]
    InvalidState,
    /// Authenticated, and not allowed.
    #[error("This user cannot access this resource.")]
    Forbidden,
    /// Something in the request is wrong.
    #[error("Invalid parameters")]
    Invalid(Vec<Detail>),
    /// A parameter is not of its type, where the API says so with a status of its own
    /// (`remote-settings.md` §6.3).
    #[error("Invalid parameters")]
    Unprocessable(Vec<Detail>),
    /// The answer cannot be in any form that `Accept` names.
    #[error("not acceptable")]
    NotAcceptable(Detail),
    /// The body is in a form that this endpoint does not read.
    #[error("unsupported media type")]
    UnsupportedMediaType(Detail),
    /// The path or the request itself cannot be read.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// Sign-off refuses what was posted (`remote-settings.md` §0.2, errno 109 and 121).
    #[error("{message}")]
    Refused {
        /// 400, or 403 when another user could.
        forbidden: bool,
        /// The exact text that clients know.
        message: String,
    },
    /// Someone else wrote first.
    #[error("Resource was modified meanwhile")]
    ModifiedMeanwhile {
        /// The object as it is now, when there is one.
        existing: Option<Value>,
        /// Its timestamp, or the list's, sent back as the `ETag`; `None` for an object that
        /// does not exist.
        current: Option<Timestamp>,
    },
    /// A bucket, a collection or an object would be larger than a quota allows.
    #[error("{0}")]
    OverQuota(String),
    /// Two objects of one list cannot have the same timestamp.
    #[error("Integrity constraint violated, please retry.")]
    Constraint,
    /// Path and query string are larger than the limit, in bytes.
    #[error("The URL is larger than {0} bytes.")]
    UrlTooLong(usize),
    /// The headers are larger than the limit, in bytes.
    #[error("The request headers are larger than {0} bytes.")]
    HeadersTooLarge(usize),
    /// The service has ended.
    #[error("The service you are trying to connect no longer exists at this location.")]
    Gone,
    /// The body is larger than the limit, in bytes.
    #[error("The request body is larger than {0} bytes.")]
    TooLarge(usize),
    /// PostgreSQL, or the signer, is away, overloaded or late. Nothing was written.
    #[error("Service temporary unavailable due to overloading or maintenance, please retry later.")]
    Backend(#[source] Box<dyn StdError + Send + Sync>),
    /// An error of ours. Nothing was written.
    #[error("A programmatic error occurred, developers have been informed.")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl ApiError {
    /// One wrong member, parameter or header.
    pub fn invalid(location: Location, name: &str, description: impl Into<String>) -> Self {
        Self::Invalid(vec![Detail::new(location, name, description)])
    }

    /// A backend failure told by a text.
    pub fn backend(message: impl Into<String>) -> Self {
        Self::Backend(message.into().into())
    }

    /// A programming error told by a text.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::Internal(message.into().into())
    }

    /// One row per failure: this table *is* the contract, and the compiler keeps it complete.
    pub const fn contract(&self) -> (StatusCode, Errno) {
        match self {
            Self::NoSuchEndpoint | Self::NoSuchParent { .. } => {
                (StatusCode::NOT_FOUND, Errno::MissingResource)
            }
            Self::NoSuchVersion => (StatusCode::NOT_FOUND, Errno::VersionNotAvailable),
            Self::NoSuchObject { .. } => (StatusCode::NOT_FOUND, Errno::InvalidResourceId),
            Self::MethodNotAllowed { .. } => {
                (StatusCode::METHOD_NOT_ALLOWED, Errno::MethodNotAllowed)
            }
            Self::MissingAuth => (StatusCode::UNAUTHORIZED, Errno::MissingAuthToken),
            Self::AnonymousAccounts => (StatusCode::UNAUTHORIZED, Errno::Undefined),
            Self::Forbidden | Self::Refused { forbidden: true, .. } => {
                (StatusCode::FORBIDDEN, Errno::Forbidden)
            }
            Self::Refused { forbidden: false, .. } => {
                (StatusCode::BAD_REQUEST, Errno::InvalidPostedData)
            }
            Self::Invalid(_) | Self::BadRequest(_) | Self::InvalidState => {
                (StatusCode::BAD_REQUEST, Errno::InvalidParameters)
            }
            Self::Unprocessable(_) => (StatusCode::UNPROCESSABLE_ENTITY, Errno::InvalidParameters),
            Self::NotAcceptable(_) => (StatusCode::NOT_ACCEPTABLE, Errno::InvalidParameters),
            Self::UnsupportedMediaType(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, Errno::InvalidParameters)
            }
            Self::ModifiedMeanwhile { .. } => {
                (StatusCode::PRECONDITION_FAILED, Errno::ModifiedMeanwhile)
            }
            Self::OverQuota(_) => (StatusCode::INSUFFICIENT_STORAGE, Errno::Forbidden),
            Self::Constraint => (StatusCode::CONFLICT, Errno::Constraint),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Errno::RequestTooLarge),
            Self::UrlTooLong(_) => (StatusCode::URI_TOO_LONG, Errno::RequestTooLarge),
            Self::HeadersTooLarge(_) => {
                (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, Errno::RequestTooLarge)
            }
            Self::Gone => (StatusCode::GONE, Errno::ServiceDeprecated),
            Self::Backend(_) => (StatusCode::SERVICE_UNAVAILABLE, Errno::Backend),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, Errno::Undefined),
        }
    }

    /// Whether another request could have succeeded. Such a refusal has written nothing, and is
    /// one failed response of its batch; the others roll the whole request back.
    pub fn is_clients_fault(&self) -> bool {
        let (status, _) = self.contract();
        status.is_client_error() && !matches!(self, Self::Refused { .. } | Self::Constraint)
    }

    /// The body: `message` and `details` are left out where there are none, never null.
    pub fn body(&self) -> Value {
        let (status, errno) = self.contract();
        let mut body = json!({
            "code": status.as_u16(),
            "errno": errno as u16,
            "error": self.reason(status),
        });
        if let Some(message) = self.message() {
            body["message"] = message.into();
        }
        if let Some(details) = self.details() {
            body["details"] = details;
        }
        body
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have HTTP's own reason")]
    fn reason(&self, status: StatusCode) -> &'static str {
        match self {
            Self::Invalid(_)
            | Self::Unprocessable(_)
            | Self::InvalidState
            | Self::NotAcceptable(_)
            | Self::UnsupportedMediaType(_) => "Invalid parameters",
            Self::AnonymousAccounts => "Cannot read accounts.",
            _ => status.canonical_reason().unwrap_or("Error"),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have one message, their text")]
    fn message(&self) -> Option<String> {
        match self {
            Self::NoSuchParent { .. } | Self::NoSuchObject { .. } | Self::AnonymousAccounts => None,
            Self::Invalid(details) | Self::Unprocessable(details) => {
                sorted(details).first().map(|detail| detail.message())
            }
            Self::NotAcceptable(detail) | Self::UnsupportedMediaType(detail) => {
                Some(detail.message())
            }
            _ => Some(self.to_string()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "all others have no details")]
    fn details(&self) -> Option<Value> {
        match self {
            Self::NoSuchParent { resource, id } | Self::NoSuchObject { resource, id } => {
                Some(json!({"id": id, "resource_name": resource.name()}))
            }
            Self::Invalid(details) | Self::Unprocessable(details) => Some(json!(sorted(details))),
            Self::NotAcceptable(detail) | Self::UnsupportedMediaType(detail) => {
                Some(json!([detail]))
            }
            Self::InvalidState => Some(json!([{
                "location": Location::Body,
                "name": "state",
                "description": self.to_string(),
                "errno": Errno::InvalidAuthToken as u16,
            }])),
            Self::ModifiedMeanwhile { existing: Some(existing), .. } => {
                Some(json!({"existing": existing}))
            }
            _ => None,
        }
    }
}

/// An error and its causes in one line.
pub fn with_causes(error: &dyn StdError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Both header problems and body problems are told together (`kinto-http-api.md` §0.4).
///
/// # Errors
///
/// Whatever was wrong with one, or with both.
pub fn merge_problems<A, B>(
    a: Result<A, Vec<Detail>>,
    b: Result<B, ApiError>,
) -> Result<(A, B), ApiError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Ok(_), Err(error)) => Err(error),
        (Err(details), Err(ApiError::Invalid(more))) => {
            Err(ApiError::Invalid(details.into_iter().chain(more).collect()))
        }
        (Err(details), _) => Err(ApiError::Invalid(details)),
    }
}

/// By name, as text; a missing name sorts as `None`, as in the reference.
fn sorted(details: &[Detail]) -> Vec<&Detail> {
    let mut sorted: Vec<&Detail> = details.iter().collect();
    sorted.sort_by_cached_key(|detail| {
        detail.name.as_ref().map_or_else(|| "None".to_owned(), Name::to_string)
    });
    sorted
}

impl From<JsonError> for ApiError {
    fn from(error: JsonError) -> Self {
        Self::invalid(Location::Body, "", error.to_string())
    }
}

/// Codes of PostgreSQL that say which of ours it is; anything else means that it is away or ill.
impl From<tokio_postgres::Error> for ApiError {
    fn from(error: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match error.code() {
            Some(&SqlState::UNIQUE_VIOLATION) => Self::Constraint,
            // Class 22 and 42: a statement of ours that PostgreSQL cannot run with these values.
            Some(code) if code.code().starts_with("22") || code.code().starts_with("42") => {
                Self::Internal(error.into())
            }
            _ => Self::Backend(error.into()),
        }
    }
}

impl From<deadpool_postgres::PoolError> for ApiError {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        Self::Backend(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_comes_from_the_first_detail_by_name() {
        let error = ApiError::Invalid(vec![
            Detail::new(Location::QueryString, "_since", "\"abc\" is not a number"),
            Detail::new(Location::QueryString, "_limit", "\"z\" is not a number"),
        ]);

        assert_eq!(
            error.body(),
            json!({
                "code": 400, "errno": 107, "error": "Invalid parameters",
                "message": "_limit in querystring: \"z\" is not a number",
                "details": [
                    {"location": "querystring", "name": "_limit", "description": "\"z\" is not a number"},
                    {"location": "querystring", "name": "_since", "description": "\"abc\" is not a number"},
                ]
            })
        );
    }

    #[test]
    fn a_name_that_occurs_in_its_description_is_not_repeated() {
        let error =
            ApiError::invalid(Location::Body, "id", "Object id does not match existing object");

        assert_eq!(error.body()["message"], "Object id does not match existing object");
        let error = ApiError::Invalid(vec![Detail::whole(Location::Path, "Invalid object id")]);
        assert_eq!(error.body()["message"], "path: Invalid object id");
        assert_eq!(error.body()["details"][0]["name"], Value::Null);
    }

    #[test]
    fn a_missing_object_has_details_and_no_message() {
        let error = ApiError::NoSuchObject { resource: Resource::Record, id: "r".to_owned() };

        assert_eq!(
            error.body(),
            json!({"code": 404, "errno": 110, "error": "Not Found",
                   "details": {"id": "r", "resource_name": "record"}})
        );
    }
}
