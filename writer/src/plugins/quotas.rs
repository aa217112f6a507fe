//! No bucket, collection or object is larger than the settings allow (`platform-features.md` §5).
//!
//! What a transaction adds is counted just before its commit, under the lock of the bucket's row,
//! then of its collections' rows in the order of their ids: of any number of writers, exactly as
//! many succeed as there is room for. An exceeded limit ends the whole request.

use std::collections::BTreeSet;

use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Permission},
};

use super::{
    default_bucket::bucket_id,
    ledger::{Ledger, is_checked},
    size::size,
};
use crate::{
    config::Limits,
    context::{Change, Ctx},
    store::quotas::{self, Usage},
};

/// Counts everything that the transaction changed.
///
/// # Errors
///
/// 507 when that is too much.
pub async fn charge(ctx: &mut Ctx<'_>) -> Result<(), ApiError> {
    if !ctx.app.config.quotas.enabled {
        return Ok(());
    }
    let changes = std::mem::take(&mut ctx.changes);
    let result = charge_all(ctx, &changes).await;
    ctx.changes = changes;
    result
}

/// Locks the counters of buckets.
///
/// # Errors
///
/// [`ApiError::Backend`] when a lock is not granted in time.
pub async fn lock(ctx: &mut Ctx<'_>, buckets: &BTreeSet<Id>) -> Result<(), ApiError> {
    if !ctx.app.config.quotas.enabled {
        return Ok(());
    }
    let uris: Vec<String> = buckets.iter().map(|id| format!("/buckets/{id}")).collect();
    quotas::lock(ctx.settled().await?, &uris).await
}

async fn charge_all(ctx: &mut Ctx<'_>, changes: &[Change]) -> Result<(), ApiError> {
    let settings = &ctx.app.config.quotas;
    for change in changes.iter().filter(|change| settings.counts(&change.path)) {
        check_item(ctx, change).await?;
    }
    let mut ledger = Ledger::new(settings, changes);
    let sums = store(ctx, &mut ledger).await?;
    check_sums(ctx, &ledger, sums).await
}

async fn check_item(ctx: &mut Ctx<'_>, change: &Change) -> Result<(), ApiError> {
    let Some(new) = change.new.as_ref().filter(|_| is_checked(change)) else { return Ok(()) };
    let path = &change.path;
    let own = match &path.list {
        ListPath::Collections(bucket) => Some((bucket, &path.id)),
        ListPath::Records(bucket, collection) => Some((bucket, collection)),
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => None,
    };
    let bucket = path.ancestors().last().map_or_else(|| path.id.clone(), |bucket| bucket.id);
    let by_collection = match own {
        Some((bucket, collection)) => collection_limits(ctx, bucket, collection).await?,
        None => Limits::default(),
    };
    let limit = match by_collection.max_bytes_per_item {
        Some(limit) => Some(limit),
        None => bucket_limits(ctx, &bucket).await?.max_bytes_per_item,
    };
    refuse_above(limit, size(new), |size, limit| {
        format!("Maximum bytes per object exceeded ({size} > {limit} Bytes).")
    })
}

/// Brings the counters up to date. Returns the sums of the ledger's buckets, then collections.
async fn store(ctx: &mut Ctx<'_>, ledger: &mut Ledger) -> Result<Vec<Usage>, ApiError> {
    let tx = ctx.settled().await?;
    for bucket in &ledger.erased_buckets {
        quotas::erase(tx, &ObjectPath::bucket(bucket.clone()).to_string()).await?;
    }
    // The lock of a collection's list keeps others from its row, so that this may come before the
    // bucket's.
    for (bucket, collection) in &ledger.erased_collections {
        let gone = quotas::take(tx, &collection_uri(bucket, collection)).await?;
        ledger.buckets.entry(bucket.clone()).or_default().more -= gone;
    }
    let buckets = ledger.buckets.iter();
    let collections = ledger.collections.iter();
    let more: Vec<(String, Usage)> = buckets
        .map(|(id, delta)| (ObjectPath::bucket(id.clone()).to_string(), delta.more))
        .chain(collections.map(|((b, c), delta)| (collection_uri(b, c), delta.more)))
        .collect();
    if more.is_empty() { Ok(Vec::new()) } else { quotas::add(tx, &more).await }
}

fn collection_uri(bucket: &Id, collection: &Id) -> String {
    ObjectPath::collection(bucket.clone(), collection.clone()).to_string()
}

/// The checks in their order (§5.4). A deletion is allowed also above a limit.
async fn check_sums(ctx: &mut Ctx<'_>, ledger: &Ledger, sums: Vec<Usage>) -> Result<(), ApiError> {
    let mut sums = sums.into_iter();
    for ((id, delta), sum) in ledger.buckets.iter().zip(sums.by_ref()) {
        if delta.is_checked {
            let limits = bucket_limits(ctx, id).await?;
            refuse_above(limits.max_bytes, sum.bytes, |size, limit| {
                format!("Bucket maximum total size exceeded ({size} > {limit} Bytes). ")
            })?;
            refuse_above(limits.max_items, sum.records, |count, limit| {
                format!("Bucket maximum number of objects exceeded ({count} > {limit} objects).")
            })?;
        }
    }
    for (((bucket, id), delta), sum) in ledger.collections.iter().zip(sums) {
        if delta.is_checked {
            let limits = collection_limits(ctx, bucket, id).await?;
            refuse_above(limits.max_bytes, sum.bytes, |size, limit| {
                format!("Collection maximum size exceeded ({size} > {limit} Bytes).")
            })?;
            refuse_above(limits.max_items, sum.records, |count, limit| {
                format!(
                    "Collection maximum number of objects exceeded ({count} > {limit} objects)."
                )
            })?;
        }
    }
    Ok(())
}

fn refuse_above(
    limit: Option<i64>,
    value: i64,
    message: impl Fn(i64, i64) -> String,
) -> Result<(), ApiError> {
    match limit {
        Some(limit) if value > limit => Err(ApiError::OverQuota(message(value, limit))),
        _ => Ok(()),
    }
}

/// The limits of a bucket.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn bucket_limits(ctx: &mut Ctx<'_>, bucket: &Id) -> Result<Limits, ApiError> {
    let owner = personal_owner(ctx, bucket).await?;
    Ok(ctx.app.config.quotas.bucket(bucket, owner.as_deref()))
}

/// The limits of a collection.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn collection_limits(
    ctx: &mut Ctx<'_>,
    bucket: &Id,
    collection: &Id,
) -> Result<Limits, ApiError> {
    let personal = personal_owner(ctx, bucket).await?.is_some();
    Ok(ctx.app.config.quotas.collection(bucket, collection, personal))
}

/// The policy of the user whose personal bucket this is: one of its writers, whose id makes the
/// bucket's.
async fn personal_owner(ctx: &mut Ctx<'_>, bucket: &Id) -> Result<Option<String>, ApiError> {
    let settings = &ctx.app.config.quotas;
    if !settings.name_personal_buckets() {
        return Ok(None);
    }
    let secret = &ctx.app.config.extras.default_bucket_secret;
    let acl = ctx.acl(&ObjectPath::bucket(bucket.clone())).await?;
    let mut writers = acl.get(Permission::Write.name()).into_iter().flatten();
    let owner = writers.find(|user| bucket_id(secret, user) == **bucket);
    Ok(owner.and_then(|user| user.split_once(':')).map(|(policy, _)| policy.to_owned()))
}
