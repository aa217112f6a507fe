vcl 4.1;

# The readers, and who may purge. Yours: adapt, and keep the names `readers` and `purgers`.

import directors;

probe alive {
    # 200 as soon as there is something to serve, also while the database is away; 503 before the end.
    .url = "/v1/__heartbeat__";
    .interval = 2s;
    .timeout = 1s;
    .window = 5;
    .threshold = 3;
    .initial = 2;
}

backend reader1 {
    .host = "reader1";
    .port = "8889";
    .connect_timeout = 2s;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 10s;
    .probe = alive;
}

backend reader2 {
    .host = "reader2";
    .port = "8889";
    .connect_timeout = 2s;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 10s;
    .probe = alive;
}

sub vcl_init {
    # Each URL has a reader of its own, which has made its differences already; when that one fails, the
    # next is asked (countersign.vcl).
    new readers = directors.shard();
    readers.add_backend(reader1);
    readers.add_backend(reader2);
}

# The writers. Never the address of a TLS terminator that does not speak PROXY: everybody comes from there.
acl purgers {
    "writer";
}
