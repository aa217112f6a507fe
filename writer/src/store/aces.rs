//! Access control entries: who has which right on which object.

use std::collections::BTreeMap;

use shared::{
    error::ApiError,
    model::{ListPath, ObjectPath, Permission},
    store::Tx,
};

/// An object's access control list: right to principals.
pub type Acl = BTreeMap<&'static str, Vec<String>>;

/// Whether any principal holds any of the rights. One query, whatever their number.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn any(
    tx: &Tx<'_>,
    bucket: &str,
    grants: &[(String, Permission)],
    principals: &[String],
) -> Result<bool, ApiError> {
    const SQL: &str = "
        select exists (
            select from ace
            join unnest($2::text[], $3::text[]) as wanted (uri, permission)
              on ace.object_uri = wanted.uri and ace.permission = wanted.permission
            where ace.bucket_id = $1 and ace.principal = any ($4))";

    let (uris, names): (Vec<&str>, Vec<&str>) =
        grants.iter().map(|(uri, permission)| (uri.as_str(), permission.name())).unzip();
    let statement = tx.prepare_cached(SQL).await?;
    let row = tx.query_one(&statement, &[&bucket, &uris, &names, &principals]).await?;
    Ok(row.try_get(0)?)
}

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

/// The object's own list; rights that nobody has are left out.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn get(tx: &Tx<'_>, path: &ObjectPath) -> Result<Acl, ApiError> {
    const SQL: &str = "
        select permission, array_agg(principal order by principal) as principals from ace
        where bucket_id = $1 and object_uri = $2 group by permission";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&path.bucket_id(), &path.to_string()]).await?;
    let mut acl = Acl::new();
    for row in &rows {
        let stored: &str = row.try_get("permission")?;
        let known = Permission::of(path.resource()).iter().find(|known| known.name() == stored);
        if let Some(permission) = known {
            acl.insert(permission.name(), row.try_get("principals")?);
        }
    }
    Ok(acl)
}

/// Replaces the principals of the rights that `acl` names; others stay.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn replace(tx: &Tx<'_>, path: &ObjectPath, acl: &Acl) -> Result<(), ApiError> {
    const DELETE: &str = "
        delete from ace where bucket_id = $1 and object_uri = $2 and permission = any ($3)";

    if acl.is_empty() {
        return Ok(());
    }
    let uri = path.to_string();
    let names: Vec<&str> = acl.keys().copied().collect();
    let statement = tx.prepare_cached(DELETE).await?;
    tx.execute(&statement, &[&path.bucket_id(), &uri, &names]).await?;
    for (permission, principals) in acl {
        add(tx, path, permission, principals).await?;
    }
    Ok(())
}

/// Adds principals to one right of an object.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn add(
    tx: &Tx<'_>,
    path: &ObjectPath,
    permission: &str,
    principals: &[String],
) -> Result<(), ApiError> {
    const SQL: &str = "
        insert into ace (bucket_id, object_uri, permission, principal)
        select $1, $2, $3, unnest($4::text[])
        on conflict do nothing";

    let statement = tx.prepare_cached(SQL).await?;
    let uri = path.to_string();
    tx.execute(&statement, &[&path.bucket_id(), &uri, &permission, &principals]).await?;
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
