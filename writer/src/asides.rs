//! What a batch may ask for beside lists and objects, in its place: each sees what the former
//! requests have done, and is undone with them (`kinto-http-api.md` §6.3-6.4).

use serde_json::Value;
use shared::{error::ApiError, http::Reply, store::Tx};

use crate::{
    app::App,
    authn::Profile,
    context::Ctx,
    locks::Plan,
    operations::{self, user_data},
    pipeline,
    routes::Route,
    service::ApiRequest,
    store::{maintenance, permissions},
};

/// What is asked for.
#[derive(Debug)]
pub enum What {
    /// The hello view, but for the user.
    Hello(Value, Option<Profile>),
    /// What the user may do.
    Permissions,
    /// How much there is.
    Counters,
    /// That everything is erased.
    Flush,
    /// That what a principal owns is erased.
    UserData(String),
}

/// One such request.
#[derive(Debug)]
pub struct Aside {
    /// What is asked for.
    pub what: What,
    /// The request.
    pub request: ApiRequest,
}

impl Aside {
    /// Whether a route is one of these.
    pub const fn has(route: &Route) -> bool {
        matches!(
            route,
            Route::Hello
                | Route::Permissions
                | Route::Counters
                | Route::Flush
                | Route::UserData(Some(_))
        )
    }

    /// What is asked for, if it is one of these. What takes long is read here, before the
    /// transaction begins.
    pub async fn new(
        app: &App,
        route: &Route,
        request: &ApiRequest,
        profile: Option<Profile>,
    ) -> Option<Self> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the others are none of these")]
        let what = match route {
            Route::Hello => What::Hello(operations::about(app, &request.headers).await, profile),
            Route::Permissions => What::Permissions,
            Route::Counters => What::Counters,
            Route::Flush => What::Flush,
            Route::UserData(Some(principal)) => What::UserData(principal.clone()),
            _ => return None,
        };
        Some(Self { what, request: request.clone() })
    }

    /// Whether it may write.
    pub const fn is_write(&self) -> bool {
        matches!(self.what, What::Flush | What::UserData(_))
    }

    /// Whether nothing is left after it.
    pub const fn erases_all(&self) -> bool {
        matches!(self.what, What::Flush)
    }

    /// Answers. A refusal has written nothing.
    ///
    /// # Errors
    ///
    /// [`ApiError`]: a refusal, or a failure that ends the whole.
    pub async fn run(&self, ctx: &mut Ctx<'_>) -> Result<Reply, ApiError> {
        match &self.what {
            What::Hello(about, profile) => {
                Ok(operations::hello(ctx.app, about.clone(), &ctx.user, profile.clone()))
            }
            What::Permissions => operations::permissions(ctx, &self.request).await,
            What::Counters => operations::counters(ctx.counted().await?).await,
            What::Flush => flush(ctx).await,
            What::UserData(principal) => self.erase(ctx, principal).await,
        }
    }

    /// `DELETE /v1/__user_data__/{principal}`, all in this transaction.
    async fn erase(&self, ctx: &mut Ctx<'_>, principal: &str) -> Result<Reply, ApiError> {
        user_data::authorize(ctx.app, &ctx.user, principal)?;
        // Only now: whoever may not erase must not lock either. The whole runs again with these.
        let tx = ctx.settled().await?;
        let plan = locks(ctx, tx, &self.request, principal).await?;
        ctx.check_held(plan.lists)?;
        ctx.check_emptied(plan.emptied)?;
        let user = ctx.user.clone();
        ctx.act_for(principal);
        let mut after = String::new();
        loop {
            let tx = ctx.settled().await?;
            let owned = permissions::owned(tx, principal, &after, user_data::BATCH).await?;
            let Some(last) = owned.last() else { break };
            after.clone_from(&last.uri);
            for operation in user_data::deletions(&self.request, &owned) {
                let first = ctx.changes.len();
                match operation.run(ctx).await {
                    Ok(mut outcome) => pipeline::after_operation(ctx, first, &mut outcome).await?,
                    // What is published stays.
                    Err(refusal) if ctx.changes.len() == first && is_refusal(&refusal) => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
        ctx.user = user;
        ctx.forget_principal(principal).await?;
        Ok(user_data::reply(principal))
    }
}

/// What is to be locked for what the principal owns and is named in.
async fn locks(
    ctx: &Ctx<'_>,
    tx: &Tx<'_>,
    request: &ApiRequest,
    principal: &str,
) -> Result<Plan, ApiError> {
    let mut plan = Plan::default();
    let mut after = String::new();
    loop {
        let owned = permissions::owned(tx, principal, &after, user_data::BATCH).await?;
        let Some(last) = owned.last() else { break };
        after.clone_from(&last.uri);
        for operation in user_data::deletions(request, &owned) {
            plan.add(ctx.app, tx, &operation).await?;
        }
    }
    after.clear();
    loop {
        let uris = permissions::naming(tx, principal, &after, user_data::BATCH).await?;
        let Some(last) = uris.last() else { break };
        after.clone_from(last);
        plan.lists.extend(user_data::lists_of(&uris));
    }
    Ok(plan)
}

fn is_refusal(error: &ApiError) -> bool {
    error.is_clients_fault() || matches!(error, ApiError::Refused { .. })
}

async fn flush(ctx: &mut Ctx<'_>) -> Result<Reply, ApiError> {
    ctx.flush().await?;
    Ok(operations::flushed())
}

/// Takes the lock of a flush, before all others.
///
/// # Errors
///
/// [`ApiError::Backend`] when it is not granted in time.
pub async fn lock(ctx: &Ctx<'_>, mut asides: impl Iterator<Item = &Aside>) -> Result<(), ApiError> {
    if asides.any(Aside::erases_all) { maintenance::lock(ctx.transaction()).await } else { Ok(()) }
}
