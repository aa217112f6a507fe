//! `refresh-signatures` (`remote-settings.md` §7.2): what was signed long ago is signed again, before
//! certificates expire. Previews are signed with their destination.

use futures_util::FutureExt as _;
use serde_json::json;
use shared::{
    error::ApiError,
    model::{Id, ObjectPath, Timestamp},
    store::published::{self, Version},
};

use super::{Report, days_ago};
use crate::{
    app::App,
    dispatch,
    step::Step,
    store::objects::{self, Object},
    transaction,
};

/// `max_age_days` is what younger signatures are spared by; without, all are made anew.
pub(super) async fn run(
    app: &App,
    max_age_days: Option<u32>,
    dry_run: bool,
) -> Result<Report, ApiError> {
    let buckets = app.config.changes.monitored.buckets();
    let versions = transaction::snapshot(app, &buckets, |tx, buckets| {
        published::versions(tx, buckets).boxed()
    })
    .await?;
    let before = max_age_days.map(|days| days_ago(Timestamp::now(), days));
    let mut report = Report::default();
    for (destination, source) in destinations(app, &versions) {
        match refresh(app, &source, before, dry_run).await {
            Ok(None) => {}
            Ok(Some(text)) => report.note(&destination.to_string(), Ok(text)),
            Err(error) => report.note(&destination.to_string(), Err(error)),
        }
    }
    Ok(report)
}

/// What the monitor lists and sign-off publishes, each with its source.
fn destinations(app: &App, versions: &[Version]) -> Vec<(ObjectPath, ObjectPath)> {
    let (monitored, resources) = (&app.config.changes.monitored, &app.config.signer.resources);
    let mut found = Vec::new();
    for version in versions.iter().filter(|v| monitored.contains(&v.bucket, &v.collection)) {
        let (Ok(bucket), Ok(id)) = (Id::new(&version.bucket), Id::new(&version.collection)) else {
            continue;
        };
        let destination = ObjectPath::collection(bucket, id);
        let sources = resources.sources_of(destination.bucket_id(), &destination.id);
        let is_its_source = |source: &ObjectPath| {
            let bucket = Id::new(source.bucket_id()).ok();
            let triple = bucket.and_then(|bucket| resources.of_source(&bucket, &source.id));
            triple.is_some_and(|triple| triple.destination == destination)
        };
        if let Some(source) = sources.into_iter().find(is_its_source) {
            found.push((destination, source));
        }
    }
    found
}

/// `None` when the signature is young enough.
async fn refresh(
    app: &App,
    source: &ObjectPath,
    before: Option<Timestamp>,
    dry_run: bool,
) -> Result<Option<String>, ApiError> {
    let found = transaction::snapshot(app, source, |tx, path| objects::get(tx, path).boxed());
    let Some(collection) = found.await? else {
        let text = format!("{source} is gone: delete the destination, or make the source again");
        return Err(ApiError::BadRequest(text.into()));
    };
    if before.is_some_and(|before| signed_at(&collection) > Some(before)) {
        return Ok(None);
    }
    if dry_run {
        return Ok(Some("would be signed again".to_owned()));
    }
    let step = Step::of_job("PATCH", source, Some(&json!({"status": "to-resign"})))?;
    dispatch::perform(app, &[step]).await?;
    Ok(Some("signed again".to_owned()))
}

fn signed_at(source: &Object) -> Option<Timestamp> {
    source.text("last_signature_date").and_then(Timestamp::from_iso8601)
}
