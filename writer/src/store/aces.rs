//! Access control entries: who has which right on which object.

use std::collections::{BTreeMap, HashMap};

use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath},
    parameters,
    store::{Parameters, Tx, Write},
};

use super::lookup::{self, Wanted};

/// An object's access control list: right to principals.
pub type Acl = BTreeMap<&'static str, Vec<String>>;

/// The ids of the list's objects on which a principal directly holds one of `rights`.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn shared_ids(
    tx: &Tx<'_>,
    list: &ListPath,
    rights: &[&str],
    principals: &[String],
) -> Result<Vec<String>, ApiError> {
    const SQL: &str = "
        select distinct substr(object_uri, length($2) + 1) as id from ace
        where (bucket_id = $1 or $1 = '') and principal = any ($4) and permission = any ($3)
          and starts_with(object_uri, $2) and strpos(substr(object_uri, length($2) + 1), '/') = 0";

    let prefix = format!("{list}/");
    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&list.bucket_id(), &prefix, &rights, &principals]).await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// One entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    bucket_id: String,
    object_uri: String,
    permission: &'static str,
    principal: String,
}

impl Entry {
    /// `principal` has `permission` on the object.
    pub fn new(path: &ObjectPath, permission: &'static str, principal: &str) -> Self {
        Self {
            bucket_id: path.bucket_id().to_owned(),
            object_uri: path.to_string(),
            permission,
            principal: principal.to_owned(),
        }
    }
}

/// The lists of some objects; those that have none are left out, and so are rights that nobody
/// has. One query, whatever their number.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn get_all(
    tx: &Tx<'_>,
    paths: &[&ObjectPath],
) -> Result<HashMap<ObjectPath, Acl>, ApiError> {
    let wanted = Wanted { acls: paths.to_vec(), ..Wanted::default() };
    Ok(lookup::find(tx, &wanted).await?.acls)
}

/// Adds entries; those that exist already stay.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn add(tx: &Tx<'_>, entries: Vec<Entry>) -> Result<Write, ApiError> {
    const SQL: &str = "
        insert into ace (bucket_id, object_uri, permission, principal)
        select * from unnest($1::text[], $2::text[], $3::text[], $4::text[])
        on conflict do nothing";

    tx.write(SQL, columns(entries)).await
}

/// Removes entries.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn remove(tx: &Tx<'_>, entries: Vec<Entry>) -> Result<Write, ApiError> {
    const SQL: &str = "
        delete from ace
        using unnest($1::text[], $2::text[], $3::text[], $4::text[])
              as gone (bucket_id, object_uri, permission, principal)
        where (ace.bucket_id, ace.object_uri, ace.permission, ace.principal)
            = (gone.bucket_id, gone.object_uri, gone.permission, gone.principal)";

    tx.write(SQL, columns(entries)).await
}

fn columns(entries: Vec<Entry>) -> Parameters {
    let (mut buckets, mut uris) = (Vec::new(), Vec::new());
    let (mut permissions, mut principals) = (Vec::new(), Vec::new());
    for entry in entries {
        buckets.push(entry.bucket_id);
        uris.push(entry.object_uri);
        permissions.push(entry.permission);
        principals.push(entry.principal);
    }
    parameters![buckets, uris, permissions, principals]
}

/// Removes every right on some objects of a list that have nothing below them.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase_all(tx: &Tx<'_>, list: &ListPath, ids: &[String]) -> Result<(), ApiError> {
    const SQL: &str = "delete from ace where bucket_id = $1 and object_uri = any ($2)";

    let uris: Vec<String> = ids.iter().map(|id| format!("{list}/{id}")).collect();
    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&list.bucket_id(), &uris]).await?;
    Ok(())
}

/// Removes every right on an object and on all that is below it.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase(tx: &Tx<'_>, path: &ObjectPath) -> Result<(), ApiError> {
    const SQL: &str = "
        delete from ace
        where bucket_id = $1 and (object_uri = $2 or starts_with(object_uri, $2 || '/'))";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&path.bucket_id(), &path.to_string()]).await?;
    Ok(())
}
