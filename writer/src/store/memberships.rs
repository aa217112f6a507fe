//! Which users are in which groups.

use shared::{error::ApiError, store::Tx};

use super::lookup::{self, Wanted};

/// The URIs of the groups that have a member of one of these names.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn groups_of(tx: &Tx<'_>, names: Vec<&str>) -> Result<Vec<String>, ApiError> {
    let wanted = Wanted { users: names, ..Wanted::default() };
    Ok(lookup::find(tx, &wanted).await?.groups.into_values().flatten().collect())
}

/// Makes `members` the members of a group.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn set(
    tx: &Tx<'_>,
    bucket: &str,
    group: &str,
    members: &[String],
) -> Result<(), ApiError> {
    const DELETE: &str = "
        delete from membership
        where bucket_id = $1 and group_id = $2 and not user_id = any ($3)";
    const INSERT: &str = "
        insert into membership (bucket_id, group_id, user_id)
        select $1, $2, unnest($3::text[]) on conflict do nothing";

    for text in [DELETE, INSERT] {
        let statement = tx.prepare_cached(text).await?;
        tx.execute(&statement, &[&bucket, &group, &members]).await?;
    }
    Ok(())
}

/// Removes all memberships of a bucket's groups: former members must not regain rights when the
/// bucket is made again.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn erase_bucket(tx: &Tx<'_>, bucket: &str) -> Result<(), ApiError> {
    const SQL: &str = "delete from membership where bucket_id = $1";

    let statement = tx.prepare_cached(SQL).await?;
    tx.execute(&statement, &[&bucket]).await?;
    Ok(())
}
