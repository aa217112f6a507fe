//! What a source needs: its groups, and signed targets (`remote-settings.md` §1.5-1.6).

use serde_json::{Map, json};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Permission, Timestamp},
};

use super::{Triple, noted, publish::push, tracking::stamp};
use crate::{context::Ctx, store::memberships};

/// The groups of a source.
pub(super) const GROUPS: [&str; 2] = ["editors", "reviewers"];

/// A new source gets its groups, and signed targets: empty, also where they held something before.
pub(super) async fn set_up(
    ctx: &mut Ctx<'_>,
    triple: &Triple,
    data: &mut Map<String, serde_json::Value>,
) -> Result<(), ApiError> {
    set_up_groups(ctx, triple).await?;
    for target in triple.targets() {
        push(ctx, &triple.source, target, data).await?;
    }
    stamp(ctx, data, "last_signature");
    Ok(())
}

/// Whoever makes a source edits it, and names its reviewers. Groups that exist already stay as
/// they are; both may write the source.
async fn set_up_groups(ctx: &mut Ctx<'_>, triple: &Triple) -> Result<(), ApiError> {
    // Nobody in particular is no member.
    let user: Vec<String> = ctx.user.id.iter().cloned().collect();
    for (kind, members) in GROUPS.into_iter().zip([user.as_slice(), &[]]) {
        let group = group(&triple.source, kind)?;
        if ctx.object(&group).await?.is_none() {
            let data = Map::from_iter([("members".to_owned(), json!(members))]);
            for user in &user {
                ctx.grant(&group, Permission::Write, user).await?;
            }
            noted::put(ctx, &group, data).await?;
            memberships::set(ctx.settled().await?, group.bucket_id(), &group.id, members).await?;
        }
        ctx.grant(&triple.source, Permission::Write, &group.to_string()).await?;
    }
    ctx.forget_groups();
    Ok(())
}

/// The group of a source's editors, or of its reviewers.
///
/// # Errors
///
/// 400 when the collection's id is too long for a group's name.
pub(super) fn group(source: &ObjectPath, kind: &str) -> Result<ObjectPath, ApiError> {
    let name = format!("{}-{kind}", source.id);
    let id = |text: &str| {
        Id::new(text).map_err(|_| ApiError::Refused {
            forbidden: false,
            message: format!("'{text}' is too long for a group's name"),
        })
    };
    Ok(ObjectPath::group(id(source.bucket_id())?, id(&name)?))
}

/// Gives the lists of a new bucket their first timestamps.
pub(super) async fn open_bucket(ctx: &mut Ctx<'_>, bucket: &ObjectPath) -> Result<(), ApiError> {
    ctx.open_list(&ListPath::Collections(bucket.id.clone()), Timestamp::ZERO).await?;
    ctx.open_list(&ListPath::Groups(bucket.id.clone()), Timestamp::ZERO).await
}
