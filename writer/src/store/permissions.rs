//! What principals hold: the objects that name them, and where they alone may write.

use shared::{error::ApiError, model::Timestamp, store::Tx};

use super::list_sql::{Parameter, Source};

/// One row an object on which the principals `$1` hold a right, or settings give them one: its
/// URI, and the entry that `/permissions` shows. Rights are expanded within the object: who writes
/// reads, and who has any right but on a record or a group sees attributes.
///
/// `$2`, `$3` and `$4` are the rights on every bucket, collection and group that settings give;
/// `$5` those at the root.
const HELD: &str = "
    (select held.uri as id, 0::bigint as last_modified, false as deleted, jsonb_strip_nulls(jsonb_build_object(
               'uri', held.uri,
               'resource_name', held.resource_name,
               'permissions', to_jsonb(held.permissions),
               'id', nullif(held.parts[held.depth], ''),
               'account_id', case when held.resource_name = 'account' then held.parts[3] end,
               'bucket_id', case when held.parts[2] = 'buckets' then held.parts[3] end,
               'group_id', case when held.parts[4] = 'groups' then held.parts[5] end,
               'collection_id', case when held.parts[4] = 'collections' then held.parts[5] end,
               'record_id', held.parts[7])) as data
    from (
        select given.uri, given.parts, cardinality(given.parts) as depth, kind.resource_name,
               array(select distinct expanded.permission
                     from unnest(array_agg(given.permission)) as own (permission)
                     cross join lateral (
                         select own.permission
                         union all
                         select implied.permission
                         from (values
                             ('bucket', 'read'), ('bucket', 'collection:create'),
                             ('bucket', 'group:create'), ('collection', 'read'),
                             ('collection', 'record:create'), ('group', 'read'),
                             ('record', 'read'), ('account', 'read')
                         ) as implied (resource_name, permission)
                         where own.permission = 'write'
                           and implied.resource_name = kind.resource_name
                         union all
                         select 'read:attributes'
                         where kind.resource_name in ('bucket', 'collection')
                     ) as expanded (permission)
                     order by expanded.permission) as permissions
        from (
            select object_uri as uri, permission, string_to_array(object_uri, '/') as parts
            from ace where principal = any ($1::text[])
            union all
            select '/buckets/' || id, granted, array['', 'buckets', id]
            from bucket cross join unnest($2::text[]) as granted
            where not deleted
            union all
            select '/buckets/' || bucket_id || '/collections/' || id, granted,
                   array['', 'buckets', bucket_id, 'collections', id]
            from collection cross join unnest($3::text[]) as granted
            where not deleted
            union all
            select '/buckets/' || bucket_id || '/groups/' || id, granted,
                   array['', 'buckets', bucket_id, 'groups', id]
            from \"group\" cross join unnest($4::text[]) as granted
            where not deleted
            union all
            select '/', granted, array[''] from unnest($5::text[]) as granted
        ) as given
        cross join lateral (
            select case
                when given.uri = '/' then 'root'
                when given.parts[2] = 'accounts' then 'account'
                when cardinality(given.parts) = 3 then 'bucket'
                when cardinality(given.parts) = 7 then 'record'
                when given.parts[4] = 'groups' then 'group'
                when given.parts[4] = 'collections' then 'collection'
            end as resource_name
        ) as kind
        where kind.resource_name is not null
        group by given.uri, given.parts, kind.resource_name
    ) as held) as entry";

/// The rights that settings give a user on every object of a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BySettings {
    /// On every bucket.
    pub buckets: Vec<&'static str>,
    /// On every collection.
    pub collections: Vec<&'static str>,
    /// On every group.
    pub groups: Vec<&'static str>,
    /// At the root.
    pub root: Vec<&'static str>,
}

/// The entries of `/permissions` of a user with these principals, as a source of lists.
pub fn held(principals: &[String], by_settings: &BySettings) -> Source {
    let texts = |rights: &[&str]| {
        Parameter::texts(rights.iter().map(|right| (*right).to_owned()).collect())
    };
    let parameters = vec![
        Parameter::texts(principals.to_vec()),
        texts(&by_settings.buckets),
        texts(&by_settings.collections),
        texts(&by_settings.groups),
        texts(&by_settings.root),
    ];
    Source::query(HELD, parameters)
}

/// An object, and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Its URI without the version prefix.
    pub uri: String,
    /// Its timestamp; `None` where there is no such object.
    pub last_modified: Option<Timestamp>,
}

/// The next `limit` objects after `after` that only `principal` may write, by URI: parents come
/// before what they hold.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn owned(
    tx: &Tx<'_>,
    principal: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Owned>, ApiError> {
    const SQL: &str = "
        select own.object_uri, coalesce(r.last_modified, g.last_modified, c.last_modified,
                                        b.last_modified, a.last_modified) as last_modified
        from (
            select mine.bucket_id, mine.object_uri, string_to_array(mine.object_uri, '/') as parts
            from ace as mine
            where mine.principal = $1 and mine.permission = 'write' and mine.object_uri > $2
              and not exists (
                  select from ace as other
                  where other.bucket_id = mine.bucket_id and other.object_uri = mine.object_uri
                    and other.permission = 'write' and other.principal <> $1)
            order by mine.object_uri limit $3
        ) as own
        left join record r on own.parts[6] = 'records' and r.bucket_id = own.bucket_id
              and r.collection_id = own.parts[5] and r.id = own.parts[7] and not r.deleted
        left join \"group\" g on own.parts[4] = 'groups' and cardinality(own.parts) = 5
              and g.bucket_id = own.bucket_id and g.id = own.parts[5] and not g.deleted
        left join collection c on own.parts[4] = 'collections' and cardinality(own.parts) = 5
              and c.bucket_id = own.bucket_id and c.id = own.parts[5] and not c.deleted
        left join bucket b on own.parts[2] = 'buckets' and cardinality(own.parts) = 3
              and b.bucket_id = own.bucket_id and b.id = own.parts[3] and not b.deleted
        left join account a on own.parts[2] = 'accounts' and cardinality(own.parts) = 3
              and a.id = own.parts[3] and not a.deleted
        order by own.object_uri";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&principal, &after, &limit]).await?;
    rows.iter()
        .map(|row| {
            let millis: Option<i64> = row.try_get("last_modified")?;
            let last_modified = millis.map(Timestamp::from_millis);
            Ok(Owned { uri: row.try_get("object_uri")?, last_modified })
        })
        .collect()
}

/// The URIs of the next `limit` objects after `after` that name a principal: in their access
/// control lists, or as a member as far as rights go.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn naming(
    tx: &Tx<'_>,
    principal: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<String>, ApiError> {
    const SQL: &str = "
        select uri from (
            select object_uri as uri from ace where principal = $1
            union
            select '/buckets/' || bucket_id || '/groups/' || group_id
            from membership where user_id = $1
        ) as naming
        where uri > $2 order by uri limit $3";

    let statement = tx.prepare_cached(SQL).await?;
    let rows = tx.query(&statement, &[&principal, &after, &limit]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Removes a principal from the access control lists of these objects, and from the members of the
/// groups among them as far as rights go: the groups' own lists stay (§7.8.2). The lists that hold
/// the objects are locked.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away.
pub async fn forget(tx: &Tx<'_>, principal: &str, uris: &[String]) -> Result<(), ApiError> {
    const SQL: [&str; 2] = [
        "delete from ace where principal = $1 and object_uri = any ($2)",
        "delete from membership where user_id = $1
            and '/buckets/' || bucket_id || '/groups/' || group_id = any ($2)",
    ];

    for text in SQL {
        let statement = tx.prepare_cached(text).await?;
        tx.execute(&statement, &[&principal, &uris]).await?;
    }
    Ok(())
}
