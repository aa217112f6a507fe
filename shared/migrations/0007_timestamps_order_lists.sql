-- The index of timestamps is for lists in their order, never for one record by its id. Both indexes
-- begin with the list; a planner whose statistics are older than a list takes it for empty, finds both
-- equally good, and may walk all of the list for each id: an import into a new list became ten times
-- slower. A partial index is only taken where its condition is asked for: every query that goes by
-- timestamps says `last_modified >= 0`, which is always true.

drop index record_last_modified;
create unique index record_last_modified on record (bucket_id, collection_id, last_modified)
    where last_modified >= 0;
