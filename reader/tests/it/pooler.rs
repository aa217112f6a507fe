//! A real PgBouncer in transaction mode, where each transaction may have another session.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::StatusCode;
use serde_json::json;
use tokio::time::sleep;

use crate::fixture::{Database, Reader, changeset};

const OFF: (&str, &str) = ("signature.verify", "off");
const POOLED: (&str, &str) = ("storage_transaction_pooling", "true");
const T: i64 = 1_700_000_000_000;

/// A pooler with one session to the test's database; ends with the value.
struct Pooler {
    child: Child,
    url: String,
    directory: PathBuf,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Pooler {
    /// `None`, with a message, where PgBouncer is not installed.
    async fn start(database: &Database) -> Option<Self> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let Some(program) = program.into_iter().find(|path| path.exists()) else {
            eprintln!("skipped: PgBouncer is not installed (Debian's package `pgbouncer`)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let name = format!("countersign-pgbouncer-{}-{port}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let config: tokio_postgres::Config =
            database.test.url("countersign_reader").parse().unwrap();
        let server = match &config.get_hosts()[0] {
            tokio_postgres::config::Host::Tcp(host) => host.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        };
        let server_port = config.get_ports().first().copied().unwrap_or(5432);
        let (users, file) = (directory.join("users"), directory.join("pgbouncer.ini"));
        fs::write(&users, "\"countersign_reader\" \"\"\n").unwrap();
        let text = format!(
            "[databases]\n* = host={server} port={server_port}\n[pgbouncer]\n\
             listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\n",
            users.display()
        );
        fs::write(&file, text).unwrap();
        let mut command = Command::new(program);
        if is_root() {
            // It refuses to run as root, and must reach the server's socket.
            let users = fs::read_to_string("/etc/passwd").unwrap();
            let has_user = users.lines().any(|line| line.starts_with("postgres:"));
            command.arg(if has_user { "--user=postgres" } else { "--user=nobody" });
        }
        let child = command
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..500 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        let name = config.get_dbname().unwrap();
        let url = format!("postgresql://countersign_reader@127.0.0.1:{port}/{name}");
        Some(Self { child, url, directory })
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[tokio::test]
async fn readers_share_one_session_of_a_pooler() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T).await;
    database.publish(T).await;
    let Some(pooler) = Pooler::start(&database).await else { return };

    // All of them through one session: a prepared statement of one would meet those of another.
    let mut readers = Vec::new();
    for _ in 0..3 {
        readers.push(Reader::start(&pooler.url, &[OFF, POOLED]).await);
    }
    for step in 1..30 {
        let stamp = T + step;
        database.collection("cfr", stamp, &json!({}), stamp).await;
        database.publish(stamp).await;
        for reader in &readers {
            let path = changeset("cfr", "_expected=0");
            reader.until(&path, |got| got.status == 200 && got.json()["timestamp"] == stamp).await;
        }
    }
    let sessions = "select count(*) from pg_stat_activity
                    where datname = current_database() and usename = 'countersign_reader'";
    let count: i64 = database.owner.query_one(sessions, &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    for reader in &readers {
        let metrics = String::from_utf8(reader.get("/v1/__metrics__").await.body.to_vec()).unwrap();
        assert!(metrics.contains("countersign_storage_errors_total 0"), "{metrics}");
    }
}

#[tokio::test]
async fn what_is_not_published_is_read_through_a_pooler_too() {
    let database = Database::create().await;
    database
        .run(
            "insert into bucket (bucket_id, id, last_modified, data)
                 values ('other', 'other', 2, '{}');
             insert into collection (bucket_id, id, last_modified, data)
                 values ('other', 'open', 3, '{}'), ('other', 'shut', 4, '{}');
             insert into record (bucket_id, collection_id, id, last_modified, data)
                 values ('other', 'open', 'r', 5, '{\"title\": \"x\"}'),
                        ('other', 'shut', 's', 6, '{}');
             insert into resource_timestamp values ('other', 'open', 'record', 5);
             insert into ace values
                 ('other', '/buckets/other/collections/open', 'read', 'system.Everyone'),
                 ('other', '/buckets/other/collections/shut/records/s', 'read',
                  'system.Everyone')",
        )
        .await;
    database.publish(T).await;
    let Some(pooler) = Pooler::start(&database).await else { return };
    let mut readers = Vec::new();
    for _ in 0..3 {
        let settings = [OFF, POOLED, ("database_reads.keep_ms", "1")];
        let reader = Reader::start(&pooler.url, &settings).await;
        reader.until("/v1/__heartbeat__", |got| got.status == StatusCode::OK).await;
        readers.push(reader);
    }

    let other = "/v1/buckets/other/collections";
    for round in 0..5 {
        for reader in &readers {
            for (path, expected) in [
                ("/v1/buckets".to_owned(), 1),
                ("/v1/buckets/main".to_owned(), 0),
                (other.to_owned(), 1),
                (format!("{other}/open"), 0),
                (format!("{other}/open/records"), 1),
                (format!("{other}/open/records/r"), 0),
                (format!("{other}/shut/records"), 1),
                (format!("{other}/shut/records/s"), 0),
            ] {
                let got = reader.get(&path).await;
                assert_eq!(got.status, StatusCode::OK, "{round} {path}: {:?}", got.json());
                let data = &got.json()["data"];
                let count = data.as_array().map_or(0, Vec::len);
                assert_eq!(count, expected, "{path}: {data}");
            }
        }
    }
}

#[tokio::test]
async fn the_bounds_of_a_session_are_those_of_a_transaction_behind_a_pooler() {
    let database = Database::create().await;
    let Some(pooler) = Pooler::start(&database).await else { return };
    let settings = shared::config::Database {
        url: pooler.url.clone(),
        transaction_pooling: true,
        statement_timeout: Duration::from_millis(300),
        ..database.test.settings("countersign_reader")
    };
    let hosts = shared::store::Hosts::new(&settings, "test").unwrap();
    let mut connected = hosts.connect_to(0).await.unwrap();

    let tx = shared::store::Tx::reading(&mut connected.client).guarded(hosts.guards());
    tx.begin().await.unwrap();
    let error = tx.batch_execute("select pg_sleep(5)").await.unwrap_err();

    assert_eq!(error.code(), Some(&tokio_postgres::error::SqlState::QUERY_CANCELED));
}

#[tokio::test]
async fn a_pooler_that_was_not_told_of_is_an_error_and_no_wrong_answer() {
    let database = Database::create().await;
    database.publish(T).await;
    let Some(pooler) = Pooler::start(&database).await else { return };

    let reader = Reader::start(&pooler.url, &[OFF]).await;

    sleep(Duration::from_millis(500)).await;
    let heartbeat = reader.get("/v1/__heartbeat__").await;
    assert_eq!(heartbeat.status, StatusCode::SERVICE_UNAVAILABLE);
}
