-- The certificate chains that signatures name (x5u): the writer adds those of its keys, readers
-- serve them below /v1/cert-chains/. Never changed, since caches keep them for ever; erased when no
-- signature can be good any more.
create table certificate_chain (
    -- The end of the URL.
    path text collate "C" primary key,
    -- Three certificates in PEM: end entity, intermediate, root.
    pem text not null,
    -- When the end entity expires, in milliseconds since the epoch.
    expires_at bigint not null
);

grant select, insert, delete on certificate_chain to countersign_writer;
grant select on certificate_chain to countersign_reader;
