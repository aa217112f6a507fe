//! `backport-records` (`remote-settings.md` §7.3): makes one collection a copy of another, or of a
//! part of it, and asks for its review.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use serde_json::{Map, Value, json};
use shared::{
    error::ApiError,
    http::Query,
    model::{Id, ListPath, ObjectPath, Resource, Timestamp},
    store::Tx,
};

use super::{Mapping, Report};
use crate::{
    app::App,
    dispatch,
    listing::{ListQuery, Params, Schema},
    signoff::{Role, Status, Triple},
    step::Step,
    store::{
        list_sql::{self, Select, Source},
        objects::{self, Object},
    },
    transaction,
};

/// So many records are written in one transaction.
const BATCH: usize = 1_000;

/// What a mapping is about, as it is now.
struct State {
    source: Vec<Object>,
    destination: Vec<Object>,
    collection: Object,
}

pub(super) async fn run(
    app: &App,
    mappings: &[Mapping],
    safe_headers: bool,
    dry_run: bool,
) -> Report {
    let mut report = Report::default();
    for mapping in mappings {
        let result = backport(app, mapping, safe_headers, dry_run).await;
        report.note(&mapping.to_string(), result);
    }
    report
}

async fn backport(
    app: &App,
    mapping: &Mapping,
    safe_headers: bool,
    dry_run: bool,
) -> Result<String, ApiError> {
    let state =
        transaction::snapshot(app, mapping, |tx, mapping| read(tx, mapping).boxed()).await?;
    let list = Triple::records(&mapping.destination);
    let (mut steps, summary) = differences(&list, &state, safe_headers)?;
    steps.extend(last_step(app, &mapping.destination, &state.collection, !steps.is_empty())?);
    if steps.is_empty() {
        return Ok("in sync".to_owned());
    }
    if dry_run {
        return Ok(format!("would be {summary}"));
    }
    for some in steps.chunks(BATCH) {
        dispatch::perform(app, some).await?;
    }
    Ok(summary)
}

async fn read(tx: &Tx<'_>, mapping: &Mapping) -> Result<State, ApiError> {
    if objects::get(tx, &mapping.source).await?.is_none() {
        return Err(missing(&mapping.source));
    }
    let collection = objects::get(tx, &mapping.destination).await?;
    Ok(State {
        source: records(tx, &mapping.source, &mapping.filters).await?,
        destination: records(tx, &mapping.destination, "").await?,
        collection: collection.ok_or_else(|| missing(&mapping.destination))?,
    })
}

fn missing(collection: &ObjectPath) -> ApiError {
    ApiError::BadRequest(format!("{collection} does not exist").into())
}

/// The live records of a collection that the filters let through.
async fn records(
    tx: &Tx<'_>,
    collection: &ObjectPath,
    filters: &str,
) -> Result<Vec<Object>, ApiError> {
    let params = Params::parse(&Query::parse(filters)?)?;
    let query = ListQuery::new(params, Schema::of(Resource::Record), Timestamp::now())?;
    let select = Select {
        source: &Source::of(&Triple::records(collection)),
        filters: &query.filters,
        sort: &query.sort,
        after: None,
        with_tombstones: false,
        limit: u64::from(u32::MAX),
    };
    let mut found = Vec::new();
    list_sql::read(tx, select, |object| {
        found.push(object);
        Ok(())
    })
    .await?;
    Ok(found)
}

/// The requests that make the destination a copy, and what they are in words.
fn differences(
    list: &ListPath,
    state: &State,
    safe_headers: bool,
) -> Result<(Vec<Step>, String), ApiError> {
    let mut left: BTreeMap<&str, &Object> =
        state.destination.iter().map(|object| (object.id.as_str(), object)).collect();
    let (mut steps, mut created, mut updated) = (Vec::new(), 0, 0);
    for object in &state.source {
        let old = left.remove(object.id.as_str());
        if old.is_some_and(|old| content(old) == content(object)) {
            continue;
        }
        if old.is_some() {
            updated += 1;
        } else {
            created += 1;
        }
        let data = Value::Object(object.data.clone());
        let step = Step::of_job("PUT", &path(list, object)?, Some(&data))?;
        steps.push(if safe_headers { step.unless_changed(old) } else { step });
    }
    let deleted = left.len();
    for old in left.into_values() {
        let step = Step::of_job("DELETE", &path(list, old)?, None)?;
        steps.push(if safe_headers { step.unless_changed(Some(old)) } else { step });
    }
    let summary = format!("{created} created, {updated} updated, {deleted} deleted");
    Ok((steps, summary))
}

fn path(list: &ListPath, object: &Object) -> Result<ObjectPath, ApiError> {
    let id = Id::new(&object.id).map_err(|error| ApiError::Internal(error.into()))?;
    Ok(list.object(id))
}

/// As the workflow compares records (§1.11).
fn content(object: &Object) -> Map<String, Value> {
    let mut content = object.data.clone();
    content.remove("schema");
    content
}

/// A source of sign-off is published, or its review is asked for, also when that was not done the
/// last time. A review that is asked for already stays as it is.
fn last_step(
    app: &App,
    destination: &ObjectPath,
    collection: &Object,
    has_changed: bool,
) -> Result<Option<Step>, ApiError> {
    let resources = &app.config.signer.resources;
    let (bucket, id) = (destination.bucket_id(), &destination.id);
    if resources.role(bucket, id) != Some(Role::Source) {
        return Ok(None);
    }
    let status = Status::parse(collection.text("status"));
    let review = resources.review_enabled(bucket, id);
    let is_settled = status == Status::Signed || (review && status == Status::ToReview);
    if is_settled && !has_changed {
        return Ok(None);
    }
    let data = if review {
        json!({"status": "to-review", "last_editor_comment": "r?"})
    } else {
        json!({"status": "to-sign"})
    };
    let editors = format!("/buckets/{bucket}/groups/{id}-editors");
    let step = Step::of_job("PATCH", destination, Some(&data))?;
    Ok(Some(Step { acts_for: Some(editors), ..step }))
}
