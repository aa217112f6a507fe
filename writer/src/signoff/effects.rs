//! What the workflow does in the database (`remote-settings.md` §1.8-1.13).

use std::borrow::Cow;

use serde_json::{Map, Value};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath},
};

use super::{
    Actor, Command, Digest, Effect, Event, Posted, Role, Situation, Status, Triple,
    events::{Action, Changes, ReviewEvent, ReviewKind},
    guards, noted,
    publish::{copy_records, ensure, push, sign_later},
    setup,
    tracking::{self, REQUESTED_DIGEST, REVIEWED_DIGEST, stamp},
    transition,
    transition::told,
};
use crate::{
    authz,
    context::{Change, Ctx},
    store::{
        clocks,
        objects::{self, Object},
    },
};

/// Who makes the changes that follow from a user's.
pub const PLUGIN_USER: &str = "plugin:remote-settings";

/// Draws the consequences of one change; whether the changed object was changed again.
///
/// # Errors
///
/// A refusal, which ends the whole request.
pub async fn after_change(ctx: &mut Ctx<'_>, change: &Change) -> Result<bool, ApiError> {
    match &change.path.list {
        ListPath::Records(bucket, collection) => {
            let role = ctx.app.config.signer.resources.role(bucket, collection);
            if role == Some(Role::Source) {
                edited(ctx, ObjectPath::collection(bucket.clone(), collection.clone())).await?;
                if let Some(record) = &change.new {
                    guards::check(record, ctx.app.config.signer.sign_off.floats)?;
                }
            }
            Ok(false)
        }
        ListPath::Collections(bucket) => {
            let resources = &ctx.app.config.signer.resources;
            let Some(triple) = resources.of_source(bucket, &change.path.id) else {
                return Ok(false);
            };
            match &change.new {
                Some(new) => written(ctx, &triple, new, change).await,
                None => Ok(false),
            }
        }
        ListPath::Buckets | ListPath::Groups(_) | ListPath::Accounts | ListPath::History(_) => {
            Ok(false)
        }
    }
}

/// A record of the source was written: it is work in progress, also when it was under review.
async fn edited(ctx: &mut Ctx<'_>, source: ObjectPath) -> Result<(), ApiError> {
    let once = (source.clone(), ctx.user.id.clone());
    if ctx.edited.contains(&once) {
        return Ok(());
    }
    let Some(collection) = ctx.object(&source).await? else { return Ok(()) };
    let from = Status::parse(collection.text("status"));
    let (status, _) = transition(Event::Edit, &Situation::new(from))
        .map_err(|refusal| refusal.error(&source, "", None))?;
    let mut data = collection.data;
    set_status(&mut data, status);
    stamp(ctx, &mut data, "last_edit");
    noted::put(ctx, &source, data).await?;
    // The last editor counts: whoever edits again after another is noted again.
    ctx.edited.retain(|(known, _)| *known != source);
    ctx.edited.insert(once);
    Ok(())
}

fn set_status(data: &mut Map<String, Value>, status: Status) {
    match status.name() {
        Some(name) => data.insert("status".to_owned(), name.into()),
        None => data.remove("status"),
    };
}

/// A source was made or written: a new status is a command.
async fn written(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    new: &Object,
    change: &Change,
) -> Result<bool, ApiError> {
    let nothing = Map::new();
    let old = change.old.as_ref().map_or(&nothing, |old| &old.data);
    let (posted, shown) = posted(old.get("status"), new.data.get("status"));
    let mut now = situation(ctx, triple, old, &new.data, posted).await?;
    let event = if change.old.is_some() {
        Event::Update(posted)
    } else {
        let groups = ListPath::Groups(bucket_of(&triple.source)?);
        now.actor.makes_groups = authz::may_create(ctx, &groups).await?;
        Event::Create(posted)
    };
    let (status, effect) = transition(event, &now)
        .map_err(|refusal| refusal.error(&triple.source, &shown, change.old.as_ref()))?;
    if posted == Posted::Same && effect == Effect::Nothing {
        return Ok(false);
    }
    // Whatever comes next in this request, an edit after this must be noted again.
    ctx.edited.clear();
    let mut data = new.data.clone();
    data.remove(REVIEWED_DIGEST);
    let changes = carry_out(ctx, triple, effect, &mut data, &change.posted).await?;
    set_status(&mut data, status);
    // A decline is stored as the user wrote it.
    let is_other = data != new.data;
    if is_other {
        noted::put(ctx, &triple.source, data).await?;
    }
    tell(ctx, triple, change, told(now.from, effect, status, has_changed(changes)), changes);
    log(ctx, triple, effect, (now.from, status), changes);
    Ok(is_other)
}

/// What the status that was posted asks for, and how it reads. `null` is as good as absent.
fn posted(old: Option<&Value>, new: Option<&Value>) -> (Posted, Cow<'static, str>) {
    let known = |value: Option<&Value>| value.filter(|value| !value.is_null()).cloned();
    match (known(old), known(new)) {
        (old, new) if old == new => (Posted::Same, Cow::Borrowed("")),
        (_, None) => (Posted::Removed, Cow::Borrowed("")),
        (_, Some(Value::String(text))) => (Posted::parse(&text), text.into()),
        (_, Some(other)) => (Posted::Unknown, crate::python::text(&other).into()),
    }
}

/// What the rules look at. What costs a query is asked only for what needs it.
async fn situation(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    posted: Posted,
) -> Result<Situation, ApiError> {
    let (bucket, id) = (bucket_of(&triple.source)?, &triple.source.id);
    let group = |kind: &str| format!("/buckets/{bucket}/groups/{id}-{kind}");
    let requester = old.get("last_review_request_by").and_then(Value::as_str);
    let signer = &ctx.app.config.signer;
    let mut now = Situation {
        actor: Actor {
            is_editor: ctx.user.is(&group("editors")),
            is_reviewer: ctx.user.is(&group("reviewers")),
            requested_this_review: requester == Some(ctx.user.name()),
            makes_groups: false,
        },
        review: signer.resources.review_enabled(&bucket, id),
        refresh_publishes: signer.sign_off.refresh_publishes_attributes,
        tampered: tracking::tampered(old, new),
        attributes_changed: tracking::attributes_differ(old, new),
        ..Situation::new(Status::parse(old.get("status").and_then(Value::as_str)))
    };
    if let Some(given) = new.get(REVIEWED_DIGEST) {
        let matches = given.as_str() == Some(&*digest_of(ctx, triple, new).await?);
        now.digest = if matches { Digest::Matches } else { Digest::Differs };
    }
    match posted {
        Posted::Command(Command::RequestReview | Command::Approve) => {
            now.is_too_large = is_too_large(ctx, triple).await?;
        }
        Posted::Command(Command::Rollback) => {
            now.is_published = ctx.object(&triple.destination).await?.is_some();
        }
        Posted::Command(Command::Decline | Command::RefreshSignature)
        | Posted::Same
        | Posted::Removed
        | Posted::Signed
        | Posted::Unknown => {}
    }
    Ok(now)
}

fn bucket_of(source: &ObjectPath) -> Result<Id, ApiError> {
    match &source.list {
        ListPath::Collections(bucket) => Ok(bucket.clone()),
        ListPath::Buckets
        | ListPath::Groups(_)
        | ListPath::Records(..)
        | ListPath::Accounts
        | ListPath::History(_) => Err(ApiError::internal("a source is a collection")),
    }
}

/// The digest of what an approval would publish.
async fn digest_of(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    collection: &Map<String, Value>,
) -> Result<String, ApiError> {
    let list = Triple::records(&triple.source);
    let records = objects::records(ctx.settled().await?, &list).await?;
    Ok(tracking::digest(collection, &records))
}

/// Whether the source holds more records than one reply can (D8).
async fn is_too_large(ctx: &mut Ctx<'_>, triple: &Triple) -> Result<bool, ApiError> {
    let list = Triple::records(&triple.source);
    let stored = clocks::live(ctx.settled().await?, &list).await?;
    let live = stored + ctx.clocks.uncounted(&list);
    Ok(u64::try_from(live).unwrap_or(0) > ctx.app.config.listing.pages.max_fetch_size)
}

async fn carry_out(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    effect: Effect,
    data: &mut Map<String, Value>,
    posted: &Map<String, Value>,
) -> Result<Option<Changes>, ApiError> {
    let mut changes = None;
    match effect {
        Effect::Nothing => {}
        Effect::SetUp => setup::set_up(ctx, triple, data).await?,
        Effect::PublishPreview => {
            if let Some(preview) = &triple.preview {
                changes = Some(push(ctx, &triple.source, preview, data).await?);
                if !posted.contains_key("last_editor_comment") {
                    data.insert("last_editor_comment".to_owned(), "".into());
                }
            }
            stamp(ctx, data, "last_review_request");
            let digest = digest_of(ctx, triple, data).await?;
            data.insert(REQUESTED_DIGEST.to_owned(), digest.into());
        }
        Effect::NoteEdit => stamp(ctx, data, "last_edit"),
        Effect::Publish => {
            for target in triple.targets() {
                changes = Some(push(ctx, &triple.source, target, data).await?);
            }
            stamp(ctx, data, "last_review");
            stamp(ctx, data, "last_signature");
        }
        Effect::Resign { with_attributes, is_edit } => {
            resign(ctx, triple, data, with_attributes).await?;
            if is_edit {
                stamp(ctx, data, "last_edit");
            }
        }
        Effect::RestoreSource => {
            let (count, size_bytes) = (restore(ctx, triple, data).await?, 0);
            changes = Some(Changes { count, size_bytes });
        }
        Effect::Retract => {
            return Err(ApiError::internal("metadata that was written has no such effect"));
        }
    }
    Ok(changes)
}

/// Signs destination, then preview, as they are (§1.12).
async fn resign(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    data: &mut Map<String, Value>,
    with_attributes: bool,
) -> Result<(), ApiError> {
    let attributes = with_attributes.then(|| data.clone());
    for target in [Some(&triple.destination), triple.preview.as_ref()].into_iter().flatten() {
        ensure(ctx, target).await?;
        sign_later(ctx, &triple.source, target, attributes.as_ref());
    }
    stamp(ctx, data, "last_signature");
    Ok(())
}

/// Source, then preview, become what clients have; restored records get new timestamps (D6).
/// Returns how many of the source's records changed.
async fn restore(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    data: &mut Map<String, Value>,
) -> Result<usize, ApiError> {
    let count = copy_records(ctx, &triple.destination, &triple.source).await?;
    if let Some(preview) = &triple.preview {
        ensure(ctx, preview).await?;
        copy_records(ctx, &triple.destination, preview).await?;
        sign_later(ctx, &triple.source, preview, None);
    }
    stamp(ctx, data, "last_edit");
    data.insert("last_editor_comment".to_owned(), "".into());
    data.insert("last_reviewer_comment".to_owned(), "".into());
    Ok(count)
}

fn has_changed(changes: Option<Changes>) -> bool {
    changes.is_some_and(|changes| changes.count > 0)
}

/// Notes what those are told who wait for reviews.
fn tell(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    change: &Change,
    kind: Option<ReviewKind>,
    changes: Option<Changes>,
) {
    let (Some(kind), Some(old), Some(new)) = (kind, &change.old, &change.new) else { return };
    ctx.review_events.push(ReviewEvent {
        kind,
        triple: triple.clone(),
        user_id: ctx.user.name().to_owned(),
        timestamp: change.timestamp,
        old: old.to_value(),
        new: new.to_value(),
        changes,
    });
}

/// Notes what the log says.
fn log(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    effect: Effect,
    (from, to): (Status, Status),
    changes: Option<Changes>,
) {
    let name = match effect {
        Effect::Nothing if (from, to) == (Status::ToReview, Status::WorkInProgress) => "reject",
        Effect::PublishPreview => "request",
        Effect::Publish => "approve",
        Effect::Resign { .. } => "refresh",
        Effect::RestoreSource => "rollback",
        Effect::Nothing | Effect::SetUp | Effect::NoteEdit | Effect::Retract => return,
    };
    let (user_id, triple) = (ctx.user.name().to_owned(), triple.clone());
    ctx.actions.push(Action { name, user_id, triple, changes });
}
