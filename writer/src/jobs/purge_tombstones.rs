//! `purge-tombstones` (`remote-settings.md` §7.10): they are most of what is stored after some years.
//! A client that knows less than what was purged is sent to the whole changeset.

use futures_util::FutureExt as _;
use shared::{
    error::ApiError,
    model::{Id, ListPath, Timestamp},
    store::Tx,
};

use super::{Report, days_ago};
use crate::{
    app::App,
    config::Purge,
    purge::{self, Purged},
    signoff::Role,
    store::{clocks::Clocks, tombstones},
    transaction,
};

/// So many go in one transaction, which keeps whoever publishes waiting.
const BATCH: i64 = 5_000;

pub(super) async fn run(app: &App, max_age_days: u32, dry_run: bool) -> Result<Report, ApiError> {
    let resources = &app.config.signer.resources;
    let about = (resources.signed_buckets(), days_ago(Timestamp::now(), max_age_days));
    let old = transaction::snapshot(app, &about, |tx, (buckets, before)| {
        tombstones::old(tx, buckets, *before).boxed()
    })
    .await?;
    let mut report = Report::default();
    for found in old {
        if resources.role(&found.bucket, &found.collection) != Some(Role::Signed) {
            continue;
        }
        let (Ok(bucket), Ok(collection)) = (Id::new(&found.bucket), Id::new(&found.collection))
        else {
            continue;
        };
        let list = ListPath::Records(bucket, collection);
        let result = if dry_run {
            Ok(format!("{} tombstones would go", found.count))
        } else {
            purge(app, &list, about.1).await.map(|count| format!("{count} tombstones deleted"))
        };
        report.note(&list.to_string(), result);
    }
    Ok(report)
}

async fn purge(app: &App, list: &ListPath, before: Timestamp) -> Result<i64, ApiError> {
    let about = (list.clone(), before, app.config.purge.clone());
    let mut gone = 0;
    loop {
        let some = transaction::commit(app, &about, |tx, (list, before, caches)| {
            purge_some(tx, list, *before, caches).boxed()
        })
        .await?;
        gone += some;
        if some < BATCH {
            return Ok(gone);
        }
    }
}

/// Under the locks of a publication, which it is: readers must see the horizon with what is gone.
async fn purge_some(
    tx: &Tx<'_>,
    list: &ListPath,
    before: Timestamp,
    caches: &Purge,
) -> Result<i64, ApiError> {
    let mut clocks = Clocks::default();
    clocks.hold(tx, list).await?;
    let count = tombstones::purge(tx, list, before, BATCH).await?;
    if count > 0 {
        clocks.touch_publication(tx, Timestamp::now()).await?;
        tx.run(clocks.store(tx).await?).await?;
        tx.run(purge::writes(tx, caches, &Purged::records(list)).await?).await?;
    }
    Ok(count)
}
