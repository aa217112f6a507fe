//! How PostgreSQL is reached.

use std::{path::PathBuf, time::Duration};

use super::Layers;

/// Which of several servers are good enough, as libpq's `target_session_attrs`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Target {
    /// Whichever answers, in the order of the URL.
    #[default]
    Any,
    /// One that accepts writes.
    ReadWrite,
    /// A standby, and nothing else.
    ReadOnly,
    /// A standby while one answers, else the primary.
    PreferStandby,
}

impl Target {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "any" => Some(Self::Any),
            "read-write" | "primary" => Some(Self::ReadWrite),
            "read-only" | "standby" => Some(Self::ReadOnly),
            "prefer-standby" => Some(Self::PreferStandby),
            _ => None,
        }
    }
}

/// How PostgreSQL is reached.
#[derive(Debug, Clone)]
pub struct Database {
    /// Connection URL, or `key=value` text, as libpq reads them; it may name several hosts.
    pub url: String,
    /// Which of several hosts are good enough.
    pub target: Target,
    /// Whether a pooler gives each transaction another session (`PgBouncer`'s transaction mode).
    pub transaction_pooling: bool,
    /// Between two looks at the other addresses of several.
    pub probe: Duration,
    /// Most connections one process opens.
    pub pool_size: usize,
    /// Longest time to wait for a connection of the pool, and to open one.
    pub connect_timeout: Duration,
    /// Longest time of one statement.
    pub statement_timeout: Duration,
    /// Longest wait for a row lock.
    pub lock_timeout: Duration,
    /// PEM file of the authorities that are trusted with `sslmode=require`; without it, the system's.
    pub authorities: Option<PathBuf>,
}

impl Database {
    /// Reads `storage_url` and its companions, for a service that writes: of several hosts, it
    /// needs the one that accepts writes.
    pub fn read(layers: &mut Layers) -> Self {
        let mut database = Self::read_common(layers);
        if is_several(&database.url) && database.target == Target::Any {
            database.target = Target::ReadWrite;
        }
        database
    }

    /// Reads them for a service that only reads, and so may use standbys and poolers.
    pub fn read_for_reader(layers: &mut Layers) -> Self {
        let mut database = Self::read_common(layers);
        database.transaction_pooling = layers.flag("storage_transaction_pooling");
        database.probe =
            Duration::from_secs(layers.number("storage_probe_interval_seconds", 1, 3_600));
        database
    }

    fn read_common(layers: &mut Layers) -> Self {
        let text = layers.required("storage_url", "the URL of PostgreSQL");
        let (url, target) = take_target(&text);
        if !url.is_empty() && url.parse::<tokio_postgres::Config>().is_err() {
            layers.problem("storage_url is not a PostgreSQL URL (postgresql://user@host/database)");
        }
        if target.is_none() {
            layers.problem(
                "storage_url: target_session_attrs should be any, read-write, read-only, primary, \
                 standby or prefer-standby",
            );
        }
        Self {
            url,
            target: target.unwrap_or_default(),
            transaction_pooling: false,
            probe: Duration::from_secs(30),
            pool_size: usize::try_from(layers.number("storage_pool_size", 1, 1_000)).unwrap_or(1),
            connect_timeout: millis(layers, "storage_connect_timeout_ms"),
            statement_timeout: millis(layers, "storage_statement_timeout_ms"),
            lock_timeout: millis(layers, "storage_lock_timeout_ms"),
            authorities: layers.optional("storage_tls_ca").map(PathBuf::from),
        }
    }
}

fn millis(layers: &mut Layers, key: &str) -> Duration {
    Duration::from_millis(layers.number(key, 1, 3_600_000))
}

fn is_several(url: &str) -> bool {
    url.parse::<tokio_postgres::Config>()
        .is_ok_and(|config| config.get_hosts().len().max(config.get_hostaddrs().len()) > 1)
}

/// Takes `target_session_attrs` out of a URL, or `key=value` text: the driver knows fewer values
/// than libpq, and refuses the others. `None` for a value that nobody knows.
fn take_target(url: &str) -> (String, Option<Target>) {
    const KEY: &str = "target_session_attrs=";
    let Some(start) = url.find(KEY) else { return (url.to_owned(), Some(Target::Any)) };
    let value = &url[start + KEY.len()..];
    let end = value.find(|c: char| c == '&' || c.is_whitespace()).unwrap_or(value.len());
    let target = Target::parse(value[..end].trim_matches('\''));
    (format!("{}{KEY}any{}", &url[..start], &value[end..]), target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(url: &str) -> Option<Target> {
        let (rest, target) = take_target(url);
        assert!(rest.parse::<tokio_postgres::Config>().is_ok(), "{rest}");
        target
    }

    #[test]
    fn the_target_is_taken_from_either_form() {
        let url = "postgresql://u@a,b/d?target_session_attrs=prefer-standby&connect_timeout=3";
        assert_eq!(taken(url), Some(Target::PreferStandby));
        assert_eq!(
            taken("host=a,b target_session_attrs='primary' user=u"),
            Some(Target::ReadWrite)
        );
        assert_eq!(
            taken("postgresql://u@a/d?target_session_attrs=standby"),
            Some(Target::ReadOnly)
        );
        assert_eq!(taken("postgresql://u@a/d"), Some(Target::Any));
        assert_eq!(taken("postgresql://u@a/d?target_session_attrs=fastest"), None);
    }

    #[test]
    fn a_writer_of_several_hosts_needs_the_one_that_accepts_writes() {
        let layers = |url: &str| {
            Layers::new(&format!(
                "storage_url = '{url}'\nstorage_pool_size = 1\nstorage_connect_timeout_ms = 1\n\
                 storage_statement_timeout_ms = 1\nstorage_lock_timeout_ms = 1\n"
            ))
        };

        assert_eq!(Database::read(&mut layers("postgresql://a/d")).target, Target::Any);
        assert_eq!(Database::read(&mut layers("postgresql://a,b/d")).target, Target::ReadWrite);
    }
}
