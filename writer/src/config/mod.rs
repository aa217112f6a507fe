//! The writer's settings, typed and checked.

mod extras;
mod history;
mod identity;
mod jobs;
mod listing;
mod notifications;
mod openid;
mod outbox;
mod outgoing;
mod plugins;
mod purge;
mod quotas;
mod service;
mod signing;
mod signoff;
mod statsd;
mod subtrees;
#[cfg(test)]
mod testing;

use std::collections::BTreeMap;

pub use extras::{Extras, Prometheus};
pub use history::{History, Trim};
pub use identity::{AccountSettings, Identity, Method, Policy};
pub use jobs::{Jobs, words};
pub use notifications::{Directory, Mail, Notifications, Security, Slack, Webhook};
pub use openid::OpenIdSettings;
pub use outbox::OutboxSettings;
pub use outgoing::OutgoingSettings;
pub use plugins::{Plugin, Plugins};
pub use purge::{Cache, Purge, Template};
pub use quotas::{Limits, Quotas};
pub use service::{Project, Redirect, Service};
use shared::{
    config::{CertificateWarnings, Changes, Database, Layers, Listen, Problems, Telemetry},
    model::{Id, Resource},
};
pub use signing::{
    AutographSettings, Backend, ChainTrust, LocalKey, LocalKeys, Pem, Signing, TlsWarning,
};
pub use signoff::SignOff;
pub use statsd::Statsd;
pub use subtrees::Subtrees;

pub use self::listing::Listing;
use crate::signoff::Resources;

/// The compiled-in defaults, which are the operator's reference, too.
pub const DEFAULTS: &str = include_str!("../../defaults.toml");

/// All settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and limits.
    pub listen: Listen,
    /// How PostgreSQL is reached.
    pub database: Database,
    /// How PostgreSQL is reached by `migrate`.
    pub migrate_url: String,
    /// Logs.
    pub telemetry: Telemetry,
    /// Which plug-ins of Kinto's are switched on.
    pub plugins: Plugins,
    /// What history is recorded.
    pub history: History,
    /// How much buckets and collections may hold.
    pub quotas: Quotas,
    /// What all endpoints have in common.
    pub service: Service,
    /// Whether whoever writes an object becomes a writer of it.
    pub explicit_permissions: bool,
    /// Whether objects are validated with the JSON schemas of their parents.
    pub schema_validation: bool,
    /// How users prove who they are.
    pub identity: Identity,
    /// Requests that the service itself makes.
    pub outgoing: OutgoingSettings,
    /// Who is told of changes.
    pub notifications: Notifications,
    /// Which caches are told what to forget.
    pub purge: Purge,
    /// How what waits for after the commit is delivered.
    pub outbox: OutboxSettings,
    /// Key of basicauth's user ids.
    pub userid_hmac_secret: Secret,
    /// Lists and their pages.
    pub listing: Listing,
    /// `{resource}_{create,read,write}_principals`.
    pub principals: BTreeMap<(Resource, Grant), Vec<String>>,
    /// The permissions endpoint, the default bucket, and other small parts.
    pub extras: Extras,
    /// What is published, and what is told of it.
    pub changes: Changes,
    /// What is signed, and how.
    pub signer: SignerSettings,
    /// When certificates are warned of.
    pub certificates: CertificateWarnings,
    /// What is done on a schedule.
    pub jobs: Jobs,
    /// Settings that were given and mean nothing here.
    pub warnings: Vec<String>,
}

/// A text that no log or debug output shows.
#[derive(Clone, Default)]
pub struct Secret<T = String>(pub T);

impl<T> std::fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// What a setting grants on all objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// Creating.
    Create,
    /// Reading.
    Read,
    /// Writing, which implies the others on existing objects.
    Write,
}

impl Grant {
    /// Its name in settings, and the right's.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Sign-off and signatures (`remote-settings.md` §1.1).
#[derive(Debug, Clone)]
pub struct SignerSettings {
    /// Sources, previews and destinations.
    pub resources: Resources,
    /// Who signs them.
    pub signing: Signing,
    /// How they are reviewed and published.
    pub sign_off: SignOff,
}

const RESOURCES: [Resource; 5] =
    [Resource::Bucket, Resource::Group, Resource::Collection, Resource::Record, Resource::Account];

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// Every problem at once.
    pub fn read(layers: &mut Layers) -> Result<Self, Problems> {
        let database = Database::read(layers);
        let migrate_url = layers.optional("migrate_url").unwrap_or_else(|| database.url.clone());
        let plugins = Plugins::read(layers);
        let principals = principals(layers);
        let outgoing = OutgoingSettings::read(layers);
        let identity = Identity::read(layers, &plugins, &principals);
        let config = Self {
            listen: Listen::read(layers),
            database,
            migrate_url,
            telemetry: Telemetry::read(layers),
            extras: Extras::read(layers, &plugins),
            history: History::read(layers, &plugins),
            quotas: Quotas::read(layers, &plugins),
            notifications: Notifications::read(layers, &plugins, &outgoing),
            purge: Purge::read(layers, &outgoing),
            outbox: OutboxSettings::read(layers),
            plugins,
            service: Service::read(layers),
            explicit_permissions: layers.flag("explicit_permissions"),
            schema_validation: layers.flag("experimental_collection_schema_validation"),
            identity,
            outgoing,
            userid_hmac_secret: Secret(layers.text("userid_hmac_secret")),
            listing: Listing::read(layers),
            principals,
            changes: Changes::read(layers),
            jobs: Jobs::read(layers),
            signer: signer(layers),
            certificates: CertificateWarnings::read(layers),
            warnings: Vec::new(),
        };
        warn_of_what_is_missing(layers);
        layers.ignore(means_nothing_here);
        layers.finish()?;
        Ok(Self { warnings: layers.warnings().to_vec(), ..config })
    }
}

fn principals(layers: &mut Layers) -> BTreeMap<(Resource, Grant), Vec<String>> {
    let mut principals = BTreeMap::new();
    for resource in RESOURCES {
        for grant in [Grant::Create, Grant::Read, Grant::Write] {
            let key = format!("{}_{}_principals", resource.name(), grant.name());
            let words = layers.words(&key);
            principals.insert((resource, grant), words);
        }
    }
    principals
}

fn signer(layers: &mut Layers) -> SignerSettings {
    let resources = signoff::resources(layers);
    let sources = resources.sources().map(|(bucket, id)| (bucket.as_str(), id.map(Id::as_str)));
    let signing = Signing::read(layers, sources);
    // A review that was asked for must not be missing because of a misspelt name.
    layers.guard("signer.", !resources.is_empty());
    if resources.is_empty() {
        // Nothing is signed, and how it would be is nobody's mistake.
        layers.ignore(signing::is_of_a_signer);
    }
    let sign_off = SignOff::read(layers);
    // The reader's, which may share our environment.
    layers.text("signer.certs_chains_base_url");
    if !resources.is_empty() {
        signing::refuse_unknown_variables(layers);
    }
    SignerSettings { resources, signing, sign_off }
}

/// Settings of Kinto about parts that do not exist here: its backends, its server's framework.
fn means_nothing_here(key: &str) -> bool {
    const PREFIXES: [&str; 5] = ["pyramid.", "newrelic_", "sentry_", "profiler_", "tm."];
    const NAMES: [&str; 8] = [
        "cache_prefix",
        "cache_max_size_bytes",
        "initialization_sequence",
        "json_renderer",
        "logging_renderer",
        "multiauth.authorization_policy",
        "multiauth.groupfinder",
        "settings_prefix",
    ];
    // One database serves them all, by `storage_url`.
    const BACKENDS: [&str; 3] = ["storage_", "permission_", "cache_"];
    const OF_BACKENDS: [&str; 11] = [
        "backend",
        "hosts",
        "max_backlog",
        "max_overflow",
        "pool_maxsize",
        "pool_recycle",
        "pool_size",
        "pool_timeout",
        "poolclass",
        "strict_json",
        "url",
    ];
    let of_backend = BACKENDS
        .iter()
        .find_map(|prefix| key.strip_prefix(prefix))
        .is_some_and(|rest| OF_BACKENDS.contains(&rest));
    of_backend
        || key == "multiauth.policy.basicauth.use"
        || NAMES.contains(&key)
        || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
}

/// Settings whose effect is missed here: whoever gives one is told so, by its name.
fn warn_of_what_is_missing(layers: &mut Layers) {
    const NAME: &str = "transaction_per_request";
    let is_missing = |key: &str| key.starts_with("event_listeners");
    for key in layers.keys(is_missing) {
        layers.warning(format!("{key} has no effect here yet"));
    }
    layers.ignore(is_missing);
    if layers.optional(NAME).is_some() && !layers.flag(NAME) {
        layers.warning(format!("{NAME}: a request is always one transaction"));
    }
}
