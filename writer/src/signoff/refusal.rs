//! The words in which sign-off refuses (`remote-settings.md` §1.6-1.14): clients know them.

use shared::{error::ApiError, model::ObjectPath};

use super::{Refusal, tracking::REVIEWED_DIGEST};
use crate::store::objects::Object;

impl Refusal {
    /// The status code and the message, for the source `{bucket}/{id}`; `status` is what was
    /// posted.
    pub fn told(self, bucket: &str, id: &str, status: &str) -> (u16, String) {
        match self {
            Self::StatusRemoved => (400, "Cannot remove status".to_owned()),
            Self::StatusSetToSigned => (400, "Cannot set status to 'signed'".to_owned()),
            Self::StatusUnknown => (400, format!("Invalid status '{status}'")),
            Self::NotAnEditor => (403, format!("Not in {id}-editors group")),
            Self::NotAReviewer => (403, format!("Not in {id}-reviewers group")),
            Self::OwnRequest => (403, "Last editor cannot review".to_owned()),
            Self::AlreadySigned => (400, "Collection already signed".to_owned()),
            Self::NotUnderReview => (400, "Collection not under review".to_owned()),
            Self::NothingToRollBack => (400, "Collection has no work-in-progress".to_owned()),
            Self::Tampered(name) => {
                let shown = name.to_uppercase();
                (400, format!("Cannot change <TRACKING_FIELDS.{shown}: '{name}'>"))
            }
            Self::DigestOfNothing => {
                (400, format!("{REVIEWED_DIGEST} is sent with an approval: status 'to-sign'"))
            }
            Self::ChangedSinceReview => (412, "Resource was modified meanwhile".to_owned()),
            Self::TooManyRecords => {
                (400, "Collection has more records than can be signed".to_owned())
            }
            Self::CannotMakeGroups => (
                403,
                format!(
                    "Cannot create collection without `group:create` on bucket '{bucket}': \
                     editors/reviewers groups cannot be set up."
                ),
            ),
            Self::InUse => (403, "Collection is in use.".to_owned()),
        }
    }

    /// The error that ends the request. `existing` is the source as it was.
    pub fn error(self, source: &ObjectPath, status: &str, existing: Option<&Object>) -> ApiError {
        match self.told(source.bucket_id(), &source.id, status) {
            (412, _) => ApiError::ModifiedMeanwhile {
                existing: existing.map(Object::to_value),
                current: existing.map(|object| object.last_modified),
            },
            (code, message) => ApiError::Refused { forbidden: code == 403, message },
        }
    }
}
