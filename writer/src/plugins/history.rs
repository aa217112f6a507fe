//! Each change leaves an entry in the history of its bucket (`kinto-http-api.md` §7.2).
//!
//! The entries of a transaction are in the order of its changes, and are written together just
//! before the commit: writers of different collections of one bucket wait for each other only
//! there, so that the entries' timestamps increase in the order of commits, too.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};
use shared::{
    error::ApiError,
    model::{Id, ListPath, ObjectPath, Permission, Timestamp},
};

use crate::{
    config::History,
    context::{Change, Ctx},
    store::{
        aces::Acl,
        history::{self, Entry},
        objects::Object,
    },
};

/// The changes that are recorded, by bucket.
type Recorded<'c> = BTreeMap<&'c Id, Vec<&'c Change>>;

/// Records everything that the transaction changed.
///
/// # Errors
///
/// [`ApiError::Backend`] when a lock is not granted in time.
pub async fn append(ctx: &mut Ctx<'_>) -> Result<(), ApiError> {
    if !ctx.app.config.history.enabled {
        return Ok(());
    }
    let changes = std::mem::take(&mut ctx.changes);
    let result = append_all(ctx, &recorded(&ctx.app.config.history, &changes)).await;
    ctx.changes = changes;
    result
}

async fn append_all(ctx: &mut Ctx<'_>, recorded: &Recorded<'_>) -> Result<(), ApiError> {
    let parents = parents(ctx, recorded).await?;
    let explicit = ctx.app.config.explicit_permissions;
    for (bucket, changes) in recorded {
        let entries = changes.iter().map(|change| Entry {
            data: data(change, ctx.now),
            readers: if explicit { readers(change, &parents) } else { Vec::new() },
        });
        ctx.record((*bucket).clone(), entries.collect());
    }
    trim(ctx, recorded).await
}

/// A bucket takes its history with it, and what was changed in it before is not recorded any more.
fn recorded<'c>(settings: &History, changes: &'c [Change]) -> Recorded<'c> {
    let mut recorded = Recorded::new();
    for change in changes {
        let Some(bucket) = bucket(&change.path) else { continue };
        let by_whom = change.user_id.as_ref();
        if change.path.list == ListPath::Buckets && change.new.is_none() {
            recorded.remove(bucket);
        } else if settings.records(&change.path)
            && !by_whom.is_some_and(|id| settings.excluded_users.contains(id))
        {
            recorded.entry(bucket).or_default().push(change);
        }
    }
    recorded
}

/// The bucket whose history tells of the object; accounts, and history itself, have none.
fn bucket(path: &ObjectPath) -> Option<&Id> {
    match &path.list {
        ListPath::Buckets => Some(&path.id),
        ListPath::Groups(bucket) | ListPath::Collections(bucket) | ListPath::Records(bucket, _) => {
            Some(bucket)
        }
        ListPath::Accounts | ListPath::History(_) => None,
    }
}

/// The access control lists of the collections and buckets that hold what was changed.
async fn parents(
    ctx: &mut Ctx<'_>,
    recorded: &Recorded<'_>,
) -> Result<HashMap<ObjectPath, Acl>, ApiError> {
    let paths: HashSet<ObjectPath> =
        recorded.values().flatten().flat_map(|change| change.path.ancestors()).collect();
    let mut acls = HashMap::new();
    for path in paths {
        let acl = ctx.acl(&path).await?.clone();
        acls.insert(path, acl);
    }
    Ok(acls)
}

/// Who may read the entry for ever: whoever may read the object, its collection or its bucket now.
fn readers(change: &Change, parents: &HashMap<ObjectPath, Acl>) -> Vec<String> {
    let above = change.path.ancestors().collect::<Vec<_>>();
    let lists = above.iter().filter_map(|path| parents.get(path)).chain([&change.acl]);
    let granting = [Permission::Read.name(), Permission::Write.name()];
    let principals: BTreeSet<&String> = lists
        .flat_map(|acl| granting.iter().filter_map(|right| acl.get(right)))
        .flatten()
        .collect();
    principals.into_iter().cloned().collect()
}

/// The members of an entry (§7.2.2).
fn data(change: &Change, now: Timestamp) -> Map<String, Value> {
    let (path, resource) = (&change.path, change.path.resource().name());
    let action = match (&change.old, &change.new) {
        (None, Some(_)) => "create",
        (Some(_), Some(_)) => "update",
        (_, None) => "delete",
    };
    let target = change.new.as_ref().map_or_else(|| tombstone(change), Object::to_value);
    let mut members = Map::from_iter([
        ("date".to_owned(), now.iso8601().into()),
        ("target".to_owned(), json!({"data": target, "permissions": change.acl})),
        ("action".to_owned(), action.into()),
        ("uri".to_owned(), path.to_string().into()),
        ("user_id".to_owned(), json!(change.user_id)),
        ("resource_name".to_owned(), resource.into()),
        (format!("{resource}_id"), path.id.as_str().into()),
    ]);
    if let ListPath::Records(_, collection) = &path.list {
        members.insert("collection_id".to_owned(), collection.as_str().into());
    }
    members
}

fn tombstone(change: &Change) -> Value {
    let id = change.path.id.to_string();
    let last_modified = change.timestamp;
    Object { id, last_modified, deleted: true, data: Map::new() }.to_value()
}

/// Deletes what is older than the settings keep, of each kind that was just added to.
async fn trim(ctx: &mut Ctx<'_>, recorded: &Recorded<'_>) -> Result<(), ApiError> {
    let Some(trim) = &ctx.app.config.history.trim else { return Ok(()) };
    let mut kinds = BTreeSet::new();
    for (bucket, change) in recorded.iter().flat_map(|(b, changes)| changes.iter().map(|c| (*b, c)))
    {
        let user = change.user_id.as_deref().filter(|id| trim.users.contains(*id));
        if user.is_some() || trim.users.is_empty() {
            kinds.insert((bucket, change.path.resource(), user));
        }
    }
    for (bucket, resource, user) in kinds {
        let tx = ctx.settled().await?;
        let gone = history::trim(tx, bucket, resource.name(), user, trim).await?;
        ctx.hold(&ListPath::History(bucket.clone())).await?;
        ctx.clocks.count(&ListPath::History(bucket.clone()), -number(gone));
    }
    Ok(())
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(uri: &str, user: Option<&str>, old: bool, new: bool) -> Change {
        let path = ObjectPath::parse(uri).unwrap();
        let object = || Object {
            id: path.id.to_string(),
            last_modified: Timestamp::from_millis(7),
            deleted: false,
            data: Map::from_iter([("n".to_owned(), 1.into())]),
        };
        Change {
            user_id: user.map(str::to_owned),
            old: old.then(object),
            new: new.then(object),
            timestamp: Timestamp::from_millis(7),
            acl: if new { acl("read", &["zed", "bob"]) } else { Acl::new() },
            posted: Map::new(),
            path,
        }
    }

    fn acl(permission: &'static str, principals: &[&str]) -> Acl {
        Acl::from([(permission, principals.iter().map(|&text| text.to_owned()).collect())])
    }

    fn uris(recorded: &Recorded<'_>) -> Vec<String> {
        recorded.values().flatten().map(|change| change.path.to_string()).collect()
    }

    fn enabled() -> History {
        History { enabled: true, ..History::default() }
    }

    #[test]
    fn an_entry_of_a_record_has_its_collection_s_id_but_not_its_bucket_s() {
        let change = change("/buckets/b/collections/c/records/r", Some("alice"), true, true);

        let data = data(&change, Timestamp::from_millis(1_700_000_000_001));

        assert_eq!(
            Value::Object(data),
            json!({
                "action": "update",
                "collection_id": "c",
                "date": "2023-11-14T22:13:20.001000+00:00",
                "record_id": "r",
                "resource_name": "record",
                "target": {
                    "data": {"id": "r", "last_modified": 7, "n": 1},
                    "permissions": {"read": ["zed", "bob"]},
                },
                "uri": "/buckets/b/collections/c/records/r",
                "user_id": "alice",
            })
        );
    }

    #[test]
    fn an_entry_of_a_bucket_has_its_id_and_a_deletion_its_tombstone() {
        let change = change("/buckets/b", None, true, false);

        let data = data(&change, Timestamp::ZERO);

        assert_eq!((&data["bucket_id"], &data["action"]), (&json!("b"), &json!("delete")));
        assert_eq!(data["user_id"], Value::Null);
        let target = json!({
            "data": {"id": "b", "last_modified": 7, "deleted": true}, "permissions": {},
        });
        assert_eq!(data["target"], target);
    }

    #[test]
    fn readers_are_those_of_the_object_and_of_all_that_holds_it() {
        let change = change("/buckets/b/collections/c/records/r", None, false, true);
        let parents = HashMap::from([
            (ObjectPath::parse("/buckets/b").unwrap(), acl("write", &["alice"])),
            (ObjectPath::parse("/buckets/b/collections/c").unwrap(), acl("read", &["bob"])),
            (ObjectPath::parse("/buckets/b/collections/d").unwrap(), acl("read", &["eve"])),
        ]);

        assert_eq!(readers(&change, &parents), ["alice", "bob", "zed"]);
        let create = HashMap::from([(
            ObjectPath::parse("/buckets/b").unwrap(),
            acl("collection:create", &["mallory"]),
        )]);
        assert_eq!(readers(&change, &create), ["bob", "zed"], "to create is not to read");
    }

    #[test]
    fn a_deleted_bucket_takes_along_what_came_before_only() {
        let changes = [
            change("/buckets/b/groups/g", None, false, true),
            change("/buckets/other", None, false, true),
            change("/buckets/b", None, true, false),
            change("/buckets/b", None, false, true),
        ];

        assert_eq!(uris(&recorded(&enabled(), &changes)), ["/buckets/b", "/buckets/other"]);
    }

    #[test]
    fn users_and_accounts_can_be_left_out() {
        let settings =
            History { excluded_users: BTreeSet::from(["account:bot".to_owned()]), ..enabled() };
        let mut account = change("/buckets/b", None, false, true);
        account.path.list = ListPath::Accounts;
        let changes = [
            account,
            change("/buckets/b", Some("account:bot"), false, true),
            change("/buckets/b/groups/g", Some("account:robot"), false, true),
        ];

        assert_eq!(uris(&recorded(&settings, &changes)), ["/buckets/b/groups/g"]);
    }
}
