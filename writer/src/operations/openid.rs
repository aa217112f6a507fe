//! Logins at OpenID providers (`kinto-http-api.md` §5.4.4-6).

use shared::{error::ApiError, http::Reply};

use crate::{app::App, routes::LoginStep, service::ApiRequest};

/// Answers one of the two URLs of a login.
///
/// # Errors
///
/// 400, or [`ApiError::Backend`] when the provider is away.
#[expect(clippy::unused_async, reason = "TEMP")]
pub async fn login(
    _app: &App,
    _provider: &str,
    _step: LoginStep,
    _request: &ApiRequest,
) -> Result<Reply, ApiError> {
    Err(ApiError::NoSuchEndpoint)
}
