-- What the complete Kinto API needs beside the four object tables: accounts, history, quotas, a
-- small cache, and the number of live objects of each list.

-- Accounts have no bucket: their rows are keyed by id alone.
create table account (
    like bucket including defaults,
    primary key (bucket_id, collection_id, id),
    check (bucket_id = '' and collection_id = '')
);
create unique index account_last_modified on account (last_modified);

-- One row a change, below its bucket. `readers` are the principals that could read the object when
-- it changed: they may read the entry for ever (kinto-http-api.md §7.2.5).
create table history (
    like bucket including defaults,
    readers text[] not null default '{}',
    primary key (bucket_id, collection_id, id)
);
create unique index history_last_modified on history (bucket_id, collection_id, last_modified);
-- The history of one object, newest first; also serves snapshots.
create index history_uri on history (bucket_id, (data ->> 'uri'), last_modified desc);
-- What one user did to one kind of object, newest first: trimming counts it with each change.
create index history_user on history
    (bucket_id, (data ->> 'user_id'), (data ->> 'resource_name'), last_modified desc);
-- For users who may read some entries only.
create index history_readers on history using gin (readers);

-- How many live objects a list has, kept in the transaction that changes it: totals do not count.
alter table resource_timestamp add column live bigint not null default 0;

update resource_timestamp as t set live = counted.live
from (
    select '' as bucket_id, '' as collection_id, 'bucket' as resource_name, count(*) as live
    from bucket where not deleted
    union all
    select bucket_id, '', 'group', count(*) from "group" where not deleted group by 1
    union all
    select bucket_id, '', 'collection', count(*) from collection where not deleted group by 1
    union all
    select bucket_id, collection_id, 'record', count(*) from record where not deleted group by 1, 2
) as counted
where (t.bucket_id, t.collection_id, t.resource_name)
    = (counted.bucket_id, counted.collection_id, counted.resource_name);

insert into resource_timestamp (bucket_id, collection_id, resource_name, last_modified)
values ('', '', 'account', (extract(epoch from now()) * 1000)::bigint);

-- Equality and `contains_` filters on members (kinto-http-api.md §10.14).
create index record_data on record using gin (data jsonb_path_ops) where not deleted;

-- Without statistics, as in a new database, a look-up by id costs the same by either index, and
-- PostgreSQL takes the newer one: it must be the primary key's.
alter table record drop constraint record_pkey;
alter table record add primary key (bucket_id, collection_id, id);
alter table history drop constraint history_pkey;
alter table history add primary key (bucket_id, collection_id, id);

-- Sizes of what a bucket (`/buckets/b`) or a collection (its URI) holds, in bytes and objects.
create table quota_usage (
    parent_id text collate "C" primary key,
    collection_count bigint not null default 0,
    record_count bigint not null default 0,
    storage_size bigint not null default 0
) with (fillfactor = 50);

-- What may be lost: tokens that are valid once, login states. Not in backups, not on standbys.
create unlogged table cache (
    key text collate "C" primary key,
    value jsonb not null,
    expires_at timestamptz not null
);
create index cache_expires_at on cache (expires_at);

grant select, insert, update, delete on account, history, quota_usage, cache to countersign_writer;
