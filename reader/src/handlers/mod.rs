//! The endpoints: one file each.

mod broadcasts;
mod chain;
mod changeset;
mod health;
mod hello;
mod monitor;
pub mod preflight;
mod redirect;

use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, VARY},
    request::Parts,
};
use shared::{error::ApiError, http::Reply, model::Timestamp, wire::Asked};

use crate::{app::App, routes::Route, snapshot::Encoding};

/// Answers GET and HEAD.
///
/// # Errors
///
/// What the client reads.
pub async fn answer(
    app: &App,
    route: &Route<'_>,
    head: &Parts,
    now: Timestamp,
) -> Result<Reply, ApiError> {
    match route {
        Route::Hello => Ok(hello::get(app, head, now)),
        Route::Monitor => monitor::get(app, head, now).await,
        Route::MonitorRecords if !app.config.changes.records_enabled => {
            Err(ApiError::NoSuchEndpoint)
        }
        Route::MonitorRecords => monitor::records(app, head, now),
        Route::Broadcasts => Ok(broadcasts::get(app, now)),
        Route::Changeset { bucket, collection } => {
            changeset::get(app, bucket, collection, head, now).await
        }
        Route::Chain { path } => chain::get(app, path, head),
        Route::LbHeartbeat => Ok(health::lbheartbeat()),
        Route::Heartbeat => Ok(health::heartbeat(app, now)),
        Route::Version => Ok(health::version(app)),
        Route::Metrics => Ok(health::metrics(app, now)),
        Route::AddVersion => Ok(redirect::add_version(app, head)),
        Route::DropSlash => Ok(redirect::drop_slash(app, head, now)),
    }
}

/// The URL as it was sent.
fn asked(head: &Parts) -> Asked<'_> {
    Asked { path: head.uri.path(), query: head.uri.query().unwrap_or_default() }
}

/// A JSON body that is encoded already.
fn encoded((body, encoding): (Bytes, Encoding)) -> Reply {
    let reply = Reply::json_bytes(StatusCode::OK, body)
        .header(VARY, HeaderValue::from_static("Accept-Encoding"));
    match encoding {
        Encoding::Identity => reply,
        Encoding::Gzip => reply.header(CONTENT_ENCODING, HeaderValue::from_static("gzip")),
    }
}

/// Nothing was loaded yet.
fn not_ready() -> ApiError {
    ApiError::backend("nothing was loaded from the database yet")
}
