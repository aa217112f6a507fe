//! A batch: requests that share a transaction, and what is answered beside it.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::StatusCode;
use shared::{error::ApiError, http::Reply};

use super::{run, run_together};
use crate::{
    app::App,
    authn::Identities,
    batch,
    routes::Route,
    service::{self, ApiRequest},
    step::Step,
};

/// `POST /v1/batch` (`kinto-http-api.md` §6). What is not about lists and objects is answered
/// apart from the transaction.
pub(super) async fn run_batch(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let requests = batch::parse(&app.config, request)?;
    let mut steps = Vec::with_capacity(requests.len());
    let mut answered = HashMap::new();
    let mut identities = Identities::default();
    let mut endpoints = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let found = Route::find(&app.config, &request.path);
        endpoints.push(found.as_ref().ok().map(Route::endpoint));
        match allowed(app, request, found) {
            Ok(route) if route.is_step() => {
                steps.push(Step::new(app, &mut identities, route, request.clone()).await?);
            }
            Ok(route) => {
                let started = Instant::now();
                let reply = service::unless_ours(app, Box::pin(run(app, route, request)).await)?;
                answered.insert(index, (reply, started.elapsed()));
            }
            Err(error) => {
                answered.insert(index, (service::refuse(app, &error), Duration::ZERO));
            }
        }
    }
    let replies = match steps.as_slice() {
        [] => Vec::new(),
        steps => run_together(app, steps).await?,
    };
    let mut replies = replies.into_iter().zip(&steps).map(|(reply, step)| {
        (reply.unwrap_or_else(|error| service::refuse(app, &error)), step.elapsed())
    });
    let mut responses = Vec::with_capacity(requests.len());
    for (index, (request, endpoint)) in requests.iter().zip(endpoints).enumerate() {
        let reply = answered.remove(&index).or_else(|| replies.next());
        let (reply, elapsed) = reply.ok_or_else(|| ApiError::internal("no reply"))?;
        let name = endpoint.map_or("unknown", |endpoint| endpoint.name);
        service::count(app, request, name, &reply, elapsed);
        let reply = service::complete(app, endpoint, request, reply);
        responses.push(batch::Response::new(request, reply)?);
    }
    Ok(Reply::json(StatusCode::OK, &batch::Responses { responses }))
}

fn allowed(
    app: &App,
    request: &ApiRequest,
    found: Result<Route, ApiError>,
) -> Result<Route, ApiError> {
    request.query()?;
    let route = found?;
    route.allow(&app.config, &request.method)?;
    Ok(route)
}
