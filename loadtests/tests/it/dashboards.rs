//! The dashboard and the alert rules of `deploy/` ask for metrics that the services export.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use serde_json::Value;
use shared::testing::TestClient;
use tokio::time::{sleep, timeout};

use crate::certified::{Certificates, Certified};

fn deploy(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(file);
    fs::read_to_string(path).unwrap()
}

/// The names of metrics in a query; of a histogram, its own.
fn names(query: &str, into: &mut BTreeSet<String>) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    for word in query.split(|c: char| !is_part(c)) {
        if word.starts_with("countersign_") || word.starts_with("process_") {
            into.insert(word.trim_end_matches("_bucket").to_owned());
        }
    }
}

/// All queries of a dashboard, wherever they are.
fn queries(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().filter(|_| name == "expr") {
                    Some(query) => names(query, into),
                    None => queries(member, into),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

async fn exported(client: &TestClient) -> BTreeSet<String> {
    let got = client.get("/__metrics__").await.expect(200);
    let text = std::str::from_utf8(&got.bytes).unwrap().to_owned();
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    typed.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect()
}

#[tokio::test]
async fn what_dashboards_and_alerts_ask_for_is_exported() {
    let certificates = Certificates::new();
    let servers = Certified::start(&certificates).await;
    servers.publish("hello").await;
    // A delivery, too: one whose receiver no setting names.
    let owner = servers.database.owner().await;
    let entry = "insert into outbox (id, kind, target, payload) values ('1', 'purge', 'x', '{}')";
    owner.execute(entry, &[]).await.unwrap();
    tokio::spawn(writer::outbox::run(servers.app.clone(), std::future::pending()));
    let attempted = async {
        let name = "countersign_outbox_attempts_total";
        while !exported(&servers.writer).await.contains(name) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(10), attempted).await.unwrap();

    let known: BTreeSet<String> =
        exported(&servers.reader).await.union(&exported(&servers.writer).await).cloned().collect();
    let (mut of_alerts, mut of_dashboard) = (BTreeSet::new(), BTreeSet::new());
    names(&deploy("prometheus/alerts.yml"), &mut of_alerts);
    let dashboard = serde_json::from_str(&deploy("grafana/countersign.json")).unwrap();
    queries(&dashboard, &mut of_dashboard);

    assert!(of_alerts.len() > 10 && of_dashboard.len() > 20, "{of_alerts:?} {of_dashboard:?}");
    let unknown: Vec<&String> =
        of_alerts.union(&of_dashboard).filter(|name| !known.contains(*name)).collect();
    assert!(unknown.is_empty(), "not exported: {unknown:?}, but {known:?}");
}
