//! Keys of Kinto that mean nothing here, so that one Kinto file can serve both services.

/// Whether `key` is one of them.
pub(super) fn is_ignored(key: &str) -> bool {
    KEYS.contains(&key) || PREFIXES.iter().any(|start| key.starts_with(start))
}

const KEYS: &[&str] = &[
    "batch_max_requests",
    "bucket_create_principals",
    "error_info_link",
    "explicit_permissions",
    "heartbeat_timeout_seconds",
    "includes",
    "changes.tombstone_max_age_days",
    "initialization_sequence",
    "logger",
    "project_version",
    "readonly",
    "storage_backend",
    "storage_max_backlog",
    "storage_max_overflow",
    "storage_pool_recycle",
    "storage_poolclass",
    "storage_strict_json",
    "trailing_slash_redirect_enabled",
    "userid_hmac_secret",
];

/// Beginnings of such keys.
const PREFIXES: &[&str] = &[
    "account_",
    "accounts.",
    "attachment.",
    "basicauth.",
    "bucket_write_",
    "cache_",
    "cors_",
    "default_bucket.",
    "emailer.",
    "event_listeners",
    "history.",
    "admin.",
    "jobs.",
    "listeners.",
    "mail.",
    "metrics_",
    "multiauth.",
    "newrelic_",
    "oidc.",
    "outgoing.",
    "openid.",
    "permission_",
    "permissions_",
    "profiler_",
    "prometheus.",
    "pyramid.",
    "quotas.",
    "sentry_",
    "signer.",
    "slack.",
    "statsd_",
    "version_prefix_",
];
