//! The one place that opens a transaction: plans, locks, runs, commits, and runs again after a
//! deadlock.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use http::{Method, StatusCode};
use serde_json::json;
use shared::{
    error::ApiError,
    http::Reply,
    model::{EVERYONE, Timestamp},
    store,
};
use tokio::time::timeout;

use crate::{
    app::App,
    authn::{self, Identities},
    batch,
    context::{Ctx, User},
    locks::Plan,
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
    match route {
        Route::Hello => hello(app, request).await,
        Route::Heartbeat => Ok(heartbeat(app).await),
        Route::LoadBalancerHeartbeat => Ok(Reply::json(StatusCode::OK, &json!({}))),
        Route::Version => Ok(version(app)),
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
    let tx = store::snapshot(client).await?;
    memberships::groups_of(&tx, id).await
}

/// A PostgreSQL that hangs does not see its own timeouts. Its connection is not used again.
fn give_up(client: Object) -> ApiError {
    drop(Object::take(client));
    ApiError::backend("PostgreSQL does not answer")
}

/// One key a backend (§1.2.1).
async fn heartbeat(app: &App) -> Reply {
    let probe = timeout(Duration::from_secs(10), app.probe_storage());
    let storage = matches!(probe.await, Ok(Ok(())));
    let resources = &app.config.signer.resources;
    let signer = resources.is_empty() || app.signer.sign(b"This is a heartbeat test.").is_ok();
    let status = if storage && signer { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"storage": storage, "permission": storage, "cache": true, "signer": signer});
    Reply::json(status, &body)
}

fn version(app: &App) -> Reply {
    Reply::json(
        StatusCode::OK,
        &json!({
            "name": app.config.project.name,
            "version": env!("CARGO_PKG_VERSION"),
            "source": env!("CARGO_PKG_REPOSITORY"),
            "commit": option_env!("COUNTERSIGN_COMMIT").unwrap_or_default(),
        }),
    )
}

/// One request of a transaction: an operation, or what it was refused with beforehand.
struct Step {
    user_id: Option<String>,
    operation: Result<Operation, ApiErrorSource>,
}

/// Refusals known from the URL alone; made anew for each attempt.
enum ApiErrorSource {
    /// The parent is malformed, and the method tells everybody.
    Parent(Parent),
    /// The parent is malformed, and only the authorized are told: nobody is (§2.4).
    Denied,
    /// The URL of a batch's request is wrong.
    Url(String, Method),
}

impl ApiErrorSource {
    fn error(&self, user_id: Option<&String>) -> ApiError {
        match self {
            Self::Parent(Parent::Malformed { resource, id, .. }) => {
                ApiError::NoSuchParent { resource: *resource, id: id.clone() }
            }
            Self::Denied if user_id.is_some() => ApiError::Forbidden,
            Self::Denied => ApiError::MissingAuth,
            Self::Url(path, method) => Route::parse(path)
                .and_then(|route| route.allow(method))
                .err()
                .unwrap_or(ApiError::NoSuchEndpoint),
            Self::Parent(Parent::Known(_)) => ApiError::NoSuchEndpoint,
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
        let (parent, id) = match route {
            Route::List(parent) => (parent, None),
            Route::Object(parent, id) => (parent, Some(id)),
            _ => {
                let source = ApiErrorSource::Url(request.path, request.method);
                return Ok(Self { user_id, operation: Err(source) });
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
        Ok(Self { user_id, operation })
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
    let tx = if writes { wrapper.transaction().await? } else { store::snapshot(wrapper).await? };
    let mut ctx = Ctx::new(app, &tx, Timestamp::now());
    if writes {
        let mut plan = Plan::default();
        for operation in steps.iter().filter_map(|step| step.operation.as_ref().ok()) {
            if operation.is_write() {
                plan.add(app, &tx, operation).await?;
            }
        }
        ctx.clocks.lock(&tx, plan.lists, plan.publication).await?;
        // The locks may have been waited for: what is written now is stamped now.
        ctx.now = Timestamp::now();
    }
    let replies = run_steps(&mut ctx, steps).await?;
    if !ctx.changes.is_empty() {
        pipeline::before_commit(&mut ctx).await?;
        let publications = ctx.publications;
        drop(ctx);
        tx.commit().await?;
        app.metrics.publications.inc_by(publications);
    }
    Ok(replies)
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
        match operation.run(ctx).await {
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

/// `POST /v1/batch` (`kinto-http-api.md` §6).
async fn run_batch(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let requests = batch::parse(app.config.batch_max_requests, request)?;
    let mut steps = Vec::with_capacity(requests.len());
    let mut identities = Identities::default();
    for request in &requests {
        let step = match Route::find(app, &request.path).and_then(|route| {
            route.allow(&request.method)?;
            Ok(route)
        }) {
            Ok(route) => Step::new(app, &mut identities, route, request.clone()).await?,
            Err(_) => Step {
                user_id: None,
                operation: Err(ApiErrorSource::Url(request.path.clone(), request.method.clone())),
            },
        };
        steps.push(step);
    }
    let replies = transaction(app, &steps).await?;
    let mut responses = Vec::with_capacity(replies.len());
    for (request, reply) in requests.iter().zip(replies) {
        let reply = reply.unwrap_or_else(|error| service::refuse(app, &error));
        responses.push(batch::entry(request, &reply)?);
    }
    Ok(Reply::json(StatusCode::OK, &json!({"responses": responses})))
}
