-- What must happen outside once a transaction is committed: mail, chat, webhooks. A row is written
-- in the transaction that it follows from, and deleted when it is done.
create table outbox (
    -- A UUID of version 7: in the order of their making. Receivers know repetitions by it.
    id text collate "C" primary key,
    -- How the payload is read.
    kind text collate "C" not null,
    -- Who receives it: what fails for one does not delay the others.
    target text collate "C" not null,
    payload jsonb not null,
    created_at timestamptz not null default now(),
    -- When it is tried next. A writer that takes it moves this on, so that another one takes it
    -- when the first has died.
    due_at timestamptz not null default now(),
    attempts int not null default 0,
    last_error text,
    -- When it was given up: it waits for an operator then.
    dead_at timestamptz
);
create index outbox_due on outbox (target, due_at, id) where dead_at is null;
create index outbox_dead on outbox (dead_at) where dead_at is not null;

grant select, insert, update, delete on outbox to countersign_writer;
