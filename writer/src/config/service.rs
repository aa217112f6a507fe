//! Settings of the service as a whole (`kinto-http-api.md` §1 and §8).

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, time::Duration};

use aws_lc_rs::digest;
use serde_json::{Value, json};
use shared::{
    config::{EndOfService, Layers, Lifetimes},
    model::Timestamp,
};

use crate::{cors::Cors, ids::Generators, notices::Backoff};

/// What all endpoints have in common.
#[derive(Debug, Clone)]
pub struct Service {
    /// Names of the hello view.
    pub project: Project,
    /// Whether all writes are refused.
    pub readonly: bool,
    /// Seconds that caches may keep the hello view in read-only mode.
    pub hello_lifetime: u32,
    /// Most requests in a batch.
    pub batch_max_requests: usize,
    /// Seconds in `Retry-After`.
    pub retry_after: u64,
    /// Asks all clients to slow down.
    pub backoff: Option<Backoff>,
    /// When the service ends.
    pub end: Option<EndOfService>,
    /// `info` of a 500.
    pub error_info_link: Option<String>,
    /// How long each probe of the heartbeat may take.
    pub heartbeat_timeout: Duration,
    /// What `/__version__` shows, where a file says it.
    pub version: Option<Value>,
    /// Where URLs without `/v1` are redirected; `None` makes them a 404.
    pub version_redirect: Option<Redirect>,
    /// Likewise, URLs that end in a slash.
    pub slash_redirect: Option<Redirect>,
    /// Methods that are switched off: `object_record_patch_enabled`.
    pub disabled: BTreeSet<String>,
    /// Who may ask from a browser.
    pub cors: Cors,
    /// How long caches may keep what everybody may read.
    pub lifetimes: Lifetimes,
    /// How ids are made.
    pub generators: Generators,
    /// The configuration file, as the hello view shows it.
    pub file: Option<Value>,
}

/// Names and addresses shown to clients.
#[derive(Debug, Clone)]
pub struct Project {
    /// `project_name`.
    pub name: String,
    /// `project_version`.
    pub version: String,
    /// `project_docs`.
    pub docs: String,
    /// `http_scheme`, where it replaces what the request says.
    pub scheme: Option<String>,
    /// `http_host`, likewise.
    pub host: Option<String>,
}

/// A redirect that is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect {
    /// Seconds that caches may keep it; `None` says nothing to them.
    pub lifetime: Option<u32>,
}

impl Service {
    /// Reads them all.
    pub fn read(layers: &mut Layers) -> Self {
        let project = Project::read(layers);
        let end = EndOfService::read(layers, &project.docs);
        Self {
            readonly: layers.flag("readonly"),
            hello_lifetime: layers.lifetime("root_cache_expires_seconds").unwrap_or(0),
            batch_max_requests: usize::try_from(layers.number("batch_max_requests", 1, 100_000))
                .unwrap_or(1),
            retry_after: layers.number("retry_after_seconds", 0, 86_400),
            backoff: Backoff::read(layers),
            end,
            error_info_link: layers.optional("error_info_link"),
            heartbeat_timeout: Duration::from_secs(layers.number(
                "heartbeat_timeout_seconds",
                1,
                3_600,
            )),
            version: version(layers),
            version_redirect: Redirect::read(layers, "version_prefix"),
            slash_redirect: Redirect::read(layers, "trailing_slash"),
            disabled: disabled(layers),
            cors: Cors::read(layers),
            lifetimes: Lifetimes::read(layers),
            generators: Generators::read(layers),
            file: file(layers),
            project,
        }
    }
}

impl Project {
    fn read(layers: &mut Layers) -> Self {
        Self {
            name: layers.required("project_name", "a short name"),
            version: layers
                .optional("project_version")
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            docs: layers.text("project_docs"),
            scheme: layers.optional("http_scheme"),
            host: layers.optional("http_host"),
        }
    }
}

impl Redirect {
    fn read(layers: &mut Layers, name: &str) -> Option<Self> {
        let enabled = layers.flag(&format!("{name}_redirect_enabled"));
        let key = format!("{name}_redirect_ttl_seconds");
        let ttl: i64 = layers.parsed(&key, "a number of seconds, or -1").unwrap_or(-1);
        enabled.then_some(Self { lifetime: u32::try_from(ttl).ok() })
    }
}

/// What the build left in a file. None is needed: the binary knows its version.
fn version(layers: &mut Layers) -> Option<Value> {
    let key = "version_json_path";
    let path = PathBuf::from(layers.optional(key)?);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            layers.problem(format!("{key}: {}: {error}", path.display()));
            return None;
        }
    };
    match serde_json::from_slice(&text) {
        Ok(Value::Object(members)) => Some(Value::Object(members)),
        Ok(_) => {
            layers.problem(format!("{key}: {} is not a JSON object", path.display()));
            None
        }
        Err(error) => {
            layers.problem(format!("{key}: {}: {error}", path.display()));
            None
        }
    }
}

/// `{plural,object}_{resource}_{method}_enabled` that are false (§1.7.3).
fn disabled(layers: &mut Layers) -> BTreeSet<String> {
    const RESOURCES: [&str; 6] = ["account", "bucket", "collection", "group", "history", "record"];
    const METHODS: [&str; 6] = ["delete", "get", "head", "patch", "post", "put"];
    let mut disabled = BTreeSet::new();
    for kind in ["plural", "object"] {
        for resource in RESOURCES {
            for method in METHODS {
                let key = format!("{kind}_{resource}_{method}_enabled");
                if layers.optional(&key).is_some() && !layers.flag(&key) {
                    disabled.insert(key);
                }
            }
        }
    }
    disabled
}

/// Path, digest and age of the configuration file (§1.1.1). Times are UTC.
fn file(layers: &mut Layers) -> Option<Value> {
    let path = layers.path()?;
    let content = std::fs::read(path).ok()?;
    let hash = digest::digest(&digest::SHA256, &content);
    let hash = hash.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    let modified = std::fs::metadata(path).ok()?.modified().ok()?;
    let modified = Timestamp::from_system(modified).iso8601();
    let modified = modified.trim_end_matches("+00:00");
    Some(json!({"path": path.display().to_string(), "hash": hash, "modified": modified}))
}
