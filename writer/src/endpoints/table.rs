//! Every endpoint, with its methods and the settings under which it exists.

use http::Method;
use shared::model::Resource;

use super::{Action, Does, Endpoint, Scope};
use crate::config::{Config, Plugin};

const fn action(method: Method, does: Does) -> Action {
    Action { method, id: None, does }
}

const fn named(method: Method, does: Does, id: &'static str) -> Action {
    Action { method, id: Some(id), does }
}

const PLURAL: &[Action] = &[
    action(Method::HEAD, Does::Count),
    action(Method::GET, Does::List),
    action(Method::POST, Does::Create),
    action(Method::DELETE, Does::DeleteList),
];

const OBJECT: &[Action] = &[
    action(Method::GET, Does::Get),
    action(Method::PUT, Does::Update),
    action(Method::PATCH, Does::Patch),
    action(Method::DELETE, Does::Delete),
];

const HISTORY_ACTIONS: &[Action] = &[
    named(Method::GET, Does::List, "get_history"),
    named(Method::DELETE, Does::DeleteList, "delete_history"),
];

const fn always(_: &Config) -> bool {
    true
}

fn has_accounts(config: &Config) -> bool {
    config.plugins.has(Plugin::Accounts)
}

fn has_openid(config: &Config) -> bool {
    config.plugins.has(Plugin::OpenId)
}

fn has_history(config: &Config) -> bool {
    config.plugins.has(Plugin::History)
}

const fn has_quotas(config: &Config) -> bool {
    config.quotas.enabled
}

fn has_permissions(config: &Config) -> bool {
    config.extras.permissions_endpoint
}

fn has_flush(config: &Config) -> bool {
    config.plugins.has(Plugin::Flush)
}

fn has_counters(config: &Config) -> bool {
    config.plugins.has(Plugin::Counters)
}

/// Whatever may be published, if anything.
fn has_monitor(config: &Config) -> bool {
    !config.changes.monitored.buckets().is_empty()
}

fn has_monitor_records(config: &Config) -> bool {
    has_monitor(config) && config.changes.records_enabled
}

fn has_changesets(config: &Config) -> bool {
    has_monitor(config) || config.plugins.has(Plugin::Changes)
}

const fn service(name: &'static str, path: &'static str) -> Endpoint {
    Endpoint { name, path, scope: Scope::Service, is_on: always, actions: &[] }
}

const fn plural(name: &'static str, resource: Resource, path: &'static str) -> Endpoint {
    Endpoint { name, path, scope: Scope::Plural(resource), is_on: always, actions: PLURAL }
}

const fn object(name: &'static str, resource: Resource, path: &'static str) -> Endpoint {
    Endpoint { name, path, scope: Scope::Object(resource), is_on: always, actions: OBJECT }
}

/// `/v1/`
pub static HELLO: Endpoint =
    Endpoint { actions: &[named(Method::GET, Does::Show, "server_info")], ..service("hello", "/") };
/// `/v1/__heartbeat__`
pub static HEARTBEAT: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::Probe, "__heartbeat__")],
    ..service("heartbeat", "/__heartbeat__")
};
/// `/v1/__lbheartbeat__`
pub static LB_HEARTBEAT: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::Show, "__lbheartbeat__")],
    ..service("lbheartbeat", "/__lbheartbeat__")
};
/// `/v1/__version__`
pub static VERSION: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::Show, "__version__")],
    ..service("version", "/__version__")
};
/// `/v1/__metrics__`
pub static METRICS: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::ShowText, "__metrics__")],
    ..service("metrics", "/__metrics__")
};
/// `/v1/__api__`
pub static OPENAPI: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::Show, "get_openapi_spec")],
    ..service("openapi", "/__api__")
};
/// `/v1/contribute.json`
pub static CONTRIBUTE: Endpoint = Endpoint {
    actions: &[named(Method::GET, Does::Show, "contribute")],
    ..service("contribute.json", "/contribute.json")
};
/// `/v1/batch`
pub static BATCH: Endpoint = Endpoint {
    actions: &[named(Method::POST, Does::Batch, "batch")],
    ..service("batch", "/batch")
};
/// `/v1/permissions`
pub static PERMISSIONS: Endpoint = Endpoint {
    is_on: has_permissions,
    actions: &[
        action(Method::HEAD, Does::Count),
        named(Method::GET, Does::List, "get_permissionss"),
    ],
    ..service("permissions-plural", "/permissions")
};
/// `/v1/__flush__`
pub static FLUSH: Endpoint = Endpoint {
    is_on: has_flush,
    actions: &[named(Method::POST, Does::Command, "create_flush")],
    ..service("flush", "/__flush__")
};
/// `/v1/__counters__`
pub static COUNTERS: Endpoint = Endpoint {
    is_on: has_counters,
    actions: &[named(Method::GET, Does::Show, "get_counters")],
    ..service("counters", "/__counters__")
};
/// `/v1/__user_data__`, where nothing can be done.
pub static ALL_USER_DATA: Endpoint = service("user-data-plural", "/__user_data__");
/// `/v1/__user_data__/{principal}`
pub static USER_DATA: Endpoint = Endpoint {
    actions: &[named(Method::DELETE, Does::Purge, "delete_user-data")],
    ..service("user-data-object", "/__user_data__/{principal}")
};
/// `/v1/buckets`
pub static BUCKETS: Endpoint = plural("bucket-plural", Resource::Bucket, "/buckets");
/// `/v1/buckets/{id}`
pub static BUCKET: Endpoint = object("bucket-object", Resource::Bucket, "/buckets/{id}");
/// `/v1/buckets/{b}/groups`
pub static GROUPS: Endpoint =
    plural("group-plural", Resource::Group, "/buckets/{bucket_id}/groups");
/// `/v1/buckets/{b}/groups/{id}`
pub static GROUP: Endpoint =
    object("group-object", Resource::Group, "/buckets/{bucket_id}/groups/{id}");
/// `/v1/buckets/{b}/collections`
pub static COLLECTIONS: Endpoint =
    plural("collection-plural", Resource::Collection, "/buckets/{bucket_id}/collections");
/// `/v1/buckets/{b}/collections/{id}`
pub static COLLECTION: Endpoint =
    object("collection-object", Resource::Collection, "/buckets/{bucket_id}/collections/{id}");
/// `/v1/buckets/{b}/collections/{c}/records`
pub static RECORDS: Endpoint = plural(
    "record-plural",
    Resource::Record,
    "/buckets/{bucket_id}/collections/{collection_id}/records",
);
/// `/v1/buckets/{b}/collections/{c}/records/{id}`
pub static RECORD: Endpoint = object(
    "record-object",
    Resource::Record,
    "/buckets/{bucket_id}/collections/{collection_id}/records/{id}",
);
/// `/v1/accounts`
pub static ACCOUNTS: Endpoint =
    Endpoint { is_on: has_accounts, ..plural("account-plural", Resource::Account, "/accounts") };
/// `/v1/accounts/{id}`
pub static ACCOUNT: Endpoint = Endpoint {
    is_on: has_accounts,
    ..object("account-object", Resource::Account, "/accounts/{id}")
};
/// `/v1/buckets/{b}/history`
pub static HISTORY: Endpoint = Endpoint {
    is_on: has_history,
    actions: HISTORY_ACTIONS,
    ..plural("history", Resource::History, "/buckets/{bucket_id}/history")
};

/// `/v1/buckets/{b}/snapshot/collections/{c}@{time}`
pub static SNAPSHOT: Endpoint = Endpoint {
    is_on: has_history,
    actions: &[named(Method::GET, Does::Inspect, "get_history_snapshot")],
    ..service(
        "history_snapshot",
        "/buckets/{bucket_id}/snapshot/collections/{collection_id}@{timestamp}",
    )
};
/// `/v1/buckets/{id}/quota`
pub static BUCKET_QUOTA: Endpoint = Endpoint {
    is_on: has_quotas,
    actions: &[named(Method::GET, Does::Inspect, "get_bucket_quota")],
    ..service("bucket-quota", "/buckets/{bucket_id}/quota")
};
/// `/v1/buckets/{b}/collections/{id}/quota`
pub static COLLECTION_QUOTA: Endpoint = Endpoint {
    is_on: has_quotas,
    actions: &[named(Method::GET, Does::Inspect, "get_collection_quota")],
    ..service("collection-quota", "/buckets/{bucket_id}/collections/{collection_id}/quota")
};

/// `/v1/buckets/{b}/collections/{c}/changeset`
pub static CHANGESET: Endpoint = Endpoint {
    is_on: has_changesets,
    actions: &[named(Method::GET, Does::Changes, "get_changeset")],
    ..service("changeset", "/buckets/{bucket_id}/collections/{collection_id}/changeset")
};
/// `/v1/buckets/monitor/collections/changes/changeset`
pub static MONITOR: Endpoint = Endpoint {
    is_on: has_monitor,
    actions: &[named(Method::GET, Does::Changes, "get_monitor_changeset")],
    ..service("monitor-changeset", "/buckets/monitor/collections/changes/changeset")
};
/// `/v1/buckets/monitor/collections/changes/records`
pub static MONITOR_RECORDS: Endpoint = Endpoint {
    is_on: has_monitor_records,
    actions: &[
        named(Method::HEAD, Does::Count, "count_monitor_changes"),
        named(Method::GET, Does::List, "get_monitor_changes"),
    ],
    ..service("monitor-records", "/buckets/monitor/collections/changes/records")
};
/// `/v1/__broadcasts__`
pub static BROADCASTS: Endpoint = Endpoint {
    is_on: has_monitor,
    actions: &[named(Method::GET, Does::Show, "__broadcasts__")],
    ..service("broadcasts", "/__broadcasts__")
};

/// `/v1/openid/{provider}/login`
pub static OPENID_LOGIN: Endpoint = Endpoint {
    is_on: has_openid,
    actions: &[action(Method::GET, Does::Redirect)],
    ..service("openid_login", "/openid/{provider}/login")
};
/// `/v1/openid/{provider}/token`
pub static OPENID_TOKEN: Endpoint = Endpoint {
    is_on: has_openid,
    actions: &[action(Method::GET, Does::Redirect)],
    ..service("openid_token", "/openid/{provider}/token")
};

/// Every endpoint.
pub static ALL: [&Endpoint; 33] = [
    &HELLO,
    &HEARTBEAT,
    &LB_HEARTBEAT,
    &VERSION,
    &METRICS,
    &OPENAPI,
    &CONTRIBUTE,
    &BATCH,
    &PERMISSIONS,
    &FLUSH,
    &COUNTERS,
    &ALL_USER_DATA,
    &USER_DATA,
    &BUCKETS,
    &BUCKET,
    &GROUPS,
    &GROUP,
    &COLLECTIONS,
    &COLLECTION,
    &RECORDS,
    &RECORD,
    &ACCOUNTS,
    &ACCOUNT,
    &HISTORY,
    &SNAPSHOT,
    &BUCKET_QUOTA,
    &COLLECTION_QUOTA,
    &CHANGESET,
    &MONITOR,
    &MONITOR_RECORDS,
    &BROADCASTS,
    &OPENID_LOGIN,
    &OPENID_TOKEN,
];
