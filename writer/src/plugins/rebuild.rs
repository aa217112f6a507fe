//! `rebuild-quotas`: counts anew what buckets and collections hold (`platform-features.md` §5.6).

use std::collections::BTreeMap;

use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Resource},
    store::Tx,
};

use super::size::size;
use crate::{
    app::App,
    config::Quotas,
    store::quotas::{self, Counted, Usage},
};

/// Counts every bucket, each in a transaction of its own that keeps writers of that bucket waiting,
/// so that this may run beside a writer. With `dry_run` nothing is stored. Returns a line a bucket.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn rebuild(app: &App, dry_run: bool) -> Result<Vec<String>, ApiError> {
    let mut client = app.pool.get().await?;
    let mut lines = Vec::new();
    let tx = Tx::reading(&mut client);
    tx.begin().await?;
    let buckets = quotas::buckets(&tx).await?;
    drop(tx);
    for id in buckets {
        let Ok(id) = Id::new(&id) else { continue };
        let tx = Tx::writing(&mut client);
        tx.begin().await?;
        let size = rebuild_bucket(&tx, &app.config.quotas, &id).await?;
        if !dry_run {
            tx.commit(Vec::new()).await?;
        }
        let Usage { collections, records, bytes } = size;
        lines.push(format!(
            "Bucket {id}. Final size: {collections} collections, {records} records, {bytes} bytes."
        ));
    }
    Ok(lines)
}

async fn rebuild_bucket(tx: &Tx<'_>, settings: &Quotas, id: &Id) -> Result<Usage, ApiError> {
    let bucket = ObjectPath::bucket(id.clone());
    let uri = bucket.to_string();
    // Locks the bucket's row, made where it is missing: who changes the bucket waits for it.
    quotas::add(tx, &[(uri.clone(), Usage::default())]).await?;
    let counted = count(tx, settings, id).await?;
    quotas::erase(tx, &uri).await?;
    let total = counted.get(&uri).copied().unwrap_or_default();
    let rows: Vec<(String, Usage)> = counted.into_iter().collect();
    if !rows.is_empty() {
        quotas::add(tx, &rows).await?;
    }
    Ok(total)
}

/// What the bucket and each of its collections hold, by URI.
async fn count(
    tx: &Tx<'_>,
    settings: &Quotas,
    bucket: &Id,
) -> Result<BTreeMap<String, Usage>, ApiError> {
    const KINDS: [Resource; 4] =
        [Resource::Bucket, Resource::Group, Resource::Collection, Resource::Record];

    let mut counted = BTreeMap::new();
    for kind in KINDS {
        let mut after = (String::new(), String::new());
        loop {
            let page = quotas::page(tx, kind, bucket, (&after.0, &after.1)).await?;
            let Some((collection, object)) = page.last() else { break };
            after = (collection.clone(), object.id.clone());
            for entry in &page {
                let path = path(kind, bucket, entry)?;
                if settings.excluded.contain(&path) {
                    continue;
                }
                add(&mut counted, &path, size(&entry.1));
            }
        }
    }
    Ok(counted)
}

fn path(
    kind: Resource,
    bucket: &Id,
    (collection, object): &Counted,
) -> Result<ObjectPath, ApiError> {
    let id = |text: &str| Id::new(text).map_err(|error| ApiError::Internal(error.into()));
    let list = match kind {
        Resource::Bucket | Resource::Account | Resource::History => ListPath::Buckets,
        Resource::Group => ListPath::Groups(bucket.clone()),
        Resource::Collection => ListPath::Collections(bucket.clone()),
        Resource::Record => ListPath::Records(bucket.clone(), id(collection)?),
    };
    Ok(list.object(id(&object.id)?))
}

/// Adds an object to its bucket, and to its collection where it is one or is in one.
fn add(counted: &mut BTreeMap<String, Usage>, path: &ObjectPath, bytes: i64) {
    let records = i64::from(path.resource() == Resource::Record);
    let collections = i64::from(path.resource() == Resource::Collection);
    let own = path.clone();
    for holder in path.ancestors().chain([own]) {
        let usage = match holder.resource() {
            Resource::Bucket => Usage { collections, records, bytes },
            Resource::Collection => Usage { collections: 0, records, bytes },
            Resource::Group | Resource::Record | Resource::Account | Resource::History => continue,
        };
        *counted.entry(holder.to_string()).or_default() += usage;
    }
}
