//! What a request is refused with that cannot run, because of its URL alone.

use shared::{
    error::ApiError,
    model::{ObjectPath, Permission},
};

use crate::{
    authz, config::Grant, context::Ctx, operations, plugins::default_bucket, routes::Parent,
};

/// Refusals known from the URL alone; made anew for each attempt.
pub enum ApiErrorSource {
    /// The parent is malformed, and the method tells everybody.
    Parent(Parent),
    /// The parent is malformed, and only those are told who have the right around it (§2.4).
    Hidden(Parent, Permission),
    /// The time of a snapshot is none.
    Time(String),
    /// The URL is not that of a list or an object.
    NoOperation,
    /// It is below the default bucket, and cannot be.
    DefaultBucket(default_bucket::Refusal),
}

impl ApiErrorSource {
    /// The refusal, for the user that `ctx` has become.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away.
    pub async fn resolve(&self, ctx: &mut Ctx<'_>) -> Result<ApiError, ApiError> {
        if let Self::Hidden(parent, wanted) = self
            && is_told(ctx, parent, *wanted).await?
        {
            return Ok(no_such_parent(parent));
        }
        Ok(self.error(ctx))
    }

    fn error(&self, ctx: &Ctx<'_>) -> ApiError {
        match self {
            Self::Parent(parent) => no_such_parent(parent),
            Self::Hidden(..) => authz::denied(ctx),
            Self::Time(text) => operations::invalid_time(text),
            Self::NoOperation => ApiError::NoSuchEndpoint,
            Self::DefaultBucket(refusal) => refusal.error(),
        }
    }
}

fn no_such_parent(parent: &Parent) -> ApiError {
    match parent {
        Parent::Malformed { resource, id, .. } => {
            ApiError::NoSuchParent { resource: *resource, id: id.clone() }
        }
        Parent::Known(_) => ApiError::NoSuchEndpoint,
    }
}

/// Whether the user has the right by the settings, or by the bucket around the malformed parent.
async fn is_told(ctx: &mut Ctx<'_>, parent: &Parent, wanted: Permission) -> Result<bool, ApiError> {
    let Parent::Malformed { holds, bucket, .. } = parent else { return Ok(false) };
    let grants: &[Grant] =
        if wanted == Permission::Read { &[Grant::Read, Grant::Write] } else { &[Grant::Write] };
    if authz::settings_grant(ctx, *holds, grants) {
        return Ok(true);
    }
    match bucket {
        Some(bucket) => authz::is_granted(ctx, wanted, &ObjectPath::bucket(bucket.clone())).await,
        None => Ok(false),
    }
}
