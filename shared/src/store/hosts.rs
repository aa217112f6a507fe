//! The addresses of one database: its primary and its standbys, in the order of the URL.

use std::{
    cmp::max,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::{ClientWrapper, Connect};
use futures_util::{FutureExt as _, future::BoxFuture};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Error,
    config::{Host, TargetSessionAttrs},
};

use super::tls::Opener;
use crate::{
    config::{Database, Target},
    error::ApiError,
};

/// The servers of one database, and with which the next connection is tried first.
///
/// The driver would try them in the same order each time, with a time limit for TCP only: a server
/// that accepts and never answers would be tried first for ever.
#[derive(Debug)]
pub struct Hosts {
    servers: Vec<Server>,
    first: AtomicUsize,
    opener: Opener,
    prefers_standby: bool,
    guards: Option<String>,
}

#[derive(Debug)]
struct Server {
    name: String,
    config: Config,
}

/// A session with one of the servers.
#[derive(Debug)]
pub struct Connected {
    /// The session.
    pub client: ClientWrapper,
    /// Which of the servers.
    pub index: usize,
}

impl Hosts {
    /// Reads the URL; `name` is shown in `pg_stat_activity`.
    ///
    /// # Errors
    ///
    /// When the URL, or the file of authorities, cannot be read.
    pub fn new(settings: &Database, name: &str) -> Result<Self, ApiError> {
        let common: Config = settings.url.parse()?;
        let guards = guards(settings);
        let servers = split(&common).ok_or_else(|| {
            ApiError::backend("storage_url: as many ports as hosts, or one, are needed")
        })?;
        let servers = servers.into_iter().map(|mut server| {
            let config = &mut server.config;
            if !settings.transaction_pooling {
                let options: Vec<String> =
                    guards.iter().map(|(key, value)| format!("-c {key}={value}")).collect();
                let own = common.get_options().unwrap_or_default();
                config.options(format!("{} {own}", options.join(" ")));
            }
            config
                .application_name(name)
                .connect_timeout(settings.connect_timeout)
                .tcp_user_timeout(settings.statement_timeout + Duration::from_secs(5))
                .keepalives_idle(Duration::from_secs(30))
                .target_session_attrs(match settings.target {
                    Target::Any | Target::PreferStandby => TargetSessionAttrs::Any,
                    Target::ReadWrite => TargetSessionAttrs::ReadWrite,
                    Target::ReadOnly => TargetSessionAttrs::ReadOnly,
                });
            server
        });
        let local = || {
            let set = guards.iter().map(|(key, value)| format!("set local {key} = '{value}'"));
            set.collect::<Vec<_>>().join("; ")
        };
        Ok(Self {
            servers: servers.collect(),
            first: AtomicUsize::new(0),
            opener: Opener::new(&common, settings)?,
            prefers_standby: settings.target == Target::PreferStandby,
            guards: settings.transaction_pooling.then(local),
        })
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Never: a URL names a host.
    pub fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether a standby is better than the primary.
    pub fn prefers_standby(&self) -> bool {
        self.prefers_standby
    }

    /// What a transaction must set first, where a session cannot have it from its start.
    pub fn guards(&self) -> Option<&str> {
        self.guards.as_deref()
    }

    /// A server as `host:port`.
    pub fn name(&self, index: usize) -> &str {
        self.servers.get(index).map_or("", |server| &server.name)
    }

    /// The server that the next connection is tried with.
    pub fn first(&self) -> usize {
        self.first.load(Ordering::Relaxed)
    }

    /// New connections are tried here first.
    pub fn prefer(&self, index: usize) {
        self.first.store(index % max(1, self.len()), Ordering::Relaxed);
    }

    /// After `index` failed: the next one comes first, unless that has been decided already.
    pub fn avoid(&self, index: usize) {
        let next = (index + 1) % max(1, self.len());
        let _ = self.first.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Connects to one server. A server that accepts and says nothing is given up in time, too.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn connect_to(&self, index: usize) -> Result<Connected, Error> {
        let (client, task) = self.open(index).await?;
        Ok(Connected { client: ClientWrapper::new(client, task), index })
    }

    async fn open(&self, index: usize) -> Result<(Client, JoinHandle<()>), Error> {
        // Without any host, the driver's own error.
        let nowhere = Config::new();
        let config = self.servers.get(index).map_or(&nowhere, |server| &server.config);
        self.opener.open(config).await
    }

    /// Connects to the first server that will do.
    async fn open_any(&self) -> Result<(Client, JoinHandle<()>), Error> {
        let first = self.first();
        for step in 1..self.len() {
            let index = (first + step - 1) % self.len();
            match self.open(index).await {
                Ok(opened) => {
                    self.prefer(index);
                    return Ok(opened);
                }
                Err(error) => {
                    tracing::debug!(address = self.name(index), %error, "the next is tried");
                }
            }
        }
        let last = (first + self.len().saturating_sub(1)) % max(1, self.len());
        let opened = self.open(last).await?;
        self.prefer(last);
        Ok(opened)
    }
}

/// Connects a pool.
pub(super) struct PoolConnect(pub(super) Arc<Hosts>);

impl Connect for PoolConnect {
    fn connect(&self, _: &Config) -> BoxFuture<'_, Result<(Client, JoinHandle<()>), Error>> {
        self.0.open_any().boxed()
    }
}

/// What every session has, so that nothing waits without bound.
fn guards(settings: &Database) -> [(&'static str, String); 7] {
    let (statement, lock) = (settings.statement_timeout, settings.lock_timeout);
    // Planning a look-up takes longer than the look-up: a prepared statement is planned once.
    // PostgreSQL keeps a statement's plan. One made while a table was empty, without statistics,
    // would read the whole table when it is full: only where there is no index may it do so. Such
    // a plan seems so dear that PostgreSQL would compile it, for seconds: our statements are short.
    [
        ("statement_timeout", statement.as_millis().to_string()),
        ("lock_timeout", lock.as_millis().to_string()),
        ("idle_in_transaction_session_timeout", (statement * 2).as_millis().to_string()),
        ("timezone", "UTC".to_owned()),
        ("enable_seqscan", "off".to_owned()),
        ("jit", "off".to_owned()),
        ("plan_cache_mode", "force_generic_plan".to_owned()),
    ]
}

/// One configuration for each host; `None` when ports and hosts do not match.
fn split(common: &Config) -> Option<Vec<Server>> {
    let (hosts, addresses, ports) =
        (common.get_hosts(), common.get_hostaddrs(), common.get_ports());
    let count = max(hosts.len(), addresses.len());
    let fits = |len: usize| len <= 1 || len == count;
    if !fits(ports.len()) || (!hosts.is_empty() && !addresses.is_empty() && hosts.len() != count) {
        return None;
    }
    let servers = (0..count).map(|index| {
        let mut config = copy(common);
        let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
        config.port(port);
        let mut name = String::new();
        match hosts.get(index) {
            Some(Host::Tcp(host)) => {
                config.host(host);
                name = format!("{host}:{port}");
            }
            Some(Host::Unix(path)) => {
                config.host_path(path);
                name = format!("{}:{port}", path.display());
            }
            None => {}
        }
        if let Some(address) = addresses.get(index) {
            config.hostaddr(*address);
            if name.is_empty() {
                name = format!("{address}:{port}");
            }
        }
        Server { name, config }
    });
    Some(servers.collect())
}

/// Everything but the hosts.
fn copy(common: &Config) -> Config {
    let mut config = Config::new();
    if let Some(user) = common.get_user() {
        config.user(user);
    }
    if let Some(password) = common.get_password() {
        config.password(password);
    }
    if let Some(name) = common.get_dbname() {
        config.dbname(name);
    }
    if let Some(interval) = common.get_keepalives_interval() {
        config.keepalives_interval(interval);
    }
    if let Some(retries) = common.get_keepalives_retries() {
        config.keepalives_retries(retries);
    }
    config
        .ssl_mode(common.get_ssl_mode())
        .ssl_negotiation(common.get_ssl_negotiation())
        .keepalives(common.get_keepalives())
        .channel_binding(common.get_channel_binding());
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(url: &str) -> Result<Hosts, ApiError> {
        let settings = Database {
            url: url.to_owned(),
            target: Target::Any,
            transaction_pooling: false,
            probe: Duration::from_secs(1),
            pool_size: 1,
            connect_timeout: Duration::from_millis(100),
            statement_timeout: Duration::from_secs(1),
            lock_timeout: Duration::from_secs(1),
            authorities: None,
        };
        Hosts::new(&settings, "test")
    }

    #[test]
    fn a_url_with_several_hosts_is_as_many_servers() {
        let both = hosts("postgresql://u:p@a:1,b:2/d").unwrap();

        assert_eq!((both.len(), both.name(0), both.name(1)), (2, "a:1", "b:2"));
        assert_eq!(both.servers[1].config.get_password(), Some(&b"p"[..]));
        assert_eq!(both.servers[1].config.get_hosts().len(), 1);
        assert_eq!(
            hosts("postgresql://u@a,b:7/d").map(|two| two.name(0).to_owned()).unwrap(),
            "a:5432"
        );
        assert!(hosts("host=a,b,c port=1,2").is_err(), "three hosts, two ports");
        assert_eq!(hosts("host=a,b port=7").unwrap().name(1), "b:7");
    }

    #[test]
    fn the_next_server_comes_first_after_a_failure() {
        let three = hosts("host=a,b,c").unwrap();

        three.avoid(0);
        three.avoid(0);
        assert_eq!(three.first(), 1, "two who saw the same failure move one step");
        three.avoid(1);
        three.avoid(2);
        assert_eq!(three.first(), 0);
    }

    #[tokio::test]
    async fn a_server_that_accepts_and_says_nothing_is_given_up() {
        let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = mute.local_addr().unwrap().port();
        let one = hosts(&format!("postgresql://u@127.0.0.1:{port}/d")).unwrap();

        let start = std::time::Instant::now();
        assert!(one.connect_to(0).await.is_err());
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
}
