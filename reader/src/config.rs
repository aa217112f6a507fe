//! The reader's settings. `defaults.toml` lists them with their meaning.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::{
    chain::RootHash,
    config::{
        CertificateWarnings, Changes, Database, Layers, Lifetimes, Listen, Problems, Telemetry,
        absolute,
    },
    signature::PublicKey,
    wire::ChainsBase,
};

use crate::{
    answer::{Dictionaries, Grace},
    public::Reads,
    server::{Files, Limits},
};

/// Every setting with its default and a comment.
pub const DEFAULTS: &str = include_str!("../defaults.toml");

/// Keys of Kinto that mean nothing here, so that one Kinto file can serve both services.
const KINTO_KEYS: &[&str] = &[
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
const KINTO_PREFIXES: &[&str] = &[
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
    "eos",
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

/// All settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address, limits, request log.
    pub listen: Listen,
    /// How the database is reached.
    pub database: Database,
    /// Logs.
    pub telemetry: Telemetry,
    /// What is published, and what is told of it.
    pub changes: Changes,
    /// What the service says about itself.
    pub site: Site,
    /// What must hold before something is shown.
    pub signature: SignatureRules,
    /// Where clients fetch certificate chains, if not where the signatures say.
    pub chains_base: Option<ChainsBase>,
    /// When certificates are warned of.
    pub certificates: CertificateWarnings,
    /// How often the database is asked.
    pub watermark: Pace,
    /// Memory for prepared answers to `_since`.
    pub delta_cache_bytes: u64,
    /// Lifetimes of ordinary objects and lists at caches.
    pub lifetimes: Lifetimes,
    /// What is read from the database when somebody asks.
    pub reads: Reads,
    /// Which bodies later ones are given as differences from.
    pub dictionaries: Dictionaries,
    /// What caches may do with answers whose life is over.
    pub grace: Grace,
    /// Limits of connections.
    pub limits: Limits,
    /// The certificate for TLS, if it is spoken here.
    pub tls: Option<Files>,
    /// Where operators ask, if not where clients do.
    pub operators: Option<SocketAddr>,
    /// Where the last good snapshot is kept, if anywhere.
    pub snapshot_dir: Option<PathBuf>,
}

/// What the service says about itself.
#[derive(Debug, Clone)]
pub struct Site {
    /// Shown in the hello view.
    pub project_name: String,
    /// Shown in the hello view.
    pub project_docs: String,
    /// `scheme://host` of the service, or empty.
    pub root: String,
    /// Seconds of the `Backoff` header.
    pub backoff: Option<u64>,
    /// Seconds of the `Retry-After` header.
    pub retry_after: u64,
    /// Lifetime of the hello view.
    pub root_ttl: u32,
}

/// What happens with signatures that do not verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Not shown.
    Enforce,
    /// Shown, logged and counted.
    Warn,
    /// Not looked at.
    Off,
}

/// What must hold before a collection is shown.
#[derive(Debug, Clone)]
pub struct SignatureRules {
    /// What happens otherwise.
    pub mode: Mode,
    /// The keys that count; without any, and without roots, the one beside each signature.
    pub keys: Vec<PublicKey>,
    /// Roots whose chains count.
    pub roots: Vec<RootHash>,
    /// The domain of the chains' end entities.
    pub domain: String,
    unsigned: Vec<String>,
}

impl SignatureRules {
    /// Whether the collection may be shown without any signature.
    pub fn may_be_unsigned(&self, bucket: &str, collection: &str) -> bool {
        let bucket_uri = format!("/buckets/{bucket}");
        let uri = format!("{bucket_uri}/collections/{collection}");
        self.unsigned.iter().any(|known| *known == bucket_uri || *known == uri)
    }
}

/// How often the database is asked.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Between two looks at the watermark.
    pub poll: Duration,
    /// Between two loads of everything.
    pub recheck: Duration,
}

impl Config {
    /// The layers: defaults, then `file`, the `environment`, and `listen` of the command line.
    pub fn layers(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        listen: Option<&str>,
    ) -> Layers {
        let mut layers = Layers::new(DEFAULTS);
        if let Some(file) = file {
            layers.file(file);
        }
        layers.environment(environment);
        if let Some(address) = listen {
            layers.set("listen", address);
        }
        layers
    }

    /// Reads and checks every setting.
    ///
    /// # Errors
    ///
    /// All problems at once.
    pub fn read(layers: &mut Layers) -> Result<Self, Problems> {
        let listen = Listen::read(layers);
        let config = Self {
            limits: limits(layers, &listen),
            tls: tls(layers),
            operators: operators(layers),
            listen,
            grace: Grace {
                revalidating: seconds(layers, "cache.stale_while_revalidate_seconds"),
                failing: seconds(layers, "cache.stale_if_error_seconds"),
            },
            lifetimes: Lifetimes::read(layers),
            reads: Reads::read(layers),
            database: Database::read_for_reader(layers),
            telemetry: Telemetry::read(layers),
            changes: Changes::read(layers),
            site: Site::read(layers),
            signature: SignatureRules::read(layers),
            chains_base: chains_base(layers),
            certificates: CertificateWarnings::read(layers),
            watermark: Pace {
                poll: Duration::from_millis(layers.number(
                    "watermark.poll_interval_ms",
                    10,
                    60_000,
                )),
                recheck: Duration::from_secs(layers.number(
                    "watermark.recheck_interval_seconds",
                    1,
                    86_400,
                )),
            },
            delta_cache_bytes: layers.number("cache.max_bytes", 0, 1 << 40),
            snapshot_dir: layers.optional("snapshot_dir").map(PathBuf::from),
            dictionaries: Dictionaries::read(layers),
        };
        if config.changes.monitored.buckets().is_empty() {
            layers.problem("changes.resources is empty: nothing would be published");
        }
        layers.ignore(|key| {
            KINTO_KEYS.contains(&key) || KINTO_PREFIXES.iter().any(|start| key.starts_with(start))
        });
        layers.finish()?;
        Ok(config)
    }
}

fn seconds(layers: &mut Layers, key: &str) -> u32 {
    u32::try_from(layers.number(key, 0, u64::from(u32::MAX))).unwrap_or(u32::MAX)
}

/// `http.*`, as far as writers have no such settings.
fn limits(layers: &mut Layers, listen: &Listen) -> Limits {
    let http2 = listen.limits.clone();
    let time = |layers: &mut Layers, key: &str, least: u64| {
        Duration::from_secs(layers.number(key, least, 3_600))
    };
    Limits {
        max_connections: http2.max_connections,
        requests_per_connection: layers.number("http.requests_per_connection", 1, u64::MAX),
        head_timeout: http2.head_timeout,
        idle_timeout: time(layers, "http.idle_timeout_seconds", 1),
        stall_timeout: time(layers, "http.stall_timeout_seconds", 1),
        drain: time(layers, "http.drain_seconds", 0),
        grace: http2.grace,
        has_proxy_header: layers.flag("http.proxy_protocol"),
        log: http2.log,
        http2,
    }
}

/// Both files, or none.
fn tls(layers: &mut Layers) -> Option<Files> {
    match (layers.optional("tls.certificate"), layers.optional("tls.key")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Files { certificate, key }),
        _ => {
            layers.problem("tls.certificate and tls.key belong together");
            None
        }
    }
}

fn operators(layers: &mut Layers) -> Option<SocketAddr> {
    let text = layers.optional("metrics.listen")?;
    let address = text.parse().ok();
    if address.is_none() {
        layers.problem("metrics.listen should be ADDRESS:PORT, as 127.0.0.1:9090");
    }
    address
}

/// Named by the reference's ADR 006, beside the signer's settings (`remote-settings.md` §2.8).
fn chains_base(layers: &mut Layers) -> Option<ChainsBase> {
    let key = "signer.certs_chains_base_url";
    let text = layers.optional(key)?;
    ChainsBase::parse(&text).map_err(|expected| layers.problem(format!("{key} {expected}"))).ok()
}

impl Site {
    fn read(layers: &mut Layers) -> Self {
        let (scheme, host) = (layers.text("http_scheme"), layers.text("http_host"));
        let root_ttl = layers.number("root_cache_expires_seconds", 0, u64::from(u32::MAX));
        Self {
            project_name: layers.text("project_name"),
            project_docs: layers.text("project_docs"),
            root: absolute(&scheme, &host),
            backoff: layers.optional_number("backoff", 0, u64::from(u32::MAX)),
            retry_after: layers.number("retry_after_seconds", 0, u64::from(u32::MAX)),
            root_ttl: u32::try_from(root_ttl).unwrap_or(u32::MAX),
        }
    }
}

impl SignatureRules {
    fn read(layers: &mut Layers) -> Self {
        let modes = [("enforce", Mode::Enforce), ("warn", Mode::Warn), ("off", Mode::Off)];
        let mode = layers.choice("signature.verify", &modes).unwrap_or(Mode::Enforce);
        let mut keys = Vec::new();
        for path in layers.lines("signature.public_keys") {
            match read_key(Path::new(&path)) {
                Ok(key) => keys.push(key),
                Err(problem) => layers.problem(format!("signature.public_keys: {path}: {problem}")),
            }
        }
        let unsigned = layers.words("signature.unsigned_resources");
        for uri in &unsigned {
            if !uri.starts_with("/buckets/") {
                let expected = "should be a bucket or collection URI";
                layers.problem(format!("signature.unsigned_resources: `{uri}` {expected}"));
            }
        }
        let mut roots = Vec::new();
        for text in layers.words("signature.root_hashes") {
            match RootHash::parse(&text) {
                Ok(root) => roots.push(root),
                Err(expected) => layers.problem(format!("signature.root_hashes: {expected}")),
            }
        }
        let domain = layers.required("signature.domain", "the domain of end entities");
        Self { mode, keys, roots, domain, unsigned }
    }
}

/// Reads one PEM public key.
///
/// # Errors
///
/// What is wrong with the file, as text.
pub fn read_key(path: &Path) -> Result<PublicKey, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    PublicKey::from_pem(&pem).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, ending: &str) -> (Layers, Result<Config, Problems>) {
        let name = format!("reader-config-{}-{:p}.{ending}", std::process::id(), &raw const *file);
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, file).unwrap();
        let mut layers = Config::layers(Some(&path), std::iter::empty(), None);
        let config = Config::read(&mut layers);
        std::fs::remove_file(path).unwrap();
        (layers, config)
    }

    #[test]
    fn every_default_is_a_setting_that_is_read() {
        let mut layers = Config::layers(None, std::iter::empty(), None);
        let problems = Config::read(&mut layers).unwrap_err();
        let shown = layers.effective().len();

        assert_eq!(problems.lines().len(), 2, "{problems}: URL and resources");
        assert_eq!(shown, layers.keys(|_| true).len(), "a default nobody reads");
    }

    #[test]
    fn a_kinto_file_of_a_writer_is_read_without_warnings() {
        let (layers, config) = read(
            "[app:main]\nkinto.storage_url = postgresql://r@h/d\nkinto.includes = kinto_signer\n\
             kinto.changes.resources = /buckets/main\nkinto.signer.resources = /buckets/a\n\
             kinto.changes.since_max_age_days = -1\nkinto.http_host = rs.example.net\n\
             kinto.userid_hmac_secret = x\nkinto.permission_url = y\n",
            "ini",
        );
        let config = config.unwrap();

        assert_eq!(layers.warnings(), [""; 0]);
        assert_eq!(config.changes.redirects.since_max_age_days, None);
        assert_eq!(config.changes.redirects.root, "https://rs.example.net");
    }

    #[test]
    fn a_writer_s_setting_in_our_own_format_is_a_problem() {
        let file = "storage_url = 'postgresql://h/d'\n[changes]\nresources = '/buckets/a'\n\
                    [writer]\nx = 1\n";
        let (_, config) = read(file, "toml");

        assert!(config.unwrap_err().to_string().contains("writer.x is not a setting"));
    }
}
