//! The load generator on a real reader: what it reports of a short run.

use std::{process::Output, time::Duration};

use serde_json::Value;
use tokio::{process::Command, time::timeout};

use crate::pair::Pair;

/// Runs `countersign-load open`, and returns what it ended with and what it found.
async fn open(pair: &Pair, scenario: &str, options: &[&str]) -> (Output, Value) {
    let target = format!("http://{}/v1", pair.reader.address());
    let directory = std::env::temp_dir();
    let id = uuid::Uuid::new_v4();
    let [json, html] = ["json", "html"].map(|kind| directory.join(format!("load-{id}.{kind}")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-load"));
    command.args(["open", scenario, "--target", &target]).args(options);
    command.arg("--json").arg(&json).arg("--html").arg(&html).kill_on_drop(true);
    let output = timeout(Duration::from_mins(1), command.output()).await.unwrap().unwrap();
    let result = std::fs::read(&json).unwrap_or_default();
    let page = std::fs::read_to_string(&html).unwrap_or_default();
    assert_eq!(page.matches("<svg ").count(), 3, "{}", String::from_utf8_lossy(&output.stderr));
    for file in [json, html] {
        let _ = std::fs::remove_file(file);
    }
    (output, serde_json::from_slice(&result).unwrap_or_default())
}

async fn published() -> Pair {
    let pair = Pair::start(&[]).await;
    for collection in ["a", "b"] {
        pair.publish(collection, "one").await;
        // A second record: a client can lack one, and have the other.
        let path = format!("/buckets/work/collections/{collection}/records/other");
        pair.writer.put(&path, serde_json::json!({"title": "two"})).await.expect(201);
        pair.publish(collection, "three").await;
    }
    pair
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_is_answered_and_all_that_it_checks_verifies() {
    let pair = published().await;
    let options = ["--rate", "100", "--duration", "2", "--arrivals", "constant", "--verify", "100"];
    let (output, result) = open(&pair, "fleet", &options).await;

    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let run = &result[0];
    assert_eq!((&run["arrivals"], &run["failed"]), (&200.into(), &0.into()), "{run}");
    // A client that was told of something asks twice.
    let answered = run["answered"].as_u64().unwrap();
    assert!((201..300).contains(&answered), "{run}");
    assert_eq!(run["answers"], serde_json::json!({"200": answered}));
    let verified = run["checks"]["verified"].as_u64().unwrap();
    let skipped = run["checks"]["skipped"].as_u64().unwrap();
    assert_eq!(verified + skipped, answered);
    assert!(verified > 100, "{run}");
    let kinds: Vec<&str> =
        run["rows"].as_array().unwrap().iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(kinds, ["all", "monitor", "changeset", "delta", "whole visit"]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(table.contains("| monitor "), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_by_another_key_fails_the_run() {
    let pair = published().await;
    let other = std::env::temp_dir().join(format!("load-key-{}", uuid::Uuid::new_v4()));
    writer::signer::generate(&other).unwrap();
    let key = other.join("public-key.pem");
    let options = [
        "--rate",
        "50",
        "--duration",
        "1",
        "--verify",
        "100",
        "--public-key",
        key.to_str().unwrap(),
    ];
    let (output, result) = open(&pair, "deltas", &options).await;
    let _ = std::fs::remove_dir_all(other);

    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no signature is good"));
    assert!(!result[0]["checks"]["violations"].as_array().unwrap().is_empty());
}
