//! The database goes away, and comes back.

use http::StatusCode;
use serde_json::json;
use tokio_postgres::NoTls;

use crate::fixture::{Database, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;
const HEARTBEAT: &str = "/v1/__heartbeat__";

#[tokio::test]
async fn what_was_loaded_is_served_without_the_database() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[OFF]).await;

    // The role belongs to the cluster, and other tests: only this database shuts its door.
    connections(&database, "false").await;
    let heartbeat = reader.until(HEARTBEAT, |got| got.json()["storage"] == false).await;

    assert_eq!(heartbeat.status, StatusCode::OK, "there is something to serve");
    assert_eq!(reader.get(&changeset("cfr", "_expected=0")).await.status, StatusCode::OK);
    assert_eq!(reader.get(&monitor("_expected=0")).await.status, StatusCode::OK);

    database.collection("cfr", T + 1, &json!({}), T + 1).await;
    database.publish(T + 1).await;
    connections(&database, "true").await;
    reader.until(&changeset("cfr", "_expected=0"), |got| got.json()["timestamp"] == T + 1).await;
    reader.until(HEARTBEAT, |got| got.json()["storage"] == true).await;
}

#[tokio::test]
async fn a_reader_that_never_saw_its_database_says_so_and_redirects_still() {
    let nobody = "postgresql://countersign_reader@127.0.0.1:9/none";
    let reader = Reader::start(nobody, &[OFF]).await;

    for path in [changeset("cfr", "_expected=0"), monitor("_expected=0"), HEARTBEAT.to_owned()] {
        let got = reader.get(&path).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(got.header("retry-after"), Some("30"));
        assert_eq!(got.header("cache-control"), Some("no-store"));
    }
    let redirect = reader.get(&monitor("_expected=1&_since=0")).await;
    assert_eq!(redirect.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(redirect.header("location"), Some(monitor("_expected=1").as_str()));
    assert_eq!(reader.get("/v1/").await.status, StatusCode::OK);
    assert_eq!(reader.get("/v1/__lbheartbeat__").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_schema_of_another_version_is_not_served() {
    let database = Database::create().await;
    database.collection("cfr", T, &json!({}), T).await;
    database.publish(T).await;
    database
        .run("insert into schema_migration (version, name, checksum) values (99, '', '')")
        .await;
    let reader = Reader::start(&database.test.url("countersign_reader"), &[OFF]).await;

    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(reader.get(HEARTBEAT).await.status, StatusCode::SERVICE_UNAVAILABLE);

    database.run("delete from schema_migration where version = 99").await;
    reader.until(HEARTBEAT, |got| got.status == StatusCode::OK).await;
}

/// Lets the reader connect, or cuts and refuses its connections.
pub(crate) async fn connections(database: &Database, are_allowed: &str) {
    let url = database.test.url("countersign_owner");
    let (server, name) = url.rsplit_once('/').unwrap();
    let elsewhere = format!("{server}/postgres");
    let (admin, connection) = tokio_postgres::connect(&elsewhere, NoTls).await.unwrap();
    tokio::spawn(connection);
    let sql = format!("alter database {name} allow_connections {are_allowed}");
    admin.batch_execute(&sql).await.unwrap();
    database
        .run(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and usename = 'countersign_reader'",
        )
        .await;
}
