//! Runs a batch: its requests in their order, in one transaction.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use http::{Method, StatusCode, header::AUTHORIZATION};
use shared::{
    error::ApiError,
    http::Reply,
    model::{Id, ListPath},
};

use super::run_together;
use crate::{
    app::App,
    asides::Aside,
    authn::{self, Identities},
    batch,
    context::Ctx,
    dispatch,
    operations::{self, Operation},
    routes::Route,
    service::{self, ApiRequest},
    step::{SignIn, Step},
};

/// `POST /v1/batch` (`kinto-http-api.md` §6).
///
/// # Errors
///
/// A failure, or a refusal of the whole; nothing was written then.
pub(super) async fn run_batch(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let requests = batch::parse(&app.config, request)?;
    let found: Vec<_> =
        requests.iter().map(|request| Route::find(&app.config, &request.path)).collect();
    let endpoints: Vec<_> =
        found.iter().map(|route| route.as_ref().ok().map(Route::endpoint)).collect();
    let mut parts = Parts::default();
    for (index, (request, found)) in requests.iter().zip(found).enumerate() {
        match allowed(app, request, found) {
            Ok(route) if route.is_step() || Aside::has(&route) => {
                parts.add_step(app, route, request).await?;
            }
            Ok(route) => {
                let started = Instant::now();
                let reply = Box::pin(dispatch::run(app, route, request)).await;
                let reply = service::unless_ours(app, reply)?;
                parts.answered.insert(index, (reply, started.elapsed()));
            }
            Err(error) => {
                parts.answered.insert(index, (service::refuse(app, &error), Duration::ZERO));
            }
        }
    }
    let replies = parts.run(app).await?;
    let mut replies = replies.into_iter().zip(&parts.steps).map(|(reply, step)| {
        (reply.unwrap_or_else(|error| service::refuse(app, &error)), step.elapsed())
    });
    let mut responses = Vec::with_capacity(requests.len());
    for (index, (request, endpoint)) in requests.iter().zip(endpoints).enumerate() {
        let reply = parts.answered.remove(&index).or_else(|| replies.next());
        let (reply, elapsed) = reply.ok_or_else(|| ApiError::internal("no reply"))?;
        let name = endpoint.map_or("unknown", |endpoint| endpoint.name);
        service::count(app, request, name, &reply, elapsed);
        let reply = service::complete(app, endpoint, request, reply);
        responses.push(batch::Response::new(request, reply)?);
    }
    Ok(Reply::json(StatusCode::OK, &batch::Responses { responses }))
}

/// What becomes of a batch's requests.
#[derive(Default)]
struct Parts {
    /// What runs in the transaction, and what each step was made of.
    steps: Vec<Step>,
    origins: Vec<(Route, ApiRequest)>,
    /// What neither reads nor writes what the transaction changes.
    answered: HashMap<usize, (Reply, Duration)>,
    identities: Identities,
    /// The accounts that steps may make or change.
    accounts: HashSet<Id>,
}

impl Parts {
    async fn add_step(
        &mut self,
        app: &App,
        route: Route,
        request: &ApiRequest,
    ) -> Result<(), ApiError> {
        let origin = (route, request.clone());
        let mut step =
            Step::new(app, &mut self.identities, origin.0.clone(), request.clone()).await?;
        // Who is known already stays known, also when the batch has deleted the account.
        step.signs_in =
            self.identities.sign_in(request).cloned().filter(|SignIn { account, .. }| {
                self.accounts.contains(account) && !authn::is_account(&step.asker, account)
            });
        self.accounts.extend(step.operation.as_ref().ok().and_then(written_account));
        self.steps.push(step);
        self.origins.push(origin);
        Ok(())
    }

    /// Runs the steps. Where one signs in with a password that a former one has set, it is checked
    /// between two runs: it takes long, and others wait for the locks.
    async fn run(&mut self, app: &App) -> Result<dispatch::Replies, ApiError> {
        if self.steps.is_empty() {
            return Ok(Vec::new());
        }
        loop {
            let error = match run_together(app, &self.steps).await {
                Ok(replies) => {
                    if self.have_erased_all(&replies) {
                        operations::after_flush(app);
                    }
                    return Ok(replies);
                }
                Err(error) => error,
            };
            let NewPassword { step, sign_in } = NewPassword::in_error(error)?;
            self.judge_again(app, step, &sign_in).await?;
        }
    }

    /// Judges anew who asks for a step, and for those after it with the same credentials: each would
    /// take another run.
    async fn judge_again(
        &mut self,
        app: &App,
        first: usize,
        sign_in: &SignIn,
    ) -> Result<(), ApiError> {
        let sent = self.origins[first].1.headers.get(AUTHORIZATION).cloned();
        let mut identities = Identities::against(sign_in.clone());
        for (step, (route, request)) in self.steps.iter_mut().zip(&self.origins).skip(first) {
            let account = step.signs_in.as_ref().map(|signs_in| &signs_in.account);
            if account == Some(&sign_in.account)
                && request.headers.get(AUTHORIZATION) == sent.as_ref()
            {
                *step = Step::new(app, &mut identities, route.clone(), request.clone()).await?;
                step.signs_in = Some(sign_in.clone());
            }
        }
        Ok(())
    }

    fn have_erased_all(&self, replies: &dispatch::Replies) -> bool {
        let erases_all = |step: &Step| step.aside.as_ref().is_some_and(Aside::erases_all);
        self.steps.iter().zip(replies).any(|(step, reply)| reply.is_ok() && erases_all(step))
    }
}

/// Runs what is not an operation. A refusal is its own failed reply.
pub(super) async fn run_aside<'a>(
    ctx: &mut Ctx<'a>,
    step: &'a Step,
    aside: &'a Aside,
) -> Result<Result<Reply, ApiError>, ApiError> {
    if let Some(detail) = &step.refused_origin {
        return Ok(Err(ApiError::Invalid(vec![detail.clone()])));
    }
    let started = Instant::now();
    ctx.begin_request(&aside.request);
    ctx.become_user(&step.asker).await?;
    let first = ctx.changes.len();
    let result = aside.run(ctx).await;
    step.took(started.elapsed());
    match result {
        Err(error) if !error.is_clients_fault() || ctx.changes.len() != first => Err(error),
        reply => Ok(reply),
    }
}

/// Whether a step's user has to be judged anew, because a former step has set the password that is
/// sent.
///
/// # Errors
///
/// [`NewPassword`] then.
pub(super) async fn check_sign_in(
    ctx: &mut Ctx<'_>,
    index: usize,
    step: &Step,
) -> Result<(), ApiError> {
    let Some(SignIn { account, hash }) = &step.signs_in else { return Ok(()) };
    let found = ctx.object(&ListPath::Accounts.object(account.clone())).await?;
    let now = found.as_ref().and_then(|found| found.data.get("password")?.as_str());
    if now == hash.as_deref() {
        return Ok(());
    }
    let sign_in = SignIn { account: account.clone(), hash: now.map(str::to_owned) };
    Err(ApiError::Backend(Box::new(NewPassword { step: index, sign_in })))
}

/// A step's user signs in with a password that is to be checked first.
#[derive(Debug, thiserror::Error)]
#[error("a password that the batch has set is to be checked")]
pub(super) struct NewPassword {
    /// Which step.
    pub(super) step: usize,
    /// Against which hash.
    pub(super) sign_in: SignIn,
}

impl NewPassword {
    /// Finds it among errors; any other is given back.
    fn in_error(error: ApiError) -> Result<Self, ApiError> {
        let ApiError::Backend(source) = error else { return Err(error) };
        match source.downcast::<Self>() {
            Ok(found) => Ok(*found),
            Err(source) => Err(ApiError::Backend(source)),
        }
    }
}

fn written_account(operation: &Operation) -> Option<Id> {
    let sets = matches!(operation.method, Method::PUT | Method::PATCH | Method::POST);
    let id = (sets && operation.list == ListPath::Accounts).then(|| operation.id_hint())??;
    Id::account(&id).ok()
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
