//! The one place that opens a transaction: plans, locks, runs, commits, and runs again after a
//! deadlock.

mod batched;

use std::{collections::HashSet, sync::Arc, time::Instant};

use deadpool_postgres::ClientWrapper;
use futures_util::FutureExt as _;
use http::{HeaderValue, StatusCode, header};
use serde_json::json;
use shared::{
    error::ApiError,
    http::Reply,
    model::{ObjectPath, Permission, Timestamp},
    store::Tx,
};
use tokio::time::timeout;

use self::batched::{check_sign_in, run_aside};
use crate::{
    app::App,
    asides,
    authn::{self, Identities, Profile},
    authz,
    config::Grant,
    context::Ctx,
    cors, failpoint,
    locks::{Outdated, Plan},
    metrics, notifications, openapi,
    operations::{self, openid, user_data},
    pipeline,
    pki::publication,
    plugins::default_bucket,
    routes::{Parent, Route},
    schema::{Costly, Verdicts},
    service::ApiRequest,
    signoff::signing::{Presigned, Unsigned},
    step::{Refusal, Step},
    store::{memberships, permissions},
    transaction::{self, give_up, patience},
    user::{Asker, User},
};

/// A transaction is run this often, and once more for each of its steps, before it is told that what it
/// needs changes all the time.
const FORESIGHTS: usize = 32;

/// Answers a request whose route is known.
///
/// # Errors
///
/// [`ApiError`]; nothing was written then.
pub async fn run(app: &App, route: Route, request: &ApiRequest) -> Result<Reply, ApiError> {
    if !route.is_step() && route != Route::Metrics {
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
            let format = HeaderValue::from_static(metrics::FORMAT);
            let text = app.metrics.render(&app.pool, &publication::ends(app));
            let reply = Reply::text(StatusCode::OK, text);
            Ok(reply.header(header::CONTENT_TYPE, format))
        }
        Route::Batch => batched::run_batch(app, request).await,
        Route::OpenId { provider, step } => openid::login(app, &provider, step, request).await,
        Route::Permissions => {
            let about = (app, request, Arc::new(asker(app, request).await?.0));
            transaction::snapshot(app, &about, |tx, (app, request, user)| {
                let mut ctx = Ctx::new(app, tx, Timestamp::now());
                ctx.user = user.clone();
                async move { operations::permissions(&mut ctx, request).await }.boxed()
            })
            .await
        }
        Route::Counters => {
            transaction::snapshot(app, &(), |tx, ()| operations::counters(tx).boxed()).await
        }
        Route::Flush => {
            let caches = &app.config.purge;
            let reply = transaction::commit(app, caches, |tx, caches| {
                operations::flush(tx, caches).boxed()
            })
            .await?;
            operations::after_flush(app);
            Ok(reply)
        }
        Route::UserData(principal) => {
            erase_user_data(app, request, &principal.unwrap_or_default()).await
        }
        Route::Monitor => operations::monitor(app, request).await,
        Route::MonitorRecords => operations::monitor_records(app, request).await,
        Route::Broadcasts => operations::broadcasts(app).await,
        Route::List(_)
        | Route::Object(..)
        | Route::Quota(..)
        | Route::Snapshot(..)
        | Route::Changeset(_) => {
            let mut identities = Identities::default();
            let step = Step::new(app, &mut identities, route, request.clone()).await?;
            app.group_commit.run(app, step).await
        }
    }
}

async fn hello(app: &App, request: &ApiRequest) -> Result<Reply, ApiError> {
    let (user, profile) = asker(app, request).await?;
    let about = operations::about(app, &request.headers).await;
    Ok(operations::hello(app, about, &user, profile))
}

/// Who sent the request, and the profile that an OpenID provider has of them: for what is not a
/// step of a transaction.
async fn asker(app: &App, request: &ApiRequest) -> Result<(User, Option<Profile>), ApiError> {
    let identity = authn::authenticate(app, request).await?;
    let (asker, profile) = identity.map(|found| (found.asker, found.profile)).unzip();
    let asker = asker.unwrap_or_default();
    app.metrics.authenticated(asker.id.as_deref());
    let groups = if asker.id.is_some() {
        transaction::snapshot(app, &asker, |tx, asker| {
            memberships::groups_of(tx, asker.names().collect()).boxed()
        })
        .await?
    } else {
        Vec::new()
    };
    Ok((User::new(&asker, groups), profile.flatten()))
}

/// `DELETE /v1/__user_data__/{principal}` (§7.8): ordinary deletions with the principal's rights,
/// some at a time; then nothing names the principal any more.
async fn erase_user_data(
    app: &App,
    request: &ApiRequest,
    principal: &str,
) -> Result<Reply, ApiError> {
    let (user, _) = asker(app, request).await?;
    user_data::authorize(app, &user, principal)?;
    let mut about = (principal.to_owned(), String::new());
    loop {
        let owned = transaction::snapshot(app, &about, |tx, (principal, after)| {
            permissions::owned(tx, principal, after, user_data::BATCH).boxed()
        })
        .await?;
        let Some(last) = owned.last() else { break };
        about.1.clone_from(&last.uri);
        let deletions = user_data::deletions(request, &owned).into_iter();
        let steps: Vec<Step> = deletions
            .map(|operation| Step {
                acts_for: Some(principal.to_owned()),
                ..Step::with(Asker::named(user.id.clone()), Ok(operation))
            })
            .collect();
        run_together(app, &steps).await?;
    }
    let mut about =
        (principal.to_owned(), String::new(), Timestamp::now(), app.config.purge.clone());
    while let Some(last) =
        transaction::commit(app, &about, |tx, (principal, after, now, caches)| {
            user_data::forget(tx, principal, after, *now, caches).boxed()
        })
        .await?
    {
        about.1 = last;
    }
    Ok(user_data::reply(principal))
}

/// One for each step, in their order.
pub type Replies = Vec<Result<Reply, ApiError>>;

/// Runs what a job asks for as requests are run, in one transaction: all of it, or nothing.
///
/// # Errors
///
/// The first refusal or failure.
pub async fn perform(app: &App, steps: &[Step]) -> Result<(), ApiError> {
    run_together(app, steps).await.map(drop)
}

/// One run of a transaction.
#[derive(Clone, Copy)]
struct Attempt<'a> {
    /// What earlier runs found missing, if there were any. Then rows of lists are made, and nothing
    /// that is taken for granted is believed to be there.
    missing: Option<&'a Outdated>,
    /// What was signed for it.
    presigned: &'a Presigned,
    /// What was validated for it.
    verdicts: &'a Verdicts,
}

/// Runs the steps in one transaction. A refused step is its own failed reply.
///
/// # Errors
///
/// A failure, or a refusal of the workflow: it ends the whole.
pub async fn run_together(app: &App, steps: &[Step]) -> Result<Replies, ApiError> {
    let (mut presigned, mut verdicts) = (Presigned::default(), Verdicts::default());
    let (mut failures, mut runs, mut missing) = (0, 0, None::<Outdated>);
    // Each step may have something that takes long, which is found only when it is reached.
    let most = FORESIGHTS + steps.len();
    loop {
        let (missing_now, judged) = (missing.as_ref(), &verdicts);
        let attempt = Attempt { missing: missing_now, presigned: &presigned, verdicts: judged };
        let error = match attempt_once(app, steps, attempt).await {
            Ok(replies) => return Ok(replies),
            Err(error) => error,
        };
        runs += 1;
        if runs > most {
            return Err(error);
        }
        let error = match Unsigned::in_error(error) {
            Ok(unsigned) => {
                presigned.add(app, unsigned).await?;
                continue;
            }
            Err(error) => error,
        };
        let error = match Costly::in_error(error) {
            Ok(costly) => {
                verdicts.add(&app.turns, costly).await?;
                continue;
            }
            Err(error) => error,
        };
        match Outdated::in_error(error) {
            Ok(outdated) => missing.get_or_insert_default().add(outdated),
            Err(error) => transaction::try_again(app, error, &mut failures)?,
        }
    }
}

async fn attempt_once(
    app: &App,
    steps: &[Step],
    attempt: Attempt<'_>,
) -> Result<Replies, ApiError> {
    let started = Instant::now();
    let mut client = app.pool.get().await?;
    match timeout(patience(app), run_once(app, &mut client, steps, attempt)).await {
        Ok(result) => {
            app.metrics.transaction(started.elapsed());
            result
        }
        Err(_) => Err(give_up(client)),
    }
}

async fn run_once(
    app: &App,
    wrapper: &mut ClientWrapper,
    steps: &[Step],
    attempt: Attempt<'_>,
) -> Result<Replies, ApiError> {
    let missing = missing_implied(&Tx::reading(wrapper), steps, attempt).await?;
    let writes = steps.iter().any(Step::is_write) || !missing.is_empty();
    let tx = if writes { Tx::writing(wrapper) } else { Tx::reading(wrapper) };
    let mut ctx = Ctx::new(app, &tx, Timestamp::now());
    (ctx.presigned, ctx.verdicts) = (Some(attempt.presigned), Some(attempt.verdicts));
    let makes_rows = attempt.missing.is_some() || !missing.is_empty();
    let mut plan = Plan { makes_rows, ..Plan::default() };
    for path in missing {
        plan.add_implied(path);
    }
    if let Some(missing) = attempt.missing {
        plan.add_missing(app, &tx, missing).await?;
    }
    asides::lock(&ctx, steps.iter().filter_map(|step| step.aside.as_ref())).await?;
    prepare(&mut ctx, &tx, steps, plan).await?;
    failpoint::at("locked").await;
    // The locks may have been waited for: what is written now is stamped now. What was signed
    // before was stamped then.
    ctx.now = attempt.presigned.now().unwrap_or_else(Timestamp::now);
    let replies = run_steps(&mut ctx, steps).await?;
    if ctx.has_written() {
        pipeline::commit(&mut ctx).await?;
        failpoint::at("committed").await;
        app.metrics.publications.inc_by(ctx.publications);
    }
    Ok(replies)
}

/// What the steps take for granted and what does not exist: even a read then has something to
/// write. Who runs again believes nothing.
async fn missing_implied<'a>(
    tx: &Tx<'_>,
    steps: &'a [Step],
    attempt: Attempt<'_>,
) -> Result<Vec<&'a ObjectPath>, ApiError> {
    let implied: Vec<&ObjectPath> = steps.iter().flat_map(|step| &step.implied).collect();
    if attempt.missing.is_some() {
        return Ok(implied);
    }
    default_bucket::missing(tx, &implied).await
}

/// Locks what may be written, and reads what every step will look at.
async fn prepare(
    ctx: &mut Ctx<'_>,
    tx: &Tx<'_>,
    steps: &[Step],
    mut plan: Plan,
) -> Result<(), ApiError> {
    let only_reads = tx.is_reading();
    plan.asks_once = only_reads && steps.iter().all(Step::reads_one_object);
    let (mut users, mut objects) = (HashSet::new(), HashSet::new());
    for step in steps {
        users.insert(step.asker.clone());
        let Ok(operation) = &step.operation else { continue };
        objects.extend(operation.objects());
        objects.extend(step.implied.iter().cloned());
        if operation.is_write() {
            objects.extend(notifications::looks_at(ctx.app, operation));
            plan.add(ctx.app, tx, operation).await?;
        } else if only_reads && operation.id.is_none() {
            plan.read.push(operation.list.clone());
        }
    }
    let emptied = std::mem::take(&mut plan.emptied);
    ctx.prepare(plan, &users, &objects).await?;
    ctx.check_locked(emptied).await?;
    if only_reads {
        default_bucket::check_present(ctx, steps.iter().flat_map(|step| &step.implied)).await?;
    }
    Ok(())
}

async fn run_steps<'a>(ctx: &mut Ctx<'a>, steps: &'a [Step]) -> Result<Replies, ApiError> {
    let mut replies = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        check_sign_in(ctx, index, step).await?;
        let operation = match &step.operation {
            Ok(operation) => operation,
            Err(_) if let Some(aside) = &step.aside => {
                replies.push(run_aside(ctx, step, aside).await?);
                continue;
            }
            Err(source) => {
                replies.push(Err(refusal(ctx, step, source).await?));
                continue;
            }
        };
        let started = Instant::now();
        ctx.begin_request(&operation.request);
        ctx.become_user(&step.asker).await?;
        if let Some(principal) = &step.acts_for {
            ctx.act_for(principal);
        }
        if step.by_job {
            ctx.act_as_job();
        }
        default_bucket::make_missing(ctx, &step.implied).await?;
        let first = ctx.changes.len();
        let result = operation.run(ctx).await;
        step.took(started.elapsed());
        match cors::judge(step.refused_origin.as_ref(), result) {
            Ok(mut outcome) => {
                pipeline::after_operation(ctx, first, &mut outcome).await?;
                replies.push(Ok(outcome.into_reply(ctx)));
            }
            // Only a refusal that has written nothing is one failed reply (ADR 4).
            Err(refusal) if ctx.changes.len() == first && step.goes_on_after(&refusal) => {
                replies.push(Err(refusal));
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(replies)
}

/// What a step that cannot run is answered with.
async fn refusal(ctx: &mut Ctx<'_>, step: &Step, source: &Refusal) -> Result<ApiError, ApiError> {
    let plain = source.error(step.asker.id.as_ref());
    let Refusal::Hidden(parent, wanted) = source else { return Ok(plain) };
    let Parent::Malformed { holds, resource, id, bucket } = parent else { return Ok(plain) };
    ctx.become_user(&step.asker).await?;
    let by_settings: &[Grant] =
        if *wanted == Permission::Read { &[Grant::Read, Grant::Write] } else { &[Grant::Write] };
    let mut is_told = authz::settings_grant(ctx, *holds, by_settings);
    if let Some(bucket) = bucket {
        let bucket = ObjectPath::bucket(bucket.clone());
        is_told = is_told || authz::is_granted(ctx, *wanted, &bucket).await?;
    }
    let told = ApiError::NoSuchParent { resource: *resource, id: id.clone() };
    Ok(if is_told { told } else { plain })
}
