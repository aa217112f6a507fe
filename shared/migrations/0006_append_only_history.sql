-- What happened cannot be rewritten: the writer adds entries to the history, and has no right to
-- change or to delete them. Four functions, which act as the owner, do what the service offers.

revoke update, delete on history from countersign_writer;

-- Replaces entries by tombstones, whose timestamps count up from `first`.
create function bury_history(bucket text, ids text[], first bigint) returns bigint
language sql security definer set search_path from current as $$
    with buried as (
        update history as entry
           set deleted = true, data = '{}',
               last_modified = first + wanted.number - 1
        from unnest(ids) with ordinality as wanted (id, number)
        where entry.bucket_id = bucket and entry.collection_id = '' and entry.id = wanted.id
        returning 1)
    select count(*) from buried
$$;

-- Deletes the oldest entries about one kind of object, and of one user where that is not null, once
-- there are more than `keep` and `slack` together: the newest that is one too many decides.
create function trim_history(bucket text, resource text, by_user text, keep bigint, slack bigint)
returns bigint
language sql security definer set search_path from current as $$
    with entry as (
        select last_modified from history
        where bucket_id = bucket and not deleted and data ->> 'resource_name' = resource
          and (by_user is null or data ->> 'user_id' = by_user)
        order by last_modified desc),
    trimmed as (
        delete from history
        where bucket_id = bucket and not deleted and data ->> 'resource_name' = resource
          and (by_user is null or data ->> 'user_id' = by_user)
          and exists (select from entry offset keep + slack limit 1)
          and last_modified <= (select last_modified from entry offset keep limit 1)
        returning 1)
    select count(*) from trimmed
$$;

-- Deletes at most `most` entries about what a user did before a time: a job for entries that are
-- years old, after which nobody asks.
create function purge_history(bucket text, by_user text, before bigint, most bigint)
returns bigint
language sql security definer set search_path from current as $$
    with purged as (
        delete from history where (bucket_id, collection_id, id) in (
            select bucket_id, collection_id, id from history
            where bucket_id = bucket and collection_id = '' and data ->> 'user_id' = by_user
              and last_modified < before
            limit most)
        returning not deleted as is_live),
    counted as (
        update resource_timestamp
           set live = live - (select count(*) from purged where is_live)
        where bucket_id = bucket and collection_id = '' and resource_name = 'history')
    select count(*) from purged
$$;

-- A bucket takes its history with it; all of them, where it is null.
create function erase_history(bucket text) returns void
language sql security definer set search_path from current as $$
    delete from history where bucket is null or bucket_id = bucket
$$;

revoke execute on function bury_history, trim_history, purge_history, erase_history from public;
grant execute on function bury_history, trim_history, purge_history, erase_history to countersign_writer;
