-- What jobs leave behind: how far tombstones were purged, what push services are told, and when a job
-- last ran.

-- Tombstones up to this timestamp may be gone: whoever knows the list as it was before fetches it
-- whole (remote-settings.md §7.10).
alter table resource_timestamp add column tombstone_horizon bigint not null default 0;

-- One value for all readers, which cannot write (remote-settings.md §4.1).
create table broadcast_state (
    id text collate "C" primary key,
    value bigint not null
);

-- For the writers' scheduler: any of them may run a job that is due.
create table job_run (
    name text collate "C" primary key,
    finished_at timestamptz not null
);

grant select, insert, update on broadcast_state, job_run to countersign_writer;
grant select on broadcast_state to countersign_reader;
-- The writer lists what is published as readers do.
grant select on public_object to countersign_writer;
