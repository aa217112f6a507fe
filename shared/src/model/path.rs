//! Where an object lives: lists (plural endpoints) and the objects in them.

use std::fmt;

use super::{Id, id::InvalidId};

/// The kinds of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resource {
    /// A bucket: the unit of isolation and of deletion.
    Bucket,
    /// A group of users of a bucket.
    Group,
    /// A collection of records.
    Collection,
    /// A record.
    Record,
    /// An account: a user who has a password here.
    Account,
    /// An entry of a bucket's history; the service writes it, clients read it.
    History,
}

impl Resource {
    /// Its name in errors, settings and the database: `record`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bucket => "bucket",
            Self::Group => "group",
            Self::Collection => "collection",
            Self::Record => "record",
            Self::Account => "account",
            Self::History => "history",
        }
    }
}

/// A list of objects: what a plural endpoint shows, and what has a timestamp of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListPath {
    /// `/buckets`
    Buckets,
    /// `/buckets/{bucket}/groups`
    Groups(Id),
    /// `/buckets/{bucket}/collections`
    Collections(Id),
    /// `/buckets/{bucket}/collections/{collection}/records`
    Records(Id, Id),
    /// `/accounts`
    Accounts,
    /// `/buckets/{bucket}/history`
    History(Id),
}

impl ListPath {
    /// What the list holds.
    pub const fn resource(&self) -> Resource {
        match self {
            Self::Buckets => Resource::Bucket,
            Self::Groups(_) => Resource::Group,
            Self::Collections(_) => Resource::Collection,
            Self::Records(..) => Resource::Record,
            Self::Accounts => Resource::Account,
            Self::History(_) => Resource::History,
        }
    }

    /// The bucket's id, or `""` for the lists that no bucket holds: column `bucket_id` of the
    /// list's timestamp.
    pub fn bucket_id(&self) -> &str {
        match self {
            Self::Buckets | Self::Accounts => "",
            Self::Groups(bucket)
            | Self::Collections(bucket)
            | Self::Records(bucket, _)
            | Self::History(bucket) => bucket,
        }
    }

    /// The collection's id, or `""` where there is none: column `collection_id`.
    pub fn collection_id(&self) -> &str {
        match self {
            Self::Records(_, collection) => collection,
            Self::Buckets
            | Self::Groups(_)
            | Self::Collections(_)
            | Self::Accounts
            | Self::History(_) => "",
        }
    }

    /// The object that holds the list; the lists of buckets and of accounts have none.
    pub fn parent(&self) -> Option<ObjectPath> {
        match self {
            Self::Buckets | Self::Accounts => None,
            Self::Groups(bucket) | Self::Collections(bucket) | Self::History(bucket) => {
                Some(ObjectPath::bucket(bucket.clone()))
            }
            Self::Records(bucket, collection) => {
                Some(ObjectPath::collection(bucket.clone(), collection.clone()))
            }
        }
    }

    /// Checks an id as one of an object of this list: accounts have an alphabet of their own.
    ///
    /// # Errors
    ///
    /// [`InvalidId`]
    pub fn parse_id(&self, text: &str) -> Result<Id, InvalidId> {
        match self.resource() {
            Resource::Account => Id::account(text),
            Resource::Bucket
            | Resource::Group
            | Resource::Collection
            | Resource::Record
            | Resource::History => Id::new(text),
        }
    }

    /// The object `id` of this list.
    pub fn object(&self, id: Id) -> ObjectPath {
        ObjectPath { list: self.clone(), id }
    }
}

impl fmt::Display for ListPath {
    /// The URI without the version prefix: `/buckets/b/groups`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buckets => f.write_str("/buckets"),
            Self::Groups(b) => write!(f, "/buckets/{b}/groups"),
            Self::Collections(b) => write!(f, "/buckets/{b}/collections"),
            Self::Records(b, c) => write!(f, "/buckets/{b}/collections/{c}/records"),
            Self::Accounts => f.write_str("/accounts"),
            Self::History(b) => write!(f, "/buckets/{b}/history"),
        }
    }
}

/// One object: a list and an id in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectPath {
    /// The list that holds it.
    pub list: ListPath,
    /// Its id in that list.
    pub id: Id,
}

impl ObjectPath {
    /// The object of a URI without the version prefix, as [`fmt::Display`] writes it: a bucket,
    /// group, collection or record.
    pub fn parse(uri: &str) -> Option<Self> {
        let segments: Vec<&str> = uri.split('/').collect();
        let id = |text| Id::new(text).ok();
        Some(match *segments {
            ["", "buckets", b] => Self::bucket(id(b)?),
            ["", "buckets", b, "groups", g] => Self::group(id(b)?, id(g)?),
            ["", "buckets", b, "collections", c] => Self::collection(id(b)?, id(c)?),
            ["", "buckets", b, "collections", c, "records", r] => {
                ListPath::Records(id(b)?, id(c)?).object(id(r)?)
            }
            _ => return None,
        })
    }

    /// `/buckets/{bucket}`
    pub fn bucket(bucket: Id) -> Self {
        Self { list: ListPath::Buckets, id: bucket }
    }

    /// `/buckets/{bucket}/groups/{group}`
    pub fn group(bucket: Id, group: Id) -> Self {
        Self { list: ListPath::Groups(bucket), id: group }
    }

    /// `/buckets/{bucket}/collections/{collection}`
    pub fn collection(bucket: Id, collection: Id) -> Self {
        Self { list: ListPath::Collections(bucket), id: collection }
    }

    /// What kind of object it is.
    pub const fn resource(&self) -> Resource {
        self.list.resource()
    }

    /// Column `bucket_id` of the object's row; a bucket's row carries its own id.
    pub fn bucket_id(&self) -> &str {
        match self.list {
            ListPath::Buckets => &self.id,
            ListPath::Groups(_)
            | ListPath::Collections(_)
            | ListPath::Records(..)
            | ListPath::Accounts
            | ListPath::History(_) => self.list.bucket_id(),
        }
    }

    /// Column `collection_id` of the object's row: `""` but for records.
    pub fn collection_id(&self) -> &str {
        self.list.collection_id()
    }

    /// The object's ancestors, nearest first: a record's collection, then its bucket.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.list.parent(), |ancestor| ancestor.list.parent())
    }
}

impl fmt::Display for ObjectPath {
    /// The URI without the version prefix: the key of permissions, `/buckets/b/collections/c`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.list, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn a_record_knows_its_uri_and_its_ancestors() {
        let record = ListPath::Records(id("b"), id("c")).object(id("r"));

        assert_eq!(record.to_string(), "/buckets/b/collections/c/records/r");
        let ancestors: Vec<_> = record.ancestors().map(|path| path.to_string()).collect();
        assert_eq!(ancestors, ["/buckets/b/collections/c", "/buckets/b"]);
        assert_eq!((record.bucket_id(), record.collection_id()), ("b", "c"));
    }

    #[test]
    fn uris_are_parsed_as_they_are_written() {
        for uri in [
            "/buckets/b",
            "/buckets/b/groups/g",
            "/buckets/b/collections/c",
            "/buckets/b/collections/c/records/r",
        ] {
            assert_eq!(ObjectPath::parse(uri).unwrap().to_string(), uri);
        }
        for bad in ["", "/", "/buckets", "/buckets/", "buckets/b", "/buckets/b/records/r", "/x/b"] {
            assert_eq!(ObjectPath::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_bucket_is_stored_under_its_own_id() {
        let bucket = ObjectPath::bucket(id("b"));

        assert_eq!(bucket.to_string(), "/buckets/b");
        assert_eq!((bucket.bucket_id(), bucket.list.bucket_id()), ("b", ""));
        assert_eq!(bucket.ancestors().count(), 0);
    }
}
