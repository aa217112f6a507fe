//! `purge-history` (`remote-settings.md` §7.8): old entries of users who make very many.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use shared::{
    error::ApiError,
    model::{Id, ListPath, Timestamp},
    store::Tx,
};

use super::{Report, days_ago};
use crate::{
    app::App,
    store::{
        clocks::{Clocks, Lock},
        history,
    },
    transaction,
};

/// So many entries go in one transaction.
const BATCH: i64 = 5_000;

struct About<'a> {
    bucket: &'a str,
    user_id: &'a str,
    before: Timestamp,
}

pub(super) async fn run(
    app: &App,
    (buckets, user_ids): (&[String], &[String]),
    max_age_days: u32,
    dry_run: bool,
) -> Report {
    let before = days_ago(Timestamp::now(), max_age_days);
    let mut report = Report::default();
    for bucket in buckets {
        for user_id in user_ids {
            let about = About { bucket, user_id, before };
            let result = if dry_run { count(app, &about).await } else { purge(app, &about).await };
            report.note(&format!("history of {bucket} by {user_id}"), result);
        }
    }
    report
}

async fn count(app: &App, about: &About<'_>) -> Result<String, ApiError> {
    let count = transaction::snapshot(app, about, |tx, about| {
        history::count_before(tx, about.bucket, about.user_id, about.before).boxed()
    });
    Ok(format!("{} entries would go", count.await?))
}

async fn purge(app: &App, about: &About<'_>) -> Result<String, ApiError> {
    let mut gone = 0;
    loop {
        let some =
            transaction::commit(app, about, |tx, about| purge_some(tx, about).boxed()).await?;
        gone += some;
        if some < BATCH.unsigned_abs() {
            return Ok(format!("{gone} entries deleted"));
        }
    }
}

/// Under the clock of the history, as everything that deletes entries. Where there is no clock, there
/// are no entries.
async fn purge_some(tx: &Tx<'_>, about: &About<'_>) -> Result<u64, ApiError> {
    let Ok(bucket) = Id::new(about.bucket) else { return Ok(0) };
    let clock = BTreeSet::from([Lock(ListPath::History(bucket))]);
    if !Clocks::default().lock(tx, clock, false).await? {
        return Ok(0);
    }
    history::purge(tx, about.bucket, about.user_id, about.before, BATCH).await
}
