//! `GET` and `HEAD` of a list (`kinto-http-api.md` §2.9.2).

use http::{HeaderName, Method, StatusCode};
use serde_json::{Value, json};
use shared::{
    error::{ApiError, Detail, Location},
    http::{Query, Reply},
    model::Timestamp,
};

use super::{Operation, Outcome, not_modified, require_collection};
use crate::{
    authz::{self, Visible},
    caching,
    context::Ctx,
    preconditions::{Preconditions, Verdict},
    store::{
        clocks,
        objects::{self, Object, Selection},
    },
};

pub(super) async fn list(ctx: &mut Ctx<'_>, operation: &Operation) -> Result<Outcome, ApiError> {
    let list = &operation.list;
    let visible = authz::readable(ctx, list).await?;
    require_collection(ctx, list).await?;
    let conditions = Preconditions::parse(&operation.request.headers).map_err(ApiError::Invalid)?;
    let mut selection = selection(&operation.request.query()?)?;
    let current = clocks::read(ctx.settled().await?, list).await?.unwrap_or(ctx.now);
    match conditions.for_read(current) {
        Verdict::NotModified => return Ok(not_modified(current)),
        Verdict::Failed => {
            return Err(ApiError::ModifiedMeanwhile { existing: None, current: Some(current) });
        }
        Verdict::Proceed => {}
    }
    if let Visible::Only(ids) = visible {
        selection.ids = Some(ids);
    }
    if operation.method == Method::HEAD {
        let count = objects::count(ctx.settled().await?, list, selection.ids.as_deref()).await?;
        let reply = caching::apply(ctx, list, counted(count)).await?;
        return Ok(Outcome::Ready(reply.version(current)));
    }
    let objects = objects::list(ctx.settled().await?, list, &selection).await?;
    let data: Vec<Value> = objects.iter().map(Object::to_value).collect();
    let reply = Reply::json(StatusCode::OK, &json!({"data": data}));
    let reply = caching::apply(ctx, list, reply).await?;
    Ok(Outcome::Ready(reply.version(current)))
}

/// The body is that of an empty list, and hyper sends its length only (§2.2).
fn counted(count: i64) -> Reply {
    let reply = Reply::json(StatusCode::OK, &json!({"data": []}));
    ["total-objects", "total-records"].into_iter().fold(reply, |reply, name| {
        reply.header_text(HeaderName::from_static(name), &count.to_string())
    })
}

/// Reads `_since`, `_before`, `_to` and `_limit`. Filters on members are refused, not ignored:
/// whoever asks for some records must not get, or delete, all of them.
///
/// # Errors
///
/// 400 with every parameter that is wrong.
pub(super) fn selection(query: &Query) -> Result<Selection, ApiError> {
    let mut selection = Selection::default();
    let mut problems = Vec::new();
    for (name, value) in query.iter() {
        match name {
            "_since" => selection.after = bound(name, value, &mut problems),
            "_before" | "_to" => selection.before = bound(name, value, &mut problems),
            "_limit" => {
                selection.limit =
                    bound(name, value, &mut problems).map(Timestamp::as_millis).filter(|n| *n > 0);
            }
            "_token" | "_sort" | "_fields" => {
                let text = format!("{name} is not supported yet");
                problems.push(Detail::new(Location::QueryString, name, text));
            }
            _ if name.starts_with('_') => {}
            _ => {
                let text = format!("Unknown filter field '{name}'");
                problems.push(Detail::new(Location::QueryString, name, text));
            }
        }
        selection.with_tombstones |= matches!(name, "_since" | "_before" | "_to");
    }
    if problems.is_empty() { Ok(selection) } else { Err(ApiError::Invalid(problems)) }
}

fn bound(name: &str, value: &str, problems: &mut Vec<Detail>) -> Option<Timestamp> {
    let parsed = Timestamp::parse(value.trim());
    if parsed.is_err() {
        let text = match value.parse::<i64>() {
            Ok(negative) => format!("{negative} is less than minimum value 0"),
            Err(_) => format!("\"{value}\" is not a number"),
        };
        problems.push(Detail::new(Location::QueryString, name, text));
    }
    parsed.ok()
}
