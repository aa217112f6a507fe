//! Source buckets and collections that are made when the service starts
//! (`remote-settings.md` §1.5): for development, and for test images.

use std::collections::{BTreeSet, HashSet};

use serde_json::Map;
use shared::{
    error::ApiError,
    model::{ObjectPath, Permission, Timestamp},
    store::Tx,
};

use crate::{
    app::App,
    context::Ctx,
    locks::{Plan, lists_below},
    store::clocks::Lock,
};

/// Makes the sources that the settings name, where `signer.auto_create_resources` asks for it. They
/// have writers and nothing else: no groups, no status, no history; nobody is told of them. What
/// exists stays as it is.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away; nothing was made then.
pub async fn auto_create(app: &App) -> Result<(), ApiError> {
    let Some(writers) = &app.config.signer.sign_off.auto_create_for else { return Ok(()) };
    let wanted = wanted(app);
    let mut client = app.pool.get().await?;
    let tx = Tx::writing(&mut client);
    let mut ctx = Ctx::new(app, &tx, Timestamp::now());
    let plan = Plan { lists: locks(&wanted), makes_rows: true, ..Plan::default() };
    ctx.prepare(plan, &HashSet::new(), &wanted.iter().cloned().collect()).await?;
    for path in &wanted {
        if ctx.object(path).await?.is_some() {
            tracing::warn!(%path, "exists already: it stays as it is");
            continue;
        }
        make(&mut ctx, path, writers).await?;
    }
    ctx.finish().await
}

/// Buckets, then their collections.
fn wanted(app: &App) -> Vec<ObjectPath> {
    let (mut buckets, mut collections) = (BTreeSet::new(), BTreeSet::new());
    for (bucket, collection) in app.config.signer.resources.sources() {
        buckets.insert(bucket.clone());
        collections.extend(collection.map(|id| (bucket.clone(), id.clone())));
    }
    let collections =
        collections.into_iter().map(|(bucket, id)| ObjectPath::collection(bucket, id));
    buckets.into_iter().map(ObjectPath::bucket).chain(collections).collect()
}

/// The lists that get an object, and those that are opened below it.
fn locks(wanted: &[ObjectPath]) -> BTreeSet<Lock> {
    let lists =
        wanted.iter().flat_map(|path| [vec![path.list.clone()], lists_below(path)].concat());
    lists.map(Lock).collect()
}

async fn make(ctx: &mut Ctx<'_>, path: &ObjectPath, writers: &[String]) -> Result<(), ApiError> {
    let timestamp = ctx.next_timestamp(&path.list, &path.id).await?;
    for writer in writers {
        ctx.grant(path, Permission::Write, writer).await?;
    }
    ctx.put(path, timestamp, Map::new()).await?;
    for list in lists_below(path) {
        ctx.open_list(&list, Timestamp::ZERO).await?;
    }
    Ok(())
}
