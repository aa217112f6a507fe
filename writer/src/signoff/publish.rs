//! From source to target: difference, records, signature, in the transaction of the request.

use serde_json::{Map, Value, json};
use shared::{
    error::ApiError,
    model::{EVERYONE, ListPath, ObjectPath, Permission},
};

use super::{
    Triple,
    events::Changes,
    guards, noted, setup,
    signing::{self, Document},
    tracking::PUBLISHED,
};
use crate::{
    context::Ctx,
    failpoint,
    pki::publication::publish_with,
    store::{
        aces, clocks, maintenance, measure,
        objects::{self, Difference},
    },
};

/// Makes `target`'s records those of `source`, and signs it. Returns what changed.
///
/// Copied records get new timestamps; equal ones are not touched, so that clients fetch nothing
/// when nothing changed (§1.11).
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub(super) async fn push(
    ctx: &mut Ctx<'_>,
    source: &ObjectPath,
    target: &ObjectPath,
    attributes: &Map<String, Value>,
) -> Result<Changes, ApiError> {
    ensure(ctx, target).await?;
    let (from, to) = (Triple::records(source), Triple::records(target));
    let difference = objects::difference(ctx.settled().await?, &from, &to).await?;
    let mut changes = Changes { count: difference.count(), size_bytes: 0 };
    if changes.count > 0 {
        let copied = measure::changed(ctx.settled().await?, &from, &difference).await?;
        // Also records that were there before the guards: a restored backup, a new resource.
        let floats = ctx.app.config.signer.sign_off.floats;
        copied.iter().try_for_each(|record| guards::check(record, floats))?;
        changes.size_bytes = measure::size_bytes(ctx.settled().await?, &to, &copied).await?;
    }
    copy(ctx, &from, &to, &difference).await?;
    failpoint::at_target("copied", target).await;
    sign_later(ctx, source, target, Some(attributes));
    Ok(changes)
}

/// Makes the records of one collection those of another. Returns how many changed.
pub(super) async fn copy_records(
    ctx: &mut Ctx<'_>,
    source: &ObjectPath,
    target: &ObjectPath,
) -> Result<usize, ApiError> {
    let (from, to) = (Triple::records(source), Triple::records(target));
    let difference = objects::difference(ctx.settled().await?, &from, &to).await?;
    copy(ctx, &from, &to, &difference).await?;
    Ok(difference.count())
}

async fn copy(
    ctx: &mut Ctx<'_>,
    from: &ListPath,
    to: &ListPath,
    difference: &Difference,
) -> Result<(), ApiError> {
    if difference.count() == 0 {
        return Ok(());
    }
    let first = ctx.next_timestamps(to, difference.count()).await?;
    let before = noted::before(ctx, to, difference).await?;
    objects::delete_all(ctx.settled().await?, to, &difference.deleted, first).await?;
    let written = [difference.replaced.as_slice(), &difference.created].concat();
    let offset = i64::try_from(difference.deleted.len()).unwrap_or(0);
    objects::copy(ctx.settled().await?, from, to, &written, first.plus_millis(offset)).await?;
    let (created, deleted) = (difference.created.len(), difference.deleted.len());
    ctx.changed_behind(to, created, deleted);
    noted::after(ctx, to, difference, first, before).await
}

/// Deletes all records of a target, with tombstones, and signs it empty.
pub(super) async fn empty(
    ctx: &mut Ctx<'_>,
    source: &ObjectPath,
    target: &ObjectPath,
) -> Result<(), ApiError> {
    if ctx.object(target).await?.is_none() {
        return Ok(());
    }
    let list = Triple::records(target);
    let live = objects::records(ctx.settled().await?, &list).await?;
    if !live.is_empty() {
        let first = ctx.next_timestamps(&list, live.len()).await?;
        let deleted = live.into_iter().map(|object| object.id).collect();
        let difference = Difference { deleted, ..Difference::default() };
        let before = noted::before(ctx, &list, &difference).await?;
        objects::delete_all(ctx.settled().await?, &list, &difference.deleted, first).await?;
        ctx.changed_behind(&list, 0, difference.deleted.len());
        noted::after(ctx, &list, &difference, first, before).await?;
    }
    sign_later(ctx, source, target, None);
    Ok(())
}

/// Deletes a target as if it had never been: no tombstone, timestamp or right is left.
pub(super) async fn erase(ctx: &mut Ctx<'_>, target: &ObjectPath) -> Result<(), ApiError> {
    let Some(old) = ctx.object(target).await? else { return Ok(()) };
    let list = Triple::records(target);
    ctx.hold(&list).await?;
    noted::delete(ctx, target, old).await?;
    let tx = ctx.settled().await?;
    objects::erase_below(tx, target).await?;
    objects::purge(tx, target).await?;
    aces::erase(tx, target).await?;
    clocks::erase(tx, &list).await?;
    maintenance::note_erasure(tx, target.bucket_id()).await?;
    ctx.clocks.forget(|known| *known == list);
    ctx.forget(|known| known.list == list);
    ctx.publications += 1;
    Ok(())
}

/// Makes the target's bucket and collection where they are missing. Nobody may write them (D2);
/// everybody may read the collection.
pub(super) async fn ensure(ctx: &mut Ctx<'_>, target: &ObjectPath) -> Result<(), ApiError> {
    for path in target.ancestors().chain([target.clone()]) {
        if ctx.object(&path).await?.is_some() {
            continue;
        }
        if path == *target {
            ctx.grant(&path, Permission::Read, EVERYONE).await?;
        }
        noted::put(ctx, &path, Map::new()).await?;
        if path == *target {
            // An empty collection is signed, too, and its signature needs a timestamp.
            ctx.next_timestamp(&Triple::records(target), "").await?;
        } else {
            setup::open_bucket(ctx, &path).await?;
        }
    }
    Ok(())
}

/// A target that has changed, and is to be signed.
#[derive(Debug)]
pub struct Publication {
    target: ObjectPath,
    source: ObjectPath,
    /// The source's, where the target shows what the source publishes.
    attributes: Option<Map<String, Value>>,
}

/// Has a target signed at the end of the request, as it is then. With `attributes`, those that a
/// source publishes become the target's, removed ones included (D9). Settings may give each source
/// a signer of its own.
pub(super) fn sign_later(
    ctx: &mut Ctx<'_>,
    source: &ObjectPath,
    target: &ObjectPath,
    attributes: Option<&Map<String, Value>>,
) {
    let attributes = attributes.cloned();
    if let Some(earlier) = ctx.unsigned.iter_mut().find(|earlier| earlier.target == *target) {
        earlier.attributes = attributes.or_else(|| earlier.attributes.take());
        return;
    }
    let (target, source) = (target.clone(), source.clone());
    ctx.unsigned.push(Publication { target, source, attributes });
}

/// Signs what this request has published, and puts the signatures into its metadata.
///
/// # Errors
///
/// [`ApiError::Backend`] when signing fails, or is to be done first.
pub async fn sign_all(ctx: &mut Ctx<'_>) -> Result<(), ApiError> {
    let (mut publications, mut documents) = (Vec::new(), Vec::new());
    for publication in std::mem::take(&mut ctx.unsigned) {
        // A later step may have deleted it.
        if ctx.object(&publication.target).await?.is_some() {
            let source = publication.source.clone();
            documents.push(Document::read(ctx, source, &publication.target).await?);
            publications.push(publication);
        }
    }
    let signatures = signing::sign(ctx, &documents).await?;
    for (publication, signatures) in publications.into_iter().zip(signatures) {
        let old = ctx.object(&publication.target).await?;
        let mut data = old.map(|old| old.data).unwrap_or_default();
        if let Some(attributes) = &publication.attributes {
            publish_attributes(&mut data, attributes);
        }
        data.insert("signature".to_owned(), json!(signatures.first()));
        data.insert("signatures".to_owned(), json!(signatures));
        publish_with(ctx, &signatures).await?;
        noted::put(ctx, &publication.target, data).await?;
        ctx.publications += 1;
    }
    Ok(())
}

/// Removed ones, too.
fn publish_attributes(data: &mut Map<String, Value>, attributes: &Map<String, Value>) {
    for name in PUBLISHED {
        match attributes.get(name) {
            Some(value) => data.insert(name.to_owned(), value.clone()),
            None => data.remove(name),
        };
    }
}
