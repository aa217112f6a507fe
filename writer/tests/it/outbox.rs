//! Delivery, whatever happens at the other end or to the writer (`remote-settings.md` §8, D26).

use std::{
    net::SocketAddr,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use shared::testing::{TestClient, TestDatabase};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{
    harness::Harness,
    process::run_unread,
    receivers::{Endpoint, eventually},
};

const RECORDS: &str = "/buckets/b/collections/c/records";
const SECRET: &str = "0123456789abcdef";

/// Settings for a webhook `name` that gets all that is written below `/buckets/b`.
fn webhook(name: &str, url: &str) -> Vec<(String, String)> {
    let key = |member: &str| format!("webhook.{name}.{member}");
    vec![
        (key("url"), url.to_owned()),
        (key("secret"), SECRET.to_owned()),
        (key("resources"), "/buckets/b".to_owned()),
        (key("resource_name"), "record".to_owned()),
    ]
}

pub(crate) fn quick(names: &str) -> Vec<(String, String)> {
    [
        ("notifications.webhooks", names),
        ("outgoing.allowed_hosts", "127.0.0.1"),
        ("outbox.poll_ms", "50"),
        ("outbox.retry_min_ms", "20"),
        ("outbox.retry_max_seconds", "1"),
        ("outbox.max_attempts", "3"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .to_vec()
}

pub(crate) fn pairs(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect()
}

/// A writer with `/buckets/b/collections/c`, and these webhooks.
async fn start(webhooks: &[(&str, String)], more: &[(&str, &str)]) -> Harness {
    let names: Vec<&str> = webhooks.iter().map(|(name, _)| *name).collect();
    let mut settings = quick(&names.join(" "));
    for (name, url) in webhooks {
        settings.extend(webhook(name, url));
    }
    let mut settings = pairs(&settings);
    settings.extend(more);
    let harness = Harness::with(&settings).await;
    set_up(&harness.alice).await;
    harness
}

async fn set_up(alice: &TestClient) {
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
}

pub(crate) async fn write(alice: &TestClient, id: &str) {
    alice.put(&format!("{RECORDS}/{id}"), json!({})).await.expect(201);
}

/// `(attempts, dead, error)` of what is in the outbox.
pub(crate) async fn entries(database: &TestDatabase) -> Vec<(i32, bool, String)> {
    let sql =
        "select attempts, dead_at is not null, coalesce(last_error, '') from outbox order by id";
    let rows = database.owner().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

pub(crate) async fn until_empty(database: &TestDatabase) {
    eventually("an empty outbox", async || entries(database).await.is_empty().then_some(())).await;
}

pub(crate) async fn until_dead(database: &TestDatabase) -> (i32, bool, String) {
    let dead = async || entries(database).await.pop().filter(|entry| entry.1);
    eventually("a dead letter", dead).await
}

#[tokio::test]
async fn an_event_is_signed_and_delivered_once() {
    let endpoint = Endpoint::start().await;
    let harness = start(&[("ci", endpoint.url("/ok"))], &[]).await;

    write(&harness.alice, "r").await;
    let got = endpoint.wait("/ok", 1).await.remove(0);
    until_empty(&harness.database).await;

    let (id, time) = (got.header("webhook-id"), got.header("webhook-timestamp"));
    let body = std::str::from_utf8(&got.body).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let signature = got.header("webhook-signature").strip_prefix("v1,").unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    hmac::verify(&key, format!("{id}.{time}.{body}").as_bytes(), &signature).unwrap();
    assert_eq!(got.json()["data"]["uri"], format!("{RECORDS}/r"));
    assert_eq!(endpoint.got("/ok").len(), 1);
    let metrics = harness.anonymous.get("/__metrics__").await;
    let text = String::from_utf8(metrics.bytes.to_vec()).unwrap();
    let line = "countersign_outbox_attempts_total{kind=\"webhook\",result=\"delivered\"} 1";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn what_fails_is_repeated_with_its_id() {
    let endpoint = Endpoint::start().await;
    let harness = start(&[("ci", endpoint.url("/once/500"))], &[]).await;

    write(&harness.alice, "r").await;
    let got = endpoint.wait("/once/500", 2).await;
    until_empty(&harness.database).await;

    assert_eq!(got[0].header("webhook-id"), got[1].header("webhook-id"));
    assert_eq!(got[0].body, got[1].body);
    assert_eq!(endpoint.got("/once/500").len(), 2);
}

#[tokio::test]
async fn what_is_given_up_waits_for_an_operator() {
    // Nobody listens there, until the operator has repaired it.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/ok");
    let harness = start(&[("ci", url.clone())], &[]).await;
    write(&harness.alice, "r").await;
    write(&harness.alice, "s").await;
    let (attempts, _, error) = until_dead(&harness.database).await;
    assert_eq!(attempts, 3);
    assert!(error.to_lowercase().contains("refused") && !error.contains("/ok"), "{error}");
    let all_dead = async || entries(&harness.database).await.iter().all(|e| e.1).then_some(());
    eventually("both dead", all_dead).await;

    let list = outbox(&harness.database, &["list", "--dead", "--json"]);
    let lines: Vec<Value> =
        text(&list).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["target"], "webhook.ci");
    let mut full = command(&harness.database, &["list", "--json"]);
    full.stdout(std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    assert_eq!(full.status().unwrap().code(), Some(1), "not all of it was printed");
    let unread = run_unread(command(&harness.database, &["list", "--json"]));
    assert_eq!(unread, (0, String::new()), "nobody reads it");
    let (first, second) = (lines[0]["id"].as_str().unwrap(), lines[1]["id"].as_str().unwrap());
    let endpoint = Endpoint::at(TcpListener::bind(address).await.unwrap());
    assert_eq!(text(&outbox(&harness.database, &["retry", first])), "1 to be delivered\n");
    let got = endpoint.wait("/ok", 1).await;
    assert_eq!(got[0].header("webhook-id"), first);

    assert_eq!(text(&outbox(&harness.database, &["drop", second])), "1 dropped\n");
    assert!(!outbox(&harness.database, &["drop", second]).status.success(), "it is gone");
    assert_eq!(text(&outbox(&harness.database, &["list"])), "");
    assert_eq!(outbox(&harness.database, &["retry"]).status.code(), Some(2), "which?");
}

/// `countersign-writer outbox …`
pub(crate) fn outbox(database: &TestDatabase, arguments: &[&str]) -> Output {
    command(database, arguments).output().unwrap()
}

fn command(database: &TestDatabase, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-writer"));
    command
        .arg("outbox")
        .args(arguments)
        .env("COUNTERSIGN_STORAGE_URL", database.url("countersign_writer"));
    command
}

fn text(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[tokio::test]
async fn an_endpoint_that_hangs_delays_nobody_else() {
    let endpoint = Endpoint::start().await;
    let webhooks = [("slow", endpoint.url("/hang")), ("ci", endpoint.url("/ok"))];
    let harness = start(&webhooks, &[("storage_pool_size", "4")]).await;

    let written = async {
        for number in 0..30 {
            write(&harness.alice, &format!("r{number}")).await;
        }
        endpoint.wait("/ok", 30).await
    };
    // The slow one takes 30 s for each; all others are done in the meantime.
    let got = tokio::time::timeout(Duration::from_secs(20), written).await.unwrap();

    assert_eq!(got.len(), 30);
    assert_eq!(endpoint.got("/hang").len(), 1, "one at a time");
    assert_eq!(entries(&harness.database).await.len(), 30, "the slow one's wait");
}

#[tokio::test]
async fn several_writers_deliver_each_entry_once() {
    let endpoint = Endpoint::start().await;
    let harness = start(&[("ci", endpoint.url("/ok"))], &[]).await;
    let mut settings = quick("ci");
    settings.extend(webhook("ci", &endpoint.url("/ok")));
    let second = harness.again(&pairs(&settings)).await.as_user("alice");
    let third = harness.again(&pairs(&settings)).await.as_user("alice");

    let clients = [harness.alice.clone(), second, third];
    let tasks = clients.into_iter().enumerate().map(|(number, client)| async move {
        for id in 0..40 {
            write(&client, &format!("r{number}-{id}")).await;
        }
    });
    futures_util::future::join_all(tasks).await;
    endpoint.wait("/ok", 120).await;
    until_empty(&harness.database).await;

    let got = endpoint.got("/ok");
    let ids: std::collections::HashSet<&str> =
        got.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!((got.len(), ids.len()), (120, 120));
}

#[tokio::test]
async fn private_addresses_and_redirects_are_not_called() {
    let endpoint = Endpoint::start().await;
    let port = endpoint.address.port();
    let settings = [("outgoing.allowed_hosts", "127.0.0.1"), ("outbox.max_attempts", "1")];
    for (url, told) in [
        (format!("https://localhost:{port}/ok"), "no public address"),
        (format!("https://[::1]:{port}/ok"), "not to be called"),
        (format!("https://169.254.169.254:{port}/ok"), "not to be called"),
        (endpoint.url("/302"), "answered 302"),
    ] {
        let harness = start(&[("ci", url.clone())], &settings).await;
        write(&harness.alice, "r").await;

        let (_, _, error) = until_dead(&harness.database).await;

        assert!(error.contains(told), "{url}: {error}");
    }
    assert!(endpoint.got("/ok").is_empty());
}

/// A writer as a process, which ends with its test.
pub(crate) struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start(
        database: &TestDatabase,
        settings: &[(&str, &str)],
    ) -> (Self, TestClient) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        drop(listener);
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-writer"));
        command
            .args(["serve", "--listen", &address.to_string()])
            .env("COUNTERSIGN_STORAGE_URL", database.url("countersign_writer"))
            .env("COUNTERSIGN_MULTIAUTH_POLICIES", "basicauth")
            .env("COUNTERSIGN_LOG_LEVEL", "error")
            .stderr(Stdio::null())
            .stdout(Stdio::null());
        for (key, value) in settings {
            if key.chars().all(|c| c.is_uppercase() || c == '_') {
                command.env(key, value);
            } else {
                let name = key.to_uppercase().replace(['.', '-'], "_");
                command.env(format!("COUNTERSIGN_{name}"), value);
            }
        }
        let running = Self(command.spawn().unwrap());
        let answers = async || TcpStream::connect(address).await.ok().map(drop);
        eventually("the writer answers", answers).await;
        (running, TestClient::new(address).as_user("alice"))
    }
}

#[tokio::test]
async fn a_kill_between_commit_and_delivery_loses_nothing() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start().await;
    let settings = |path: &str| {
        let mut settings = quick("ci");
        settings.extend(webhook("ci", &endpoint.url(path)));
        settings.push(("outbox.timeout_seconds".to_owned(), "1".to_owned()));
        // The hanging one, at most once before the kill.
        settings.push(("outbox.max_attempts".to_owned(), "100".to_owned()));
        settings
    };
    let hanging = settings("/hang");
    let (mut first, alice) = Running::start(&database, &pairs(&hanging)).await;
    set_up(&alice).await;
    write(&alice, "r1").await;
    let taken = endpoint.wait("/hang", 1).await.remove(0);
    write(&alice, "r2").await;
    // One is under way, the other was not tried.
    first.0.kill().unwrap();
    first.0.wait().unwrap();
    assert_eq!(entries(&database).await.len(), 2);

    let good = settings("/ok");
    let (_second, _) = Running::start(&database, &pairs(&good)).await;
    let got = endpoint.wait("/ok", 2).await;
    until_empty(&database).await;

    let mut uris: Vec<Value> = got.iter().map(|one| one.json()["data"]["uri"].clone()).collect();
    uris.sort_by_key(Value::to_string);
    assert_eq!(uris, [format!("{RECORDS}/r1"), format!("{RECORDS}/r2")]);
    let repeated = got.iter().find(|one| one.body == taken.body).unwrap();
    assert_eq!(repeated.header("webhook-id"), taken.header("webhook-id"));
    assert_eq!(endpoint.got("/ok").len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_deliveries_under_way_end() {
    let database = TestDatabase::create().await;
    let endpoint = Endpoint::start().await;
    let mut settings = quick("ci");
    settings.extend(webhook("ci", &endpoint.url("/ok")));
    let (mut running, alice) = Running::start(&database, &pairs(&settings)).await;
    set_up(&alice).await;
    for number in 0..20 {
        write(&alice, &format!("r{number}")).await;
    }

    let pid = running.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let status = running.0.wait().unwrap();

    assert!(status.success(), "{status}");
    let left = entries(&database).await;
    assert!(
        left.iter().all(|(attempts, ..)| *attempts == 0),
        "nothing was left half-way: {left:?}"
    );
    assert_eq!(endpoint.got("/ok").len() + left.len(), 20);
}

#[tokio::test]
async fn nobody_listens_nothing_is_written() {
    let harness = start(&[], &[("includes", "kinto_slack kinto_emailer")]).await;
    write(&harness.alice, "r").await;

    sleep(Duration::from_millis(100)).await;

    let sql = "select n_tup_ins from pg_stat_user_tables where relname = 'outbox'";
    let row = harness.database.owner().await.query_one(sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
    assert!(entries(&harness.database).await.is_empty());
}
