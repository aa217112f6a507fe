-- The schema of writer and reader. A published migration is never edited.
--
-- Every object table has the same leading columns and begins its key with the bucket: the unit of
-- isolation, of deletion and of sharding. Ids compare by byte (collation "C"). A row is a live
-- object or, with `deleted`, a tombstone; `data` has neither `id` nor `last_modified`.

create table bucket (
    bucket_id text collate "C" not null,
    -- "" but for records: lets one statement text serve all four tables.
    collection_id text collate "C" not null default '',
    id text collate "C" not null,
    -- Milliseconds since the epoch; unique in the object's list.
    last_modified bigint not null,
    deleted boolean not null default false,
    data jsonb not null,
    primary key (bucket_id, collection_id, id),
    check (bucket_id = id and collection_id = '')
);
create unique index bucket_last_modified on bucket (last_modified);

create table "group" (
    like bucket including defaults,
    primary key (bucket_id, collection_id, id)
);
create unique index group_last_modified on "group" (bucket_id, collection_id, last_modified);

create table collection (
    like bucket including defaults,
    primary key (bucket_id, collection_id, id)
);
create unique index collection_last_modified on collection (bucket_id, collection_id, last_modified);

create table record (
    like bucket including defaults,
    primary key (bucket_id, collection_id, id)
);
create unique index record_last_modified on record (bucket_id, collection_id, last_modified);

-- One row a list: its timestamp, and the lock that orders its writers (docs/adr/0001).
create table resource_timestamp (
    bucket_id text collate "C" not null,
    collection_id text collate "C" not null,
    resource_name text collate "C" not null,
    last_modified bigint not null,
    primary key (bucket_id, collection_id, resource_name)
) with (fillfactor = 50);

insert into resource_timestamp
values ('', '', 'bucket', (extract(epoch from now()) * 1000)::bigint);

-- The one clock of all that is published: the last lock of every transaction that changes a
-- published collection, and the watermark that readers poll.
create table publication_clock (
    only_row boolean primary key default true check (only_row),
    last_modified bigint not null
) with (fillfactor = 10);
insert into publication_clock (last_modified) values (0);

-- Access control entries: who (principal) has which right on which object (URI without version).
create table ace (
    bucket_id text collate "C" not null,
    object_uri text collate "C" not null,
    permission text collate "C" not null,
    principal text collate "C" not null,
    primary key (bucket_id, object_uri, permission, principal)
);
create index ace_principal on ace (principal, bucket_id);

-- Which users are members of which groups, kept in step with the groups' `members`.
create table membership (
    bucket_id text collate "C" not null,
    group_id text collate "C" not null,
    user_id text collate "C" not null,
    primary key (bucket_id, group_id, user_id)
);
create index membership_user on membership (user_id);

-- What the reader may know of permissions: which objects everybody may read.
create view public_object as
    select distinct bucket_id, object_uri from ace
    where principal = 'system.Everyone' and permission in ('read', 'write');

grant select, insert, update, delete on
    bucket, "group", collection, record, resource_timestamp, ace, membership
    to countersign_writer;
grant select, update on publication_clock to countersign_writer;
grant select on
    bucket, collection, record, resource_timestamp, publication_clock, public_object
    to countersign_reader;
