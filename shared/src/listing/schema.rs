//! What the members of a list's objects are.

use crate::{json::MAX_DEPTH, model::Resource};

/// What a filter or an order is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field {
    /// The object's id.
    Id,
    /// The object's timestamp.
    LastModified,
    /// A member, by its path from the object; never empty.
    Member(Vec<String>),
}

/// Which members a list's objects can have, and what is special about them.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// The first level; `None` where every name is legal, and those that are not there are
    /// missing.
    known: Option<&'static [&'static str]>,
    /// Members that filters compare as text although the value looks like a number (§7.2.4).
    text: &'static [&'static str],
    /// Whether objects have an id and a timestamp of their own, beside their members.
    pub stored: bool,
    /// What makes every order total: unique, and descending.
    pub tie: &'static str,
}

/// Buckets, groups, collections, records and accounts.
static SCHEMALESS: Schema = Schema { known: None, text: &[], stored: true, tie: "last_modified" };

/// Entries of a history (§7.2.2).
static HISTORY: Schema = Schema {
    known: Some(&[
        "user_id",
        "uri",
        "action",
        "date",
        "resource_name",
        "bucket_id",
        "collection_id",
        "group_id",
        "record_id",
        "target",
        "id",
        "last_modified",
        "deleted",
    ]),
    text: &["record_id", "collection_id", "bucket_id"],
    stored: true,
    tie: "last_modified",
};

impl Schema {
    /// The entries of `/permissions` (§4.9): all that they are is members, `id` included.
    pub const PERMISSIONS: Self = Self {
        known: Some(&[
            "uri",
            "resource_name",
            "bucket_id",
            "collection_id",
            "group_id",
            "record_id",
            "id",
            "last_modified",
            "deleted",
        ]),
        text: &[],
        stored: false,
        tie: "uri",
    };

    /// The published collections (`remote-settings.md` §3.5).
    pub const MONITOR: Self = Self {
        known: Some(&["id", "last_modified", "bucket", "collection", "host", "deleted"]),
        text: &[],
        stored: true,
        tie: "last_modified",
    };

    /// The schema of a resource's list.
    pub const fn of(resource: Resource) -> &'static Self {
        match resource {
            Resource::History => &HISTORY,
            Resource::Bucket
            | Resource::Group
            | Resource::Collection
            | Resource::Record
            | Resource::Account => &SCHEMALESS,
        }
    }

    /// Whether the first level of a dotted name can exist.
    pub(super) fn knows(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or_default();
        self.known.is_none_or(|known| known.contains(&first))
    }

    /// Whether numbers are compared as text.
    pub(super) fn is_text(&self, name: &str) -> bool {
        self.text.contains(&name)
    }

    /// What a dotted name is about. No object nests deeper than [`MAX_DEPTH`], so what lies
    /// deeper is as missing as its first levels say.
    pub(super) fn field(&self, name: &str) -> Field {
        match name {
            "id" if self.stored => Field::Id,
            "last_modified" => Field::LastModified,
            _ => Field::Member(name.split('.').take(MAX_DEPTH + 1).map(str::to_owned).collect()),
        }
    }
}
