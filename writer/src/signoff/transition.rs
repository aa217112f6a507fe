//! The workflow of a source collection: a pure state machine.
//!
//! # Source
//!
//! `remote-settings.md` §1.8.

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

/// What is known of the user, on this collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Actor {
    /// Member of `{cid}-editors`.
    pub is_editor: bool,
    /// Member of `{cid}-reviewers`.
    pub is_reviewer: bool,
    /// Is who asked for the review.
    pub requested_this_review: bool,
}

/// What follows from an accepted command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Only the status changes.
    Nothing,
    /// Preview becomes the source.
    PublishPreview,
    /// Preview and destination become the source.
    Publish,
    /// Preview and destination are signed again as they are.
    Resign,
    /// Source and preview become the destination.
    RestoreSource,
}

/// Why a command is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
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

impl Command {
    /// As posted.
    ///
    /// # Errors
    ///
    /// The message of the 400.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "work-in-progress" => Ok(Self::Decline),
            "to-review" => Ok(Self::RequestReview),
            "to-sign" => Ok(Self::Approve),
            "to-resign" => Ok(Self::RefreshSignature),
            "to-rollback" => Ok(Self::Rollback),
            "signed" => Err("Cannot set status to 'signed'".to_owned()),
            other => Err(format!("Invalid status '{other}'")),
        }
    }
}

/// Decides on a command: the new status and what follows, or why not.
///
/// `review` is `to_review_enabled` of the collection.
///
/// # Errors
///
/// The first [`Refusal`] in the order of §1.8.
pub fn transition(
    from: Status,
    command: Command,
    actor: Actor,
    review: bool,
) -> Result<(Status, Effect), Refusal> {
    use Status::{None, Signed, ToReview, WorkInProgress};
    match (command, from) {
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
        (Command::RefreshSignature, None) => Ok((Signed, Effect::Resign)),
        (Command::RefreshSignature, _) => Ok((from, Effect::Resign)),
        (Command::Rollback, Signed) => Err(Refusal::NothingToRollBack),
        (Command::Rollback, None | WorkInProgress | ToReview) => {
            Ok((Signed, Effect::RestoreSource))
        }
    }
}

#[cfg(test)]
mod tests {
    use Command::{Approve, Decline, RefreshSignature, RequestReview, Rollback};
    use Status::{None, Signed, ToReview, WorkInProgress};

    use super::*;

    /// Every status, command, actor and review setting: 4 x 5 x 8 x 2.
    fn cases() -> Vec<(Status, Command, Actor, bool)> {
        let mut cases = Vec::new();
        for from in [None, WorkInProgress, ToReview, Signed] {
            for command in [Decline, RequestReview, Approve, RefreshSignature, Rollback] {
                for bits in 0..16 {
                    let actor = Actor {
                        is_editor: bits & 1 != 0,
                        is_reviewer: bits & 2 != 0,
                        requested_this_review: bits & 4 != 0,
                    };
                    cases.push((from, command, actor, bits & 8 != 0));
                }
            }
        }
        assert_eq!(cases.len(), 320);
        cases
    }

    /// What clients are promised: with review on, nobody publishes alone.
    #[test]
    fn publication_takes_two_people() {
        for (from, command, actor, review) in cases() {
            if let Ok((_, Effect::Publish)) = transition(from, command, actor, review) {
                assert_eq!(command, Approve);
                if review {
                    assert_eq!(from, ToReview);
                    assert!(actor.is_reviewer && !actor.requested_this_review, "{actor:?}");
                }
            }
        }
    }

    #[test]
    fn only_editors_request_a_review() {
        for (from, command, actor, review) in cases() {
            if command == RequestReview {
                let accepted = transition(from, command, actor, review).is_ok();
                assert_eq!(accepted, !review || actor.is_editor);
            }
        }
    }

    #[test]
    fn a_refresh_changes_nothing_but_signatures() {
        for (from, command, actor, review) in cases() {
            if command == RefreshSignature {
                let expected = if from == None { Signed } else { from };
                assert_eq!(
                    transition(from, command, actor, review),
                    Ok((expected, Effect::Resign))
                );
            }
        }
    }

    #[test]
    fn refusals_come_in_the_specified_order() {
        let nobody = Actor { is_editor: false, is_reviewer: false, requested_this_review: true };
        let reviewer = Actor { is_reviewer: true, ..nobody };
        let go = |from, actor| transition(from, Approve, actor, true).unwrap_err();

        assert_eq!(go(Signed, nobody), Refusal::AlreadySigned);
        assert_eq!(go(WorkInProgress, nobody), Refusal::NotAReviewer);
        assert_eq!(go(WorkInProgress, reviewer), Refusal::NotUnderReview);
        assert_eq!(go(ToReview, reviewer), Refusal::OwnRequest);
        assert_eq!(
            transition(Signed, Approve, nobody, false),
            Err(Refusal::AlreadySigned),
            "also without review"
        );
    }
}
