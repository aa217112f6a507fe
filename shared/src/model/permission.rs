//! Permissions and their inheritance: which rights on which objects grant a wish.

use super::{ObjectPath, Resource};

/// The principal of every request, anonymous ones included.
pub const EVERYONE: &str = "system.Everyone";
/// The principal of every authenticated request.
pub const AUTHENTICATED: &str = "system.Authenticated";

/// A right that an object's access control list can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Permission {
    /// See the object and what is below.
    Read,
    /// Change or delete the object and what is below; implies every other right.
    Write,
    /// Create groups in a bucket.
    CreateGroup,
    /// Create collections in a bucket.
    CreateCollection,
    /// Create records in a collection.
    CreateRecord,
}

impl Permission {
    /// Its name on the wire and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::CreateGroup => "group:create",
            Self::CreateCollection => "collection:create",
            Self::CreateRecord => "record:create",
        }
    }

    /// The permissions that an access control list of this resource may name, in the order in
    /// which an error lists them (`kinto-http-api.md` §2.6.2).
    pub const fn of(resource: Resource) -> &'static [Self] {
        match resource {
            Resource::Bucket => {
                &[Self::Read, Self::Write, Self::CreateCollection, Self::CreateGroup]
            }
            Resource::Group | Resource::Record | Resource::Account | Resource::History => {
                &[Self::Read, Self::Write]
            }
            Resource::Collection => &[Self::Read, Self::Write, Self::CreateRecord],
        }
    }

    /// The right needed on the parent to create such an object; buckets and accounts depend on
    /// settings only, and no client makes history.
    pub const fn to_create(resource: Resource) -> Option<Self> {
        match resource {
            Resource::Bucket | Resource::Account | Resource::History => None,
            Resource::Group => Some(Self::CreateGroup),
            Resource::Collection => Some(Self::CreateCollection),
            Resource::Record => Some(Self::CreateRecord),
        }
    }
}

/// The (object, right) pairs of which any one grants `wanted` on `path`.
///
/// # Source
///
/// The inheritance tree of `kinto-http-api.md` §4.2. The create rights that let a single object be
/// read (but not its list) are added by the caller who reads a single object.
pub fn granting(wanted: Permission, path: &ObjectPath) -> Vec<(ObjectPath, Permission)> {
    let mut grants = vec![(path.clone(), Permission::Write)];
    if wanted != Permission::Write {
        grants.push((path.clone(), wanted));
    }
    for ancestor in path.ancestors() {
        grants.push((ancestor.clone(), Permission::Write));
        if wanted == Permission::Read {
            grants.push((ancestor, Permission::Read));
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, ListPath};

    fn record() -> ObjectPath {
        let id = |text| Id::new(text).unwrap();
        ListPath::Records(id("b"), id("c")).object(id("r"))
    }

    #[test]
    fn reading_a_record_is_granted_by_six_rights() {
        let grants: Vec<_> = granting(Permission::Read, &record())
            .into_iter()
            .map(|(object, right)| (object.to_string(), right))
            .collect();

        let (b, c) = ("/buckets/b", "/buckets/b/collections/c");
        let r = "/buckets/b/collections/c/records/r";
        for uri in [r, c, b] {
            assert!(grants.contains(&(uri.to_owned(), Permission::Write)));
            assert!(grants.contains(&(uri.to_owned(), Permission::Read)));
        }
        assert_eq!(grants.len(), 6);
    }

    #[test]
    fn creating_records_does_not_come_from_reading() {
        let collection = record().ancestors().next().unwrap();
        let grants = granting(Permission::CreateRecord, &collection);

        assert!(grants.iter().all(|(_, right)| *right != Permission::Read));
        let bucket = collection.ancestors().next().unwrap();
        assert!(grants.contains(&(bucket, Permission::Write)));
        assert_eq!(grants.len(), 3);
    }
}
