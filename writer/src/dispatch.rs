//! The one place that opens a transaction: plans, locks, runs, commits, and runs again after a
//! deadlock.

use std::collections::{HashMap, HashSet};

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
    authn::{self, Identities},
    batch,
    context::{Ctx, User},
    cors,
    locks::Plan,
    openapi,
    operations::{self, Operation, openid},
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
    if !matches!(route, Route::List(_) | Route::Object(..)) {
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
        Route::OpenId { provider, step } => openid::login(app, &provider, step, request).await,
        Route::List(_) | Route::Object(..) => {
            let mut identities = Identities::default();
            let step = Step::new(app, &mut identities, route, request.clone()).await?;
            let mut replies = transaction(app, &[step]).await?;
            replies.pop().unwrap_or_else(|| Err(ApiError::internal("no reply")))
        }
    }
}

async fn hello(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let mut user = User { id: None, principals: vec![EVERYONE.to_owned()] };
    let identity = authn::authenticate(app, &request.headers).await?;
    let (id, profile) = identity.map(|found| (found.user_id, found.profile)).unzip();
    if let Some(id) = id {
        let mut client = app.pool.get().await?;
        let Ok(groups) = timeout(app.patience(), groups_of(&mut client, &id)).await else {
            return Err(give_up(client));
        };
        user.principals.extend([id.clone(), shared::model::AUTHENTICATED.to_owned()]);
        user.principals.extend(groups?);
        user.id = Some(id);
    }
    Ok(operations::hello(app, &request.headers, &user, profile.flatten()).await)
}

async fn groups_of(client: &mut ClientWrapper, id: &str) -> Result<Vec<String>, ApiError> {
    let tx = Tx::reading(client);
    let ((), groups) = try_join!(tx.begin(), memberships::groups_of(&tx, id))?;
    Ok(groups)
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
            Self::NoOperation | Self::Parent(Parent::Known(_)) => ApiError::NoSuchEndpoint,
        }
    }
}

impl Step {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "only lists and objects are steps of a transaction"
    )]
    async fn new(
        app: &App,
        identities: &mut Identities,
        route: Route,
        request: ApiRequest,
    ) -> Result<Self, ApiError> {
        let identity = identities.of(app, &request.headers).await?;
        let user_id = identity.map(|found| found.user_id);
        let refused_origin = app.config.service.cors.check(&request.headers).err();
        let (parent, id) = match route {
            Route::List(parent) => (parent, None),
            Route::Object(parent, id) => (parent, Some(id)),
            _ => {
                let operation = Err(ApiErrorSource::NoOperation);
                return Ok(Self { user_id, refused_origin, operation });
            }
        };
        let tells_everybody = match request.method {
            Method::POST | Method::PUT | Method::PATCH => true,
            Method::DELETE => id.is_some(),
            _ => false,
        };
        let operation = match parent {
            Parent::Known(list) => {
                let mut operation = Operation { method: request.method.clone(), list, id, request };
                operations::hash_password(app, user_id.as_ref(), &mut operation).await?;
                Ok(operation)
            }
            malformed if tells_everybody => Err(ApiErrorSource::Parent(malformed)),
            Parent::Malformed { .. } => Err(ApiErrorSource::Denied),
        };
        Ok(Self { user_id, refused_origin, operation })
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
    match timeout(app.patience(), run_once(app, &mut client, steps)).await {
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
    let mut identities = Identities::default();
    for (index, request) in requests.iter().enumerate() {
        match route_of(app, request) {
            Ok(route @ (Route::List(_) | Route::Object(..))) => {
                steps.push(Step::new(app, &mut identities, route, request.clone()).await?);
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
