//! The reader's settings. `defaults.toml` lists them with their meaning.

mod kinto;
mod listen;
mod signature;
mod site;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use shared::{
    config::{
        CertificateWarnings, Changes, Database, Layers, Lifetimes, Listen, Problems, Telemetry,
    },
    wire::ChainsBase,
};

pub use self::{
    signature::{Mode, SignatureRules, read_key},
    site::Site,
};
use crate::{
    answer::{Dictionaries, Grace},
    public::Reads,
    server::{Files, Limits},
};

/// Every setting with its default and a comment.
pub const DEFAULTS: &str = include_str!("../../defaults.toml");

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
    /// Memory for bodies that are being sent, and that no cache keeps.
    pub body_bytes_in_flight: u64,
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
            limits: listen::limits(layers, &listen),
            tls: listen::tls(layers),
            operators: listen::operators(layers),
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
            body_bytes_in_flight: layers.number("http.max_body_bytes_in_flight", 1 << 20, 1 << 40),
            snapshot_dir: layers.optional("snapshot_dir").map(PathBuf::from),
            dictionaries: Dictionaries::read(layers),
        };
        if config.changes.monitored.buckets().is_empty() {
            layers.problem("changes.resources is empty: nothing would be published");
        }
        layers.ignore(kinto::is_ignored);
        layers.finish()?;
        Ok(config)
    }
}

fn seconds(layers: &mut Layers, key: &str) -> u32 {
    u32::try_from(layers.number(key, 0, u64::from(u32::MAX))).unwrap_or(u32::MAX)
}

/// Named by the reference's ADR 006, beside the signer's settings (`remote-settings.md` §2.8).
fn chains_base(layers: &mut Layers) -> Option<ChainsBase> {
    let key = "signer.certs_chains_base_url";
    let text = layers.optional(key)?;
    ChainsBase::parse(&text).map_err(|expected| layers.problem(format!("{key} {expected}"))).ok()
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
    fn the_hello_view_s_lifetime_counts_as_unset_below_zero() {
        for (set, read_as) in [("-1", 0), ("", 0), ("0", 0), ("60", 60)] {
            let file = format!(
                "storage_url = 'postgresql://h/d'\nroot_cache_expires_seconds = '{set}'\n\
                 [changes]\nresources = '/buckets/a'\n"
            );
            let (_, config) = read(&file, "toml");
            assert_eq!(config.unwrap().site.root_ttl, read_as, "{set}");
        }
    }

    #[test]
    fn a_writer_s_setting_in_our_own_format_is_a_problem() {
        let file = "storage_url = 'postgresql://h/d'\n[changes]\nresources = '/buckets/a'\n\
                    [writer]\nx = 1\n";
        let (_, config) = read(file, "toml");

        assert!(config.unwrap_err().to_string().contains("writer.x is not a setting"));
    }
}
