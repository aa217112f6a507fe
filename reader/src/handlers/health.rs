//! What load balancers, monitors and operators ask (Dockerflow).

use http::{HeaderValue, StatusCode, header::CACHE_CONTROL};
use serde_json::{Value, json};
use shared::{http::Reply, model::Timestamp};

use crate::app::App;

/// The process answers. Before it ends it asks to be left alone: what load balancers poll says so
/// while all else is still answered.
pub fn lbheartbeat(app: &App) -> Reply {
    let status = if app.is_leaving() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    fresh(Reply::json(status, &json!({})))
}

/// 200 as soon as there is something to serve, or nothing is published: a lost database is told, and no
/// reason to take the reader away from its clients. One that could verify nothing of what is published is
/// not ready.
pub fn heartbeat(app: &App, now: Timestamp) -> Reply {
    let published = app.board.published();
    let rejected: Vec<Value> = published
        .iter()
        .flat_map(|published| published.refused())
        .map(|(bucket, collection, reason)| {
            json!({"bucket": bucket, "collection": collection, "reason": reason.name()})
        })
        .collect();
    let rules = app.config.certificates;
    let certificates =
        published.as_ref().map(|published| published.certificates().to_json(rules, now));
    let is_ready = published.as_ref().is_some_and(|published| !published.is_empty_handed());
    let body = json!({
        "storage": app.board.is_reachable(),
        "database": app.link.to_json(),
        "snapshots": is_ready,
        "leaving": app.is_leaving(),
        "rejected": rejected,
        "certificates": certificates,
        "database_is_older": app.board.is_database_older(),
        "snapshot_age_seconds": app.board.age_ms().map(|age| age / 1_000),
        "watermark": published.map(|published| published.watermark),
    });
    let is_fit = is_ready && !app.is_leaving();
    let status = if is_fit { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    fresh(Reply::json(status, &body))
}

/// Which build this is.
pub fn version(app: &App) -> Reply {
    let body = json!({
        "name": app.config.site.project_name,
        "version": env!("CARGO_PKG_VERSION"),
        "source": env!("CARGO_PKG_REPOSITORY"),
        "commit": option_env!("COUNTERSIGN_COMMIT"),
        "build": option_env!("COUNTERSIGN_BUILD"),
    });
    fresh(Reply::json(StatusCode::OK, &body))
}

/// Prometheus' text format.
pub fn metrics(app: &App, now: Timestamp) -> Reply {
    fresh(Reply::text(StatusCode::OK, app.metrics.render(app, now)))
}

fn fresh(reply: Reply) -> Reply {
    reply.header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
}
