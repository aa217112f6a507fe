//! The workflow of a source collection: a pure state machine, which holds every rule.
//!
//! # Source
//!
//! `remote-settings.md` §1.6-1.16; the deviations D1-D8 of §13.

use super::events::ReviewKind;

/// What is stored in a source collection's `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Older than sign-off, or never edited since it was set up.
    None,
    /// Edited since the last approval.
    WorkInProgress,
    /// Waits for a reviewer.
    ToReview,
    /// Published as it is.
    Signed,
}

/// What a client asks for by writing `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// `work-in-progress`: take back, or decline.
    Decline,
    /// `to-review`.
    RequestReview,
    /// `to-sign`.
    Approve,
    /// `to-resign`.
    RefreshSignature,
    /// `to-rollback`.
    Rollback,
}

/// The `status` that a write leaves, beside the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// The same as before; also absent as before.
    Same,
    /// None any more, or `null`.
    Removed,
    /// `signed`, which only sign-off writes.
    Signed,
    /// Nothing that is known.
    Unknown,
    /// A command.
    Command(Command),
}

/// What happens to a source, or to what is published from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The source is made.
    Create(Posted),
    /// The source's metadata is written.
    Update(Posted),
    /// Records of the source are written or deleted.
    Edit,
    /// The source is deleted, by itself or with its bucket.
    Delete,
    /// Its preview or destination is deleted, by itself or with its bucket.
    DeleteTarget,
}

/// What is known of the user, on this collection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one question of a rule")]
pub struct Actor {
    /// Member of `{cid}-editors`.
    pub is_editor: bool,
    /// Member of `{cid}-reviewers`.
    pub is_reviewer: bool,
    /// Is who asked for the review.
    pub requested_this_review: bool,
    /// May make groups in the source's bucket.
    pub makes_groups: bool,
}

/// The digest of what a reviewer has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Digest {
    /// None was sent.
    #[default]
    NotGiven,
    /// It is that of the source as it is.
    Matches,
    /// It is another one, or no digest at all.
    Differs,
}

/// All that the rules look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one question of a rule")]
pub struct Situation {
    /// The status before.
    pub from: Status,
    /// Who does it.
    pub actor: Actor,
    /// `to_review_enabled` of the source.
    pub review: bool,
    /// `refresh_publishes_attributes`.
    pub refresh_publishes: bool,
    /// The first of the tracking attributes that the user has changed.
    pub tampered: Option<&'static str>,
    /// Whether an attribute that is published was changed.
    pub attributes_changed: bool,
    /// What the reviewer has looked at.
    pub digest: Digest,
    /// Whether the source holds more records than one reply can.
    pub is_too_large: bool,
    /// Whether the destination exists.
    pub is_published: bool,
    /// Whether the source exists, of a target that is to be deleted.
    pub has_source: bool,
}

/// What follows from an accepted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Only the status changes.
    Nothing,
    /// The source gets its groups, and signed targets.
    SetUp,
    /// It is noted who edited.
    NoteEdit,
    /// Preview becomes the source, and its digest is kept.
    PublishPreview,
    /// Preview and destination become the source.
    Publish,
    /// Preview and destination are signed again as they are.
    Resign {
        /// Whether they get the source's published attributes.
        with_attributes: bool,
        /// Whether the write is an edit as well, and noted as one.
        is_edit: bool,
    },
    /// Source and preview become the destination.
    RestoreSource,
    /// Groups go, targets are emptied.
    Retract,
}

/// Why an event is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    StatusRemoved,
    /// 400.
    StatusSetToSigned,
    /// 400.
    StatusUnknown,
    /// 403.
    NotAnEditor,
    /// 403.
    NotAReviewer,
    /// 403: whoever requests a review does not approve it.
    OwnRequest,
    /// 400.
    AlreadySigned,
    /// 400.
    NotUnderReview,
    /// 400.
    NothingToRollBack,
    /// 400: only sign-off writes this attribute.
    Tampered(&'static str),
    /// 400: a digest is sent with an approval, or not at all.
    DigestOfNothing,
    /// 412: the source is not what the reviewer has looked at.
    ChangedSinceReview,
    /// 400: a cut set would not verify (D8).
    TooManyRecords,
    /// 403.
    CannotMakeGroups,
    /// 403.
    InUse,
}

impl Situation {
    /// Nothing special, but for the status.
    pub const fn new(from: Status) -> Self {
        Self {
            from,
            actor: Actor {
                is_editor: false,
                is_reviewer: false,
                requested_this_review: false,
                makes_groups: false,
            },
            review: true,
            refresh_publishes: true,
            tampered: None,
            attributes_changed: false,
            digest: Digest::NotGiven,
            is_too_large: false,
            is_published: false,
            has_source: false,
        }
    }
}

impl Status {
    /// As stored; anything unknown counts as never edited.
    pub fn parse(text: Option<&str>) -> Self {
        match text {
            Some("work-in-progress") => Self::WorkInProgress,
            Some("to-review") => Self::ToReview,
            Some("signed") => Self::Signed,
            _ => Self::None,
        }
    }

    /// As stored; `None` is an absent member.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::WorkInProgress => Some("work-in-progress"),
            Self::ToReview => Some("to-review"),
            Self::Signed => Some("signed"),
        }
    }
}

impl Posted {
    /// What a text asks for.
    pub fn parse(text: &str) -> Self {
        match text {
            "work-in-progress" => Self::Command(Command::Decline),
            "to-review" => Self::Command(Command::RequestReview),
            "to-sign" => Self::Command(Command::Approve),
            "to-resign" => Self::Command(Command::RefreshSignature),
            "to-rollback" => Self::Command(Command::Rollback),
            "signed" => Self::Signed,
            _ => Self::Unknown,
        }
    }
}

/// Decides on an event: the new status and what follows, or why not.
///
/// # Errors
///
/// The first [`Refusal`] in the order of §1.9: status, tracking attributes, then the rest.
pub fn transition(event: Event, now: &Situation) -> Result<(Status, Effect), Refusal> {
    match event {
        Event::Create(posted) => {
            command(posted, now)?;
            common(false, now)?;
            if !now.actor.makes_groups {
                return Err(Refusal::CannotMakeGroups);
            }
            Ok((Status::Signed, Effect::SetUp))
        }
        Event::Update(posted) => {
            let decision = command(posted, now)?;
            common(posted == Posted::Command(Command::Approve), now)?;
            let publishes = matches!(decision.1, Effect::PublishPreview | Effect::Publish);
            if publishes && now.is_too_large {
                return Err(Refusal::TooManyRecords);
            }
            if decision.1 == Effect::RestoreSource && !now.is_published {
                return Err(Refusal::NothingToRollBack);
            }
            Ok(decision)
        }
        Event::Edit => Ok((Status::WorkInProgress, Effect::NoteEdit)),
        Event::Delete => Ok((Status::None, Effect::Retract)),
        Event::DeleteTarget if now.has_source => Err(Refusal::InUse),
        Event::DeleteTarget => Ok((Status::None, Effect::Nothing)),
    }
}

/// The rules on `status` (§1.8).
fn command(posted: Posted, now: &Situation) -> Result<(Status, Effect), Refusal> {
    use Status::{None, Signed, ToReview, WorkInProgress};
    let command = match posted {
        Posted::Removed => return Err(Refusal::StatusRemoved),
        Posted::Signed => return Err(Refusal::StatusSetToSigned),
        Posted::Unknown => return Err(Refusal::StatusUnknown),
        // What an approval publishes is edited: that voids the request, as an edit of records does.
        Posted::Same if now.from == ToReview && now.attributes_changed => {
            return Ok((WorkInProgress, Effect::NoteEdit));
        }
        Posted::Same => return Ok((now.from, Effect::Nothing)),
        Posted::Command(command) => command,
    };
    let (review, actor) = (now.review, now.actor);
    // Attributes are published only where no unreviewed change waits (D4). Those that come with a
    // refresh void a request as others do: otherwise the approval would publish them unseen.
    let with_attributes = now.refresh_publishes && (now.from == Signed || !review);
    let is_edit = now.from == ToReview && now.attributes_changed;
    let resign = Effect::Resign { with_attributes, is_edit };
    match (command, now.from) {
        (Command::RequestReview, _) if review && !actor.is_editor => Err(Refusal::NotAnEditor),
        (Command::RequestReview, _) => Ok((ToReview, Effect::PublishPreview)),
        (Command::Approve, Signed) => Err(Refusal::AlreadySigned),
        (Command::Approve, _) if !review => Ok((Signed, Effect::Publish)),
        (Command::Approve, _) if !actor.is_reviewer => Err(Refusal::NotAReviewer),
        (Command::Approve, None | WorkInProgress) => Err(Refusal::NotUnderReview),
        (Command::Approve, ToReview) if actor.requested_this_review => Err(Refusal::OwnRequest),
        (Command::Approve, ToReview) => Ok((Signed, Effect::Publish)),
        (Command::Decline, _) => Ok((WorkInProgress, Effect::Nothing)),
        // Never published: signing it empty makes it a signed collection (D5).
        (Command::RefreshSignature, None) => Ok((Signed, resign)),
        (Command::RefreshSignature, _) if is_edit => Ok((WorkInProgress, resign)),
        (Command::RefreshSignature, from) => Ok((from, resign)),
        (Command::Rollback, Signed) => Err(Refusal::NothingToRollBack),
        (Command::Rollback, None | WorkInProgress | ToReview) => {
            Ok((Signed, Effect::RestoreSource))
        }
    }
}

/// The rules on what else is written.
fn common(approves: bool, now: &Situation) -> Result<(), Refusal> {
    if let Some(name) = now.tampered {
        return Err(Refusal::Tampered(name));
    }
    match (now.digest, approves) {
        (Digest::Matches | Digest::Differs, false) => Err(Refusal::DigestOfNothing),
        (Digest::Differs, true) => Err(Refusal::ChangedSinceReview),
        // An approval publishes what was asked for, and nothing that comes with it.
        (Digest::NotGiven | Digest::Matches, true) if now.review && now.attributes_changed => {
            Err(Refusal::ChangedSinceReview)
        }
        (Digest::NotGiven, _) | (Digest::Matches, true) => Ok(()),
    }
}

/// What others are told of it (§1.17). `changed` says whether the effect changed any record.
pub(super) const fn told(
    from: Status,
    effect: Effect,
    status: Status,
    changed: bool,
) -> Option<ReviewKind> {
    match (effect, from, status) {
        (Effect::PublishPreview, ..) => Some(ReviewKind::Requested),
        (Effect::Publish, ..) => Some(ReviewKind::Approved),
        (Effect::Nothing, Status::ToReview, Status::WorkInProgress) => Some(ReviewKind::Rejected),
        (Effect::RestoreSource, Status::ToReview, _) => Some(ReviewKind::Canceled),
        (Effect::RestoreSource, ..) if changed => Some(ReviewKind::Canceled),
        (
            Effect::Nothing
            | Effect::SetUp
            | Effect::NoteEdit
            | Effect::Resign { .. }
            | Effect::RestoreSource
            | Effect::Retract,
            ..,
        ) => None,
    }
}

#[cfg(test)]
mod tests;
