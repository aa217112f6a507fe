//! What a transaction knows beforehand that it will look at, in one statement: who is in which
//! groups, who has which rights, objects, and the timestamps of lists.
//!
//! PostgreSQL and the driver have as much to do for a statement as for the few rows that it finds,
//! so the questions are parts of one. A single statement sees one state of the database: a request
//! that asks nothing else needs no transaction.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath, Permission, Resource, Timestamp},
    store::Tx,
};
use tokio_postgres::{
    Row,
    types::{Json, ToSql},
};

use super::{aces::Acl, objects::Object};

/// What is asked for.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The groups of these users.
    pub users: Vec<&'a str>,
    /// The access control lists of these objects.
    pub acls: Vec<&'a ObjectPath>,
    /// These objects, where they are live.
    pub objects: Vec<&'a ObjectPath>,
    /// The timestamps of these lists.
    pub clocks: Vec<&'a ListPath>,
}

/// What there is of it.
#[derive(Debug, Default)]
pub struct Found {
    /// The URIs of groups, by member.
    pub groups: HashMap<String, Vec<String>>,
    /// Lists without entries are left out, and so are rights that nobody has.
    pub acls: HashMap<ObjectPath, Acl>,
    /// Live objects.
    pub objects: Vec<(ObjectPath, Object)>,
    /// The states of lists that have a timestamp.
    pub clocks: HashMap<ListPath, ListState>,
}

/// Which state of a list a transaction sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListState {
    /// The list's timestamp.
    pub timestamp: Timestamp,
    /// The transaction that was the last to change the list. Not even a list that was deleted
    /// and made again within a millisecond has timestamp and transaction of another state.
    pub changed_by: String,
}

/// Looks everything up, in one statement.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn find(tx: &Tx<'_>, wanted: &Wanted<'_>) -> Result<Found, ApiError> {
    let mut found = Found::default();
    let statement = Statement::of(wanted);
    if statement.parameters.is_empty() {
        return Ok(found);
    }
    let prepared = tx.prepare_cached(&statement.text).await?;
    let parameters: Vec<&(dyn ToSql + Sync)> =
        statement.parameters.iter().map(|column| column as &(dyn ToSql + Sync)).collect();
    for row in tx.query(&prepared, &parameters).await? {
        found.take(wanted, &statement, &row)?;
    }
    // The order of what comes out of parts is nobody's.
    for principals in found.acls.values_mut().flat_map(Acl::values_mut) {
        principals.sort_unstable();
    }
    Ok(found)
}

/// A statement in the making. Its text depends on which parts there are, and on nothing else.
#[derive(Default)]
struct Statement<'a> {
    text: String,
    parameters: Vec<Vec<String>>,
    /// The objects of each table, in the order of their numbers.
    tables: BTreeMap<Resource, Vec<&'a ObjectPath>>,
}

/// Which part of the statement a row comes from: its first column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Groups,
    Acls,
    Clocks,
    Objects(Resource),
}

impl Part {
    fn of(column: i32) -> Option<Self> {
        Some(match column {
            1 => Self::Groups,
            2 => Self::Acls,
            3 => Self::Clocks,
            4 => Self::Objects(Resource::Bucket),
            5 => Self::Objects(Resource::Group),
            6 => Self::Objects(Resource::Collection),
            7 => Self::Objects(Resource::Record),
            8 => Self::Objects(Resource::Account),
            9 => Self::Objects(Resource::History),
            _ => return None,
        })
    }

    /// The text before and behind the arrays that are asked for.
    const fn text(self) -> (&'static str, &'static str) {
        // `limit` keeps the loop this way round, with one look into the index for each.
        macro_rules! objects {
            ($part:literal, $table:literal) => {
                (
                    concat!(
                        "select ",
                        $part,
                        ", wanted.number, null::text, null::text, o.last_modified, o.data from "
                    ),
                    concat!(
                        " with ordinality as wanted (bucket_id, collection_id, id, number)
                         cross join lateral (
                             select * from ",
                        $table,
                        " as found
                             where found.bucket_id = wanted.bucket_id
                               and found.collection_id = wanted.collection_id
                               and found.id = wanted.id and not found.deleted
                             limit 1) as o"
                    ),
                )
            };
        }
        match self {
            Self::Groups => (
                "select 1, 0::bigint, membership.user_id,
                        '/buckets/' || bucket_id || '/groups/' || group_id, 0::bigint, null::jsonb
                 from ",
                " as wanted (user_id) join membership on membership.user_id = wanted.user_id",
            ),
            Self::Acls => (
                "select 2, wanted.number, ace.permission, ace.principal, 0::bigint, null::jsonb
                 from ",
                " with ordinality as wanted (bucket_id, uri, number)
                 join ace on ace.bucket_id = wanted.bucket_id and ace.object_uri = wanted.uri",
            ),
            Self::Clocks => (
                "select 3, wanted.number, t.xmin::text, null::text, t.last_modified, null::jsonb
                 from ",
                " with ordinality as wanted (bucket_id, collection_id, resource_name, number)
                 join resource_timestamp as t using (bucket_id, collection_id, resource_name)",
            ),
            Self::Objects(Resource::Bucket) => objects!(4, "bucket"),
            Self::Objects(Resource::Group) => objects!(5, "\"group\""),
            Self::Objects(Resource::Collection) => objects!(6, "collection"),
            Self::Objects(Resource::Record) => objects!(7, "record"),
            Self::Objects(Resource::Account) => objects!(8, "account"),
            Self::Objects(Resource::History) => objects!(9, "history"),
        }
    }
}

impl<'a> Statement<'a> {
    fn of(wanted: &Wanted<'a>) -> Self {
        let mut statement = Self::default();
        statement.add(Part::Groups, &wanted.users, |user| [(*user).to_owned()]);
        statement
            .add(Part::Acls, &wanted.acls, |path| [path.bucket_id().to_owned(), path.to_string()]);
        statement.add(Part::Clocks, &wanted.clocks, |list| {
            [list.bucket_id(), list.collection_id(), list.resource().name()].map(str::to_owned)
        });
        for path in &wanted.objects {
            statement.tables.entry(path.resource()).or_default().push(path);
        }
        for (resource, paths) in statement.tables.clone() {
            statement.add(Part::Objects(resource), &paths, |path| {
                [path.bucket_id(), path.collection_id(), path.id.as_str()].map(str::to_owned)
            });
        }
        statement
    }

    /// Adds a part, with one array of texts for each of the `N` columns of what is wanted.
    fn add<T, const N: usize>(
        &mut self,
        part: Part,
        wanted: &[T],
        columns_of: impl Fn(&T) -> [String; N],
    ) {
        if wanted.is_empty() {
            return;
        }
        let (before, behind) = part.text();
        if !self.text.is_empty() {
            self.text.push_str(" union all ");
        }
        self.text.push_str(before);
        let first = self.parameters.len();
        for number in 0..N {
            let opening = if number == 0 { "unnest(" } else { ", " };
            let _ = write!(self.text, "{opening}${}::text[]", first + number + 1);
            self.parameters.push(Vec::with_capacity(wanted.len()));
        }
        self.text.push(')');
        self.text.push_str(behind);
        for columns in wanted.iter().map(columns_of) {
            for (array, text) in self.parameters[first..].iter_mut().zip(columns) {
                array.push(text);
            }
        }
    }
}

impl Found {
    fn take(
        &mut self,
        wanted: &Wanted<'_>,
        statement: &Statement<'_>,
        row: &Row,
    ) -> Result<(), ApiError> {
        let part = Part::of(row.try_get(0)?);
        let number: i64 = row.try_get(1)?;
        let index = usize::try_from(number).unwrap_or(0).saturating_sub(1);
        let last_modified = Timestamp::from_millis(row.try_get(4)?);
        match part {
            Some(Part::Groups) => {
                self.groups.entry(row.try_get(2)?).or_default().push(row.try_get(3)?);
            }
            Some(Part::Acls) => {
                let Some(path) = wanted.acls.get(index) else { return Ok(()) };
                self.grant(path, row.try_get(2)?, row.try_get(3)?);
            }
            Some(Part::Clocks) => {
                let Some(list) = wanted.clocks.get(index) else { return Ok(()) };
                let state = ListState { timestamp: last_modified, changed_by: row.try_get(2)? };
                self.clocks.insert((*list).clone(), state);
            }
            Some(Part::Objects(resource)) => {
                let paths = statement.tables.get(&resource);
                let Some(path) = paths.and_then(|paths| paths.get(index)) else { return Ok(()) };
                let (id, Json(data)) = (path.id.to_string(), row.try_get::<_, Json<_>>(5)?);
                let object = Object { id, last_modified, deleted: false, data };
                self.objects.push(((*path).clone(), object));
            }
            None => {}
        }
        Ok(())
    }

    /// A right that this kind of object does not have is none.
    fn grant(&mut self, path: &ObjectPath, permission: &str, principal: String) {
        let known = Permission::of(path.resource()).iter().find(|known| known.name() == permission);
        if let Some(permission) = known {
            let acl = self.acls.entry(path.clone()).or_default();
            acl.entry(permission.name()).or_default().push(principal);
        }
    }
}
