//! The endpoints: one file each.

mod broadcasts;
mod chain;
mod changeset;
pub mod health;
mod hello;
mod monitor;
pub mod preflight;
mod redirect;

use std::sync::Arc;

pub(crate) use changeset::find;
pub use changeset::lives;
use http::request::Parts;
use shared::{error::ApiError, model::Timestamp, wire::Asked};

use crate::{
    answer::Answer,
    app::App,
    public,
    routes::{Api, Route},
    snapshot::Published,
};

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
) -> Result<Answer, ApiError> {
    let made = match route {
        Route::Hello(Api::V1) => Ok(hello::get(app, head, now)),
        Route::Hello(Api::V2) => hello::get_v2(app, now),
        Route::Monitor(api) => return monitor::get(app, *api, head, now).await,
        Route::MonitorRecords if !app.config.changes.records_enabled => {
            Err(ApiError::NoSuchEndpoint)
        }
        Route::MonitorRecords => monitor::records(app, head, now),
        Route::Public(place) => public::answer(app, place, head, now).await,
        Route::Broadcasts(api) => Ok(broadcasts::get(app, *api, now)),
        Route::Changeset { api, bucket, collection } => {
            return changeset::get(app, *api, (bucket, collection), head, now).await;
        }
        Route::Chain { path } => chain::get(app, path, head),
        Route::LbHeartbeat => Ok(health::lbheartbeat(app)),
        Route::Heartbeat => Ok(health::heartbeat(app, now)),
        Route::Version => Ok(health::version(app)),
        Route::Metrics if app.config.operators.is_some() => Err(ApiError::NoSuchEndpoint),
        Route::Metrics => Ok(health::metrics(app, now)),
        Route::AddVersion => Ok(redirect::add_version(app, head, now)),
        Route::DropSlash => Ok(redirect::drop_slash(app, head, now)),
    };
    made.map(Answer::Made)
}

/// The URL as it was sent.
fn asked(head: &Parts) -> Asked<'_> {
    Asked { path: head.uri.path(), query: head.uri.query().unwrap_or_default() }
}

/// What can be said of everything that is published.
fn all_published(app: &App) -> Result<Arc<Published>, ApiError> {
    let published = app.board.published().ok_or_else(not_ready)?;
    if published.is_empty_handed() {
        return Err(ApiError::backend("no published collection was good enough to be served"));
    }
    Ok(published)
}

/// Nothing was loaded yet.
fn not_ready() -> ApiError {
    ApiError::backend("nothing was loaded from the database yet")
}
