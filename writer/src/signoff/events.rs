//! What sign-off tells others: a review was requested, approved, rejected or canceled
//! (`remote-settings.md` §1.17).
//!
//! The effects put events into `Ctx::review_events`; they leave the process only with the commit.

use serde_json::{Map, Value, json};
use shared::model::{ObjectPath, Timestamp};

use super::Triple;

/// What happened to a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewKind {
    /// An editor asks for one.
    Requested,
    /// A reviewer agrees: what was asked for is published.
    Approved,
    /// The request was taken back, or declined.
    Rejected,
    /// The changes were rolled back.
    Canceled,
}

impl ReviewKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Requested, Self::Approved, Self::Rejected, Self::Canceled];

    /// The name that Kinto's hooks know it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requested => "kinto_remote_settings.signer.events.ReviewRequested",
            Self::Approved => "kinto_remote_settings.signer.events.ReviewApproved",
            Self::Rejected => "kinto_remote_settings.signer.events.ReviewRejected",
            Self::Canceled => "kinto_remote_settings.signer.events.ReviewCanceled",
        }
    }
}

/// How much a push or a rollback changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// Records created, replaced and deleted.
    pub count: usize,
    /// What clients will fetch: the canonical length of the changed records, and the bytes of
    /// attachments that are new. Less than 0 where attachments are taken away.
    pub size_bytes: i64,
}

/// One event, about one source collection.
#[derive(Debug, Clone, PartialEq)]
pub struct ReviewEvent {
    /// What happened.
    pub kind: ReviewKind,
    /// The source, with its preview and destination.
    pub triple: Triple,
    /// Who did it.
    pub user_id: String,
    /// Of the user's write of the source.
    pub timestamp: Timestamp,
    /// The source as it was, with `id` and `last_modified`.
    pub old: Value,
    /// The source as the user wrote it.
    pub new: Value,
    /// What is changed; `None` for a request without a preview to compare with.
    pub changes: Option<Changes>,
}

impl ReviewEvent {
    /// What the person says of it: the editor's comment on a request, the reviewer's on a
    /// rejection.
    pub fn comment(&self) -> Option<&str> {
        let member = match self.kind {
            ReviewKind::Requested => "last_editor_comment",
            ReviewKind::Rejected => "last_reviewer_comment",
            ReviewKind::Approved | ReviewKind::Canceled => return None,
        };
        Some(self.new.get(member).and_then(Value::as_str).unwrap_or_default())
    }

    /// The members of the event as hooks and templates see them.
    pub fn payload(&self) -> Map<String, Value> {
        let source = &self.triple.source;
        let mut payload = Map::from_iter([
            ("timestamp".to_owned(), self.timestamp.as_millis().into()),
            ("action".to_owned(), "update".into()),
            ("uri".to_owned(), source.to_string().into()),
            ("user_id".to_owned(), self.user_id.clone().into()),
            ("resource_name".to_owned(), "collection".into()),
            ("bucket_id".to_owned(), source.bucket_id().into()),
            ("collection_id".to_owned(), source.id.as_str().into()),
        ]);
        if let Some(comment) = self.comment() {
            payload.insert("comment".to_owned(), comment.into());
        }
        let (count, size) =
            (self.changes.map(|changes| changes.count), self.changes.map(|c| c.size_bytes));
        match self.kind {
            ReviewKind::Requested | ReviewKind::Approved => {
                payload.insert("changes_count".to_owned(), json!(count));
                payload.insert("changes_size_bytes".to_owned(), json!(size));
            }
            ReviewKind::Canceled => {
                payload.insert("changes_count".to_owned(), json!(count));
            }
            ReviewKind::Rejected => {}
        }
        payload
    }

    /// The source before and after, the one item of the event's list.
    pub fn impacted_objects(&self) -> Value {
        json!([{"old": self.old, "new": self.new}])
    }

    /// The triple as hooks see it; without `preview` for a pair.
    pub fn resource(&self) -> Value {
        let place =
            |path: &ObjectPath| json!({"bucket": path.bucket_id(), "collection": path.id.as_str()});
        let mut resource = json!({
            "source": place(&self.triple.source),
            "destination": place(&self.triple.destination),
        });
        if let Some(preview) = &self.triple.preview {
            resource["preview"] = place(preview);
        }
        resource
    }
}

/// What the log says of an accepted command.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    /// `request`, `approve`, `reject`, `refresh` or `rollback`.
    pub name: &'static str,
    /// Who did it.
    pub user_id: String,
    /// The source, with its preview and destination.
    pub triple: Triple,
    /// What was changed, where it is known.
    pub changes: Option<Changes>,
}

impl Action {
    /// Writes a line to the log: once it is committed, not before.
    pub fn log(&self) {
        tracing::info!(
            user_id = self.user_id,
            bucket_id = self.triple.source.bucket_id(),
            collection_id = self.triple.source.id.as_str(),
            action = self.name,
            changes_count = self.changes.map(|changes| changes.count),
            changes_size_bytes = self.changes.map(|changes| changes.size_bytes),
            "sign-off"
        );
    }
}

#[cfg(test)]
mod tests {
    use shared::model::Id;

    use super::*;

    fn event(kind: ReviewKind, changes: Option<Changes>) -> ReviewEvent {
        let path = |bucket: &str| {
            ObjectPath::collection(Id::new(bucket).unwrap(), Id::new("cfr").unwrap())
        };
        ReviewEvent {
            kind,
            triple: Triple { source: path("work"), preview: None, destination: path("main") },
            user_id: "account:bob".to_owned(),
            timestamp: Timestamp::from_millis(42),
            old: json!({"id": "cfr", "status": "work-in-progress"}),
            new: json!({"id": "cfr", "last_editor_comment": "please"}),
            changes,
        }
    }

    #[test]
    fn each_kind_has_its_members() {
        let common = json!({
            "timestamp": 42,
            "action": "update",
            "uri": "/buckets/work/collections/cfr",
            "user_id": "account:bob",
            "resource_name": "collection",
            "bucket_id": "work",
            "collection_id": "cfr",
        });
        let changes = Some(Changes { count: 2, size_bytes: 99 });
        for (kind, changes, more) in [
            (
                ReviewKind::Requested,
                changes,
                json!({"comment": "please", "changes_count": 2, "changes_size_bytes": 99}),
            ),
            (
                ReviewKind::Requested,
                None,
                json!({"comment": "please", "changes_count": null, "changes_size_bytes": null}),
            ),
            (ReviewKind::Approved, changes, json!({"changes_count": 2, "changes_size_bytes": 99})),
            (ReviewKind::Rejected, None, json!({"comment": ""})),
            (ReviewKind::Canceled, changes, json!({"changes_count": 2})),
        ] {
            let mut expected = common.as_object().unwrap().clone();
            expected.extend(more.as_object().unwrap().clone());

            assert_eq!(event(kind, changes).payload(), expected, "{kind:?}");
        }
    }

    #[test]
    fn a_pair_has_no_preview() {
        let resource = event(ReviewKind::Rejected, None).resource();

        assert_eq!(
            resource,
            json!({
                "source": {"bucket": "work", "collection": "cfr"},
                "destination": {"bucket": "main", "collection": "cfr"},
            })
        );
    }
}
