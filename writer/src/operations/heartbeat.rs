//! `GET /v1/__heartbeat__` (`kinto-http-api.md` §1.2.1).

use http::StatusCode;
use serde_json::{Map, Value};
use shared::{error::ApiError, http::Reply, model::Timestamp};
use tokio::time::timeout;

use crate::{app::App, pki::publication};

/// Asks all that this service needs, each within its time: a key each, and 503 when one is false.
pub async fn heartbeat(app: &App) -> Reply {
    let (storage, signer) =
        tokio::join!(probe(app, app.probe_storage()), probe(app, app.probe_signer()));
    // Permissions, and the states of logins and tokens, are in the same database.
    let probes =
        [("storage", storage), ("permission", storage), ("cache", storage), ("signer", signer)];
    let healthy = probes.iter().all(|(_, good)| *good);
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body: Map<String, Value> =
        probes.into_iter().map(|(name, good)| (name.to_owned(), good.into())).collect();
    // No part of health: somebody must act, and there is time.
    let certificates = publication::ends(app);
    if !certificates.is_empty() {
        let told = certificates.to_json(app.config.certificates, Timestamp::now());
        body.insert("certificates".to_owned(), told);
    }
    Reply::json(status, &body)
}

async fn probe(app: &App, work: impl Future<Output = Result<(), ApiError>>) -> bool {
    match timeout(app.config.service.heartbeat_timeout, work).await {
        Ok(Ok(())) => true,
        Ok(Err(error)) => {
            let source = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, source, "heartbeat failed");
            false
        }
        Err(_) => {
            tracing::error!("heartbeat took too long");
            false
        }
    }
}
