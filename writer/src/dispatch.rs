//! The one place that opens a transaction: plans, locks, runs, commits, and runs again after a
//! deadlock.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Object};
use http::{Method, StatusCode};
use serde_json::json;
use shared::{
    error::{ApiError, Detail},
    http::Reply,
    model::{EVERYONE, Timestamp},
    store::Tx,
};
use tokio::{time::timeout, try_join};

use crate::{
    app::App,
    authn, batch,
    context::{Ctx, User},
    cors,
    locks::Plan,
    openapi,
    operations::{self, Operation, View},
    pipeline,
    routes::{Parent, Route},
    service::{self, ApiRequest},
    store::memberships,
};

/// A transaction is run this often before a deadlock is told.
const ATTEMPTS: usize = 4;

/// Answers a request whose route is known.
///
/// # Errors
///
/// [`ApiError`]; nothing was written then.
pub async fn run(app: &App, route: Route, request: &ApiRequest) -> Result<Reply, ApiError> {
    if !route.is_step() {
        let checked = app.config.service.cors.check(&request.headers);
        checked.map_err(|detail| ApiError::Invalid(vec![detail]))?;
    }
    match route {
        Route::Hello => hello(app, request).await,
        Route::Heartbeat => Ok(operations::heartbeat(app).await),
        Route::LoadBalancerHeartbeat => Ok(Reply::json(StatusCode::OK, &json!({}))),
        Route::Version => Ok(operations::version(app)),
        Route::Contribute => Ok(operations::contribute(app)),
        Route::OpenApi => Ok(openapi::document(app, &request.headers)),
        Route::Metrics => {
            let body = app.metrics.render(&app.pool);
            Ok(Reply::text(StatusCode::OK, body))
        }
        Route::Batch => run_batch(app, request).await,
        Route::List(_) | Route::Object(..) | Route::Quota(..) | Route::Snapshot(..) => {
            let step = Step::new(app, route, request.clone());
            let mut replies = transaction(app, &[step]).await?;
            replies.pop().unwrap_or_else(|| Err(ApiError::internal("no reply")))
        }
    }
}

async fn hello(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let mut user = User { id: None, principals: vec![EVERYONE.to_owned()] };
    if let Some(id) = authn::user_id(&app.config, &request.headers) {
        let mut client = app.pool.get().await?;
        let Ok(groups) = timeout(patience(app), groups_of(&mut client, &id)).await else {
            return Err(give_up(client));
        };
        user.principals.extend([id.clone(), shared::model::AUTHENTICATED.to_owned()]);
        user.principals.extend(groups?);
        user.id = Some(id);
    }
    Ok(operations::hello(app, &request.headers, &user))
}

async fn groups_of(client: &mut ClientWrapper, id: &str) -> Result<Vec<String>, ApiError> {
    let tx = Tx::reading(client);
    let ((), groups) = try_join!(tx.begin(), memberships::groups_of(&tx, id))?;
    Ok(groups)
}

/// How long PostgreSQL may take for one transaction: a little longer than it allows itself for
/// one statement, so that its own timeouts are told first.
fn patience(app: &App) -> Duration {
    app.config.database.statement_timeout + Duration::from_secs(5)
}

/// A PostgreSQL that hangs does not see its own timeouts. Its connection is not used again.
fn give_up(client: Object) -> ApiError {
    drop(Object::take(client));
    ApiError::backend("PostgreSQL does not answer")
}

/// One request of a transaction: an operation, or what it was refused with beforehand.
struct Step {
    user_id: Option<String>,
    /// What is wrong with the origin, which only those are told who may do the rest (§1.10.2).
    refused_origin: Option<Detail>,
    operation: Result<Operation, ApiErrorSource>,
}

/// Refusals known from the URL alone; made anew for each attempt.
enum ApiErrorSource {
    /// The parent is malformed, and the method tells everybody.
    Parent(Parent),
    /// The parent is malformed, and only the authorized are told: nobody is (§2.4).
    Denied,
    /// The time of a snapshot is none.
    Time(String),
    /// The URL is not that of a list or an object.
    NoOperation,
}

impl ApiErrorSource {
    fn error(&self, user_id: Option<&String>) -> ApiError {
        match self {
            Self::Parent(Parent::Malformed { resource, id, .. }) => {
                ApiError::NoSuchParent { resource: *resource, id: id.clone() }
            }
            Self::Denied if user_id.is_some() => ApiError::Forbidden,
            Self::Denied => ApiError::MissingAuth,
            Self::Time(text) => operations::invalid_time(text),
            Self::NoOperation | Self::Parent(Parent::Known(_)) => ApiError::NoSuchEndpoint,
        }
    }
}

impl Step {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only lists and objects are steps of a transaction"
    )]
    fn new(app: &App, route: Route, request: ApiRequest) -> Self {
        let user_id = authn::user_id(&app.config, &request.headers);
        let refused_origin = app.config.service.cors.check(&request.headers).err();
        let (parent, id, view) = match route {
            Route::List(parent) => (parent, None, View::Itself),
            Route::Object(parent, id) => (parent, Some(id), View::Itself),
            Route::Quota(parent, id) => (parent, Some(id), View::Quota),
            Route::Snapshot(parent, time) => {
                let Some(at) = operations::parse_time(&time) else {
                    let operation = Err(ApiErrorSource::Time(time));
                    return Self { user_id, refused_origin, operation };
                };
                (parent, None, View::Snapshot(at))
            }
            _ => {
                let operation = Err(ApiErrorSource::NoOperation);
                return Self { user_id, refused_origin, operation };
            }
        };
        let tells_everybody = match request.method {
            Method::POST | Method::PUT | Method::PATCH => true,
            Method::DELETE => id.is_some(),
            _ => matches!(view, View::Snapshot(_)),
        };
        let operation = match parent {
            Parent::Known(list) => {
                Ok(Operation { method: request.method.clone(), list, id, view, request })
            }
            malformed if tells_everybody => Err(ApiErrorSource::Parent(malformed)),
            Parent::Malformed { .. } => Err(ApiErrorSource::Denied),
        };
        Self { user_id, refused_origin, operation }
    }
}

type Replies = Vec<Result<Reply, ApiError>>;

/// Runs the steps in one transaction. A refused step is its own failed reply; a failure, or a
/// refusal of the workflow, ends the whole.
async fn transaction(app: &App, steps: &[Step]) -> Result<Replies, ApiError> {
    for attempt in 1.. {
        match attempt_once(app, steps).await {
            Err(error) if is_transient(&error) && attempt < ATTEMPTS => {
                app.metrics.retries.inc();
                tracing::warn!(attempt, "transaction runs again after a deadlock");
            }
            result => return result,
        }
    }
    Err(ApiError::internal("a transaction was never run"))
}

async fn attempt_once(app: &App, steps: &[Step]) -> Result<Replies, ApiError> {
    let mut client = app.pool.get().await?;
    match timeout(patience(app), run_once(app, &mut client, steps)).await {
        Ok(result) => result,
        Err(_) => Err(give_up(client)),
    }
}

async fn run_once(
    app: &App,
    wrapper: &mut ClientWrapper,
    steps: &[Step],
) -> Result<Replies, ApiError> {
    let writes = steps.iter().any(|step| step.operation.as_ref().is_ok_and(Operation::is_write));
    let tx = if writes { Tx::writing(wrapper) } else { Tx::reading(wrapper) };
    let mut ctx = Ctx::new(app, &tx, Timestamp::now());
    prepare(&mut ctx, &tx, steps).await?;
    let replies = run_steps(&mut ctx, steps).await?;
    if !ctx.changes.is_empty() {
        pipeline::commit(&mut ctx).await?;
        let publications = ctx.publications;
        app.metrics.publications.inc_by(publications);
    }
    Ok(replies)
}

/// Locks what may be written, and reads what every step will look at.
async fn prepare(ctx: &mut Ctx<'_>, tx: &Tx<'_>, steps: &[Step]) -> Result<(), ApiError> {
    let mut plan = Plan::default();
    let (mut users, mut objects) = (HashSet::new(), HashSet::new());
    for step in steps {
        let Ok(operation) = &step.operation else { continue };
        users.insert(step.user_id.clone());
        objects.extend(operation.objects());
        if operation.is_write() {
            plan.add(ctx.app, tx, operation).await?;
        }
    }
    ctx.prepare(plan, &users, &objects).await?;
    // The locks may have been waited for: what is written now is stamped now.
    ctx.now = Timestamp::now();
    Ok(())
}

async fn run_steps(ctx: &mut Ctx<'_>, steps: &[Step]) -> Result<Replies, ApiError> {
    let mut replies = Vec::with_capacity(steps.len());
    for step in steps {
        let operation = match &step.operation {
            Ok(operation) => operation,
            Err(source) => {
                replies.push(Err(source.error(step.user_id.as_ref())));
                continue;
            }
        };
        ctx.become_user(step.user_id.clone()).await?;
        let first = ctx.changes.len();
        let result = operation.run(ctx).await;
        match cors::judge(step.refused_origin.as_ref(), result) {
            Ok(mut outcome) => {
                pipeline::after_operation(ctx, first, &mut outcome).await?;
                replies.push(Ok(outcome.into_reply(ctx)));
            }
            // Only a refusal that has written nothing is one failed reply (ADR 4).
            Err(refusal) if refusal.is_clients_fault() && ctx.changes.len() == first => {
                replies.push(Err(refusal));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(replies)
}

/// Deadlock and serialisation failure: nothing was done, and a second try succeeds.
fn is_transient(error: &ApiError) -> bool {
    let ApiError::Backend(source) = error else { return false };
    let code = source.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| matches!(code.code(), "40P01" | "40001"))
}

/// `POST /v1/batch` (`kinto-http-api.md` §6). What is not about lists and objects is answered
/// apart from the transaction.
async fn run_batch(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let requests = batch::parse(&app.config, request)?;
    let mut steps = Vec::with_capacity(requests.len());
    let mut answered = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        match route_of(app, request) {
            Ok(route) if route.is_step() => {
                steps.push(Step::new(app, route, request.clone()));
            }
            Ok(route) => {
                let reply = Box::pin(run(app, route, request)).await;
                answered.insert(index, service::unless_ours(app, reply)?);
            }
            Err(error) => {
                answered.insert(index, service::refuse(app, &error));
            }
        }
    }
    let mut replies = match steps.as_slice() {
        [] => Vec::new().into_iter(),
        steps => transaction(app, steps).await?.into_iter(),
    };
    let mut responses = Vec::with_capacity(requests.len());
    for (index, request) in requests.iter().enumerate() {
        let reply = answered.remove(&index).or_else(|| {
            replies.next().map(|reply| reply.unwrap_or_else(|error| service::refuse(app, &error)))
        });
        let reply = reply.ok_or_else(|| ApiError::internal("no reply"))?;
        let endpoint = Route::find(&app.config, &request.path).ok().map(|route| route.endpoint());
        let reply = service::complete(app, endpoint, request, reply);
        responses.push(batch::entry(request, reply));
    }
    Ok(Reply::json(StatusCode::OK, &json!({"responses": responses})))
}

fn route_of(app: &App, request: &ApiRequest) -> Result<Route, ApiError> {
    request.query()?;
    let route = Route::find(&app.config, &request.path)?;
    route.allow(&app.config, &request.method)?;
    Ok(route)
}
