//! What the workflow does in the database (`remote-settings.md` §1.6-1.14).

use serde_json::{Map, Value, json};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Permission},
};

use super::{
    Actor, Command, Effect, Refusal, Role, Status, Triple,
    events::{Action, Changes, ReviewEvent, ReviewKind},
    guards, noted,
    publish::{copy_records, empty, ensure, push, sign_later},
    transition,
};
use crate::{
    authz,
    context::{Change, Ctx},
    store::{
        memberships,
        objects::{self, Object},
    },
};

/// Who makes the changes that follow from a user's.
pub const PLUGIN_USER: &str = "plugin:remote-settings";

/// What only the workflow writes, in the order in which a refusal names them.
const TRACKING: [&str; 8] = [
    "last_edit_by",
    "last_edit_date",
    "last_review_request_by",
    "last_review_request_date",
    "last_review_by",
    "last_review_date",
    "last_signature_by",
    "last_signature_date",
];

fn refused(message: impl Into<String>) -> ApiError {
    ApiError::Refused { forbidden: false, message: message.into() }
}

fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::Refused { forbidden: true, message: message.into() }
}

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
                    guards::check_record(&record.data).map_err(refused)?;
                }
            }
            Ok(false)
        }
        ListPath::Collections(bucket) => {
            let resources = &ctx.app.config.signer.resources;
            let Some(triple) = resources.of_source(bucket, &change.path.id) else {
                return Ok(false);
            };
            match (&change.old, &change.new) {
                (None, Some(new)) => created(ctx, &triple, new).await,
                (Some(old), Some(new)) => updated(ctx, &triple, old, new, change).await,
                (_, None) => Ok(false),
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
    let mut data = collection.data;
    data.insert("status".to_owned(), json!(Status::WorkInProgress.name()));
    stamp(ctx, &mut data, "last_edit");
    noted::put(ctx, &source, data).await?;
    ctx.edited.insert(once);
    Ok(())
}

fn stamp(ctx: &Ctx<'_>, data: &mut Map<String, Value>, prefix: &str) {
    data.insert(format!("{prefix}_by"), ctx.user.name().into());
    data.insert(format!("{prefix}_date"), ctx.now.iso8601().into());
}

/// The status that was posted, if it is another one than before.
fn posted_command(old: Option<&Value>, new: Option<&Value>) -> Result<Option<Command>, ApiError> {
    if old == new {
        return Ok(None);
    }
    match new {
        None | Some(Value::Null) => Err(refused("Cannot remove status")),
        Some(Value::String(text)) => Command::parse(text).map(Some).map_err(refused),
        Some(other) => {
            let shown = crate::python::text(other);
            Err(refused(format!("Invalid status '{shown}'")))
        }
    }
}

fn check_tracking(old: &Map<String, Value>, new: &Map<String, Value>) -> Result<(), ApiError> {
    match TRACKING.iter().find(|name| old.get(**name) != new.get(**name)) {
        Some(name) => {
            let shown = name.to_uppercase();
            Err(refused(format!("Cannot change <TRACKING_FIELDS.{shown}: '{name}'>")))
        }
        None => Ok(()),
    }
}

fn decide(
    ctx: &Ctx<'_>,
    triple: &Triple,
    from: &Map<String, Value>,
    command: Command,
) -> Result<(Status, Effect), ApiError> {
    let (bucket, id) = (triple.source.bucket_id(), &triple.source.id);
    let group = |kind: &str| format!("/buckets/{bucket}/groups/{id}-{kind}");
    let requester = from.get("last_review_request_by").and_then(Value::as_str);
    let actor = Actor {
        is_editor: ctx.user.is(&group("editors")),
        is_reviewer: ctx.user.is(&group("reviewers")),
        requested_this_review: requester == Some(ctx.user.name()),
    };
    let review = ctx.app.config.signer.resources.review_enabled(bucket, id);
    let status = Status::parse(from.get("status").and_then(Value::as_str));
    transition(status, command, actor, review).map_err(|refusal| match refusal {
        Refusal::NotAnEditor => forbidden(format!("Not in {id}-editors group")),
        Refusal::NotAReviewer => forbidden(format!("Not in {id}-reviewers group")),
        Refusal::OwnRequest => forbidden("Last editor cannot review"),
        Refusal::AlreadySigned => refused("Collection already signed"),
        Refusal::NotUnderReview => refused("Collection not under review"),
        Refusal::NothingToRollBack => refused("Collection has no work-in-progress"),
    })
}

/// A new source gets its groups, and signed, empty targets (§1.6).
async fn created(ctx: &mut Ctx<'_>, triple: &Triple, new: &Object) -> Result<bool, ApiError> {
    let nothing = Map::new();
    if let Some(command) = posted_command(None, new.data.get("status"))? {
        decide(ctx, triple, &nothing, command)?;
    }
    check_tracking(&nothing, &new.data)?;
    ctx.edited.clear();
    set_up_groups(ctx, triple).await?;
    for target in triple.targets() {
        push(ctx, &triple.source, target, &new.data).await?;
    }
    let mut data = new.data.clone();
    data.insert("status".to_owned(), json!(Status::Signed.name()));
    stamp(ctx, &mut data, "last_signature");
    noted::put(ctx, &triple.source, data).await?;
    Ok(true)
}

async fn set_up_groups(ctx: &mut Ctx<'_>, triple: &Triple) -> Result<(), ApiError> {
    let (bucket, id) = (checked(triple.source.bucket_id())?, &triple.source.id);
    if !authz::may_create(ctx, &ListPath::Groups(bucket.clone())).await? {
        return Err(forbidden(format!(
            "Cannot create collection without `group:create` on bucket '{bucket}': \
             editors/reviewers groups cannot be set up."
        )));
    }
    let user = [ctx.user.name().to_owned()];
    for (kind, members) in [("editors", user.as_slice()), ("reviewers", &[])] {
        let group = ObjectPath::group(bucket.clone(), checked(&format!("{id}-{kind}"))?);
        if ctx.object(&group).await?.is_none() {
            let data = Map::from_iter([("members".to_owned(), json!(members))]);
            ctx.grant(&group, Permission::Write, &user[0]).await?;
            noted::put(ctx, &group, data).await?;
            memberships::set(ctx.settled().await?, &bucket, &group.id, members).await?;
        }
        ctx.grant(&triple.source, Permission::Write, &group.to_string()).await?;
    }
    ctx.forget_groups();
    Ok(())
}

fn checked(id: &str) -> Result<Id, ApiError> {
    Id::new(id).map_err(|_| refused(format!("'{id}' is too long for a group's name")))
}

/// A source was written: a new status is a command.
async fn updated(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    old: &Object,
    new: &Object,
    change: &Change,
) -> Result<bool, ApiError> {
    let command = posted_command(old.data.get("status"), new.data.get("status"))?;
    let decision = command.map(|command| decide(ctx, triple, &old.data, command)).transpose()?;
    check_tracking(&old.data, &new.data)?;
    let Some((status, effect)) = decision else { return Ok(false) };
    // Whatever comes next in this request, an edit after this must be noted again.
    ctx.edited.clear();
    let mut data = new.data.clone();
    let changes = carry_out(ctx, triple, effect, &old.data, &mut data, &change.posted).await?;
    match status.name() {
        Some(name) => data.insert("status".to_owned(), name.into()),
        None => data.remove("status"),
    };
    noted::put(ctx, &triple.source, data).await?;
    tell(ctx, triple, (old, new), effect, changes);
    Ok(true)
}

/// Notes what is told of an accepted command: to the log, and to those who wait for reviews.
fn tell(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    (old, new): (&Object, &Object),
    effect: Effect,
    changes: Option<Changes>,
) {
    let from = Status::parse(old.text("status"));
    let (name, kind) = match effect {
        Effect::Nothing if from != Status::ToReview => return,
        Effect::Nothing => ("reject", Some(ReviewKind::Rejected)),
        Effect::PublishPreview => ("request", Some(ReviewKind::Requested)),
        Effect::Publish => ("approve", Some(ReviewKind::Approved)),
        Effect::Resign => ("refresh", None),
        Effect::RestoreSource => {
            let canceled = from == Status::ToReview || changes.is_some_and(|c| c.count > 0);
            ("rollback", canceled.then_some(ReviewKind::Canceled))
        }
    };
    let (user_id, triple) = (ctx.user.name().to_owned(), triple.clone());
    if let Some(kind) = kind {
        ctx.review_events.push(ReviewEvent {
            kind,
            triple: triple.clone(),
            user_id: user_id.clone(),
            timestamp: new.last_modified,
            old: old.to_value(),
            new: new.to_value(),
            changes,
        });
    }
    ctx.actions.push(Action { name, user_id, triple, changes });
}

async fn carry_out(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    effect: Effect,
    old: &Map<String, Value>,
    data: &mut Map<String, Value>,
    posted: &Map<String, Value>,
) -> Result<Option<Changes>, ApiError> {
    let mut changes = None;
    match effect {
        Effect::Nothing => {}
        Effect::PublishPreview => {
            if let Some(preview) = &triple.preview {
                changes = Some(push(ctx, &triple.source, preview, data).await?);
                if !posted.contains_key("last_editor_comment") {
                    data.insert("last_editor_comment".to_owned(), "".into());
                }
            }
            stamp(ctx, data, "last_review_request");
        }
        Effect::Publish => {
            for target in triple.targets() {
                changes = Some(push(ctx, &triple.source, target, data).await?);
            }
            stamp(ctx, data, "last_review");
            stamp(ctx, data, "last_signature");
        }
        Effect::Resign => resign(ctx, triple, old, data).await?,
        Effect::RestoreSource => {
            let (count, size_bytes) = (restore(ctx, triple, data).await?, 0);
            changes = Some(Changes { count, size_bytes });
        }
    }
    Ok(changes)
}

/// Signs destination, then preview, as they are (§1.12). Attributes are published only where no
/// unreviewed change waits (D4).
async fn resign(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    old: &Map<String, Value>,
    data: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let (bucket, id) = (triple.source.bucket_id(), &triple.source.id);
    let review = ctx.app.config.signer.resources.review_enabled(bucket, id);
    let signed = Status::parse(old.get("status").and_then(Value::as_str)) == Status::Signed;
    let attributes = (signed || !review).then(|| data.clone());
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
    if ctx.object(&triple.destination).await?.is_none() {
        return Err(refused("Collection has no work-in-progress"));
    }
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

/// Gives the lists of a new bucket their first timestamps.
pub(super) async fn open_bucket(ctx: &mut Ctx<'_>, bucket: &ObjectPath) -> Result<(), ApiError> {
    ctx.open_list(&ListPath::Collections(bucket.id.clone())).await?;
    ctx.open_list(&ListPath::Groups(bucket.id.clone())).await
}

/// A preview or destination cannot go while its source exists, nor a bucket that holds one (D7).
///
/// # Errors
///
/// 403 `Collection is in use.`
pub async fn refuse_in_use(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let resources = &ctx.app.config.signer.resources;
    let sources = match &path.list {
        ListPath::Collections(bucket) => resources.sources_of(bucket, &path.id),
        ListPath::Buckets => {
            let collections = objects::collections_of(ctx.settled().await?, &path.id).await?;
            let of = |id: &Id| resources.sources_of(&path.id, id);
            collections.iter().flat_map(of).collect()
        }
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            Vec::new()
        }
    };
    for source in sources {
        if ctx.object(&source).await?.is_some() {
            return Err(forbidden("Collection is in use."));
        }
    }
    Ok(())
}

/// A source is about to go, by itself or with its bucket: its groups go, its targets are emptied
/// with tombstones and signed, so that clients empty their copies (§1.14).
///
/// # Errors
///
/// [`ApiError::Backend`] when signing fails.
pub async fn before_deletion(ctx: &mut Ctx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    let collections = match &path.list {
        ListPath::Collections(bucket) => vec![(bucket.clone(), path.id.clone())],
        ListPath::Buckets => {
            let ids = objects::collections_of(ctx.settled().await?, &path.id).await?;
            ids.into_iter().map(|id| (path.id.clone(), id)).collect()
        }
        ListPath::Groups(_) | ListPath::Records(..) | ListPath::Accounts | ListPath::History(_) => {
            return Ok(());
        }
    };
    for (bucket, id) in collections {
        let Some(triple) = ctx.app.config.signer.resources.of_source(&bucket, &id) else {
            continue;
        };
        for kind in ["editors", "reviewers"] {
            let group = ObjectPath::group(bucket.clone(), checked(&format!("{id}-{kind}"))?);
            if let Some(old) = ctx.object(&group).await? {
                noted::delete(ctx, &group, old).await?;
                memberships::set(ctx.settled().await?, &bucket, &group.id, &[]).await?;
            }
        }
        for target in triple.targets() {
            empty(ctx, &triple.source, target).await?;
        }
    }
    Ok(())
}
