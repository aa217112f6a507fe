-- The roles that the servers log in as. Run by the owner of the database, who must be allowed to
-- create roles, before the first migration, which grants them what they need. May be run again.
--
-- Passwords are not set here: use `\password countersign_writer` in psql, or what your
-- pg_hba.conf asks for.
do $$
begin
    if not exists (select from pg_roles where rolname = 'countersign_writer') then
        create role countersign_writer;
    end if;
    if not exists (select from pg_roles where rolname = 'countersign_reader') then
        create role countersign_reader;
    end if;
exception
    -- Somebody created them at the same time.
    when duplicate_object or unique_violation then null;
end
$$;

alter role countersign_writer login nosuperuser nocreatedb nocreaterole;
alter role countersign_reader login nosuperuser nocreatedb nocreaterole;

-- The grants forbid the reader to write. This turns a mistake in them into an error as well.
alter role countersign_reader set default_transaction_read_only = on;
