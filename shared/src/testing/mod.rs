//! Databases and clients for tests: each test has a database of its own, a copy of a migrated
//! template.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot start has failed")]

mod client;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use deadpool_postgres::Pool;
use tokio_postgres::{Client, NoTls};

pub use self::client::{TestClient, TestReply};
use crate::{
    config::{Database, Target},
    store,
};

/// A migrated database of one test, dropped with the cluster.
#[derive(Debug)]
pub struct TestDatabase {
    name: String,
}

impl TestDatabase {
    /// Copies the template, which the first test of a run builds.
    pub async fn create() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let admin = connect("postgres", None).await;
        let template = format!("template_{}", store::migrate::fingerprint());
        build_template(&admin, &template).await;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{}_{number}", std::process::id());
        admin.batch_execute(&format!("drop database if exists {name} with (force)")).await.unwrap();
        let copy = format!("create database {name} template {template} strategy file_copy");
        admin.batch_execute(&copy).await.unwrap();
        Self { name }
    }

    /// The URL for `role`: `countersign_writer`, `countersign_reader` or `countersign_owner`.
    pub fn url(&self, role: &str) -> String {
        format!("{}/{}", server(Some(role)), self.name)
    }

    /// Settings for `role`.
    pub fn settings(&self, role: &str) -> Database {
        Database {
            url: self.url(role),
            target: Target::Any,
            transaction_pooling: false,
            probe: Duration::from_secs(30),
            pool_size: 10,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
            lock_timeout: Duration::from_secs(10),
            authorities: None,
        }
    }

    /// A pool for `role`.
    pub fn pool(&self, role: &str) -> Pool {
        store::pool(&self.settings(role), "test").unwrap()
    }

    /// A connection as the owner of everything.
    pub async fn owner(&self) -> Client {
        connect(&self.name, None).await
    }
}

/// Several test processes start at once: one builds, the others wait.
async fn build_template(admin: &Client, template: &str) {
    admin.batch_execute("select pg_advisory_lock(77)").await.unwrap();
    let exists = "select from pg_database where datname = $1";
    if admin.query_opt(exists, &[&template]).await.unwrap().is_none() {
        let building = format!("{template}_new");
        let start = format!("drop database if exists {building} with (force)");
        admin.batch_execute(&start).await.unwrap();
        admin.batch_execute(&format!("create database {building}")).await.unwrap();
        let mut client = connect(&building, None).await;
        store::migrate::migrate(&mut client).await.unwrap();
        drop(client);
        // The connection closes a moment after its client.
        let rename = format!("alter database {building} rename to {template}");
        while admin.batch_execute(&rename).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    admin.batch_execute("select pg_advisory_unlock(77)").await.unwrap();
}

async fn connect(database: &str, role: Option<&str>) -> Client {
    let url = format!("{}/{database}", server(role));
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The server's URL, without database; with another user when `role` is given.
#[expect(clippy::disallowed_methods, reason = "the test run's cluster is told by the environment")]
fn server(role: Option<&str>) -> String {
    let url = std::env::var("TEST_DATABASE_URL")
        .expect("TEST_DATABASE_URL is not set: run the tests with `make test`");
    let (server, _database) = url.rsplit_once('/').unwrap();
    match role {
        None => server.to_owned(),
        Some(role) => {
            let (_, host) = server.split_once('@').unwrap();
            format!("postgresql://{role}@{host}")
        }
    }
}
