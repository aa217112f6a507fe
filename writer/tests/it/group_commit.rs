//! Writes that wait for the same list are committed together, and nobody can tell but by the time.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::harness::Harness;

const RECORDS: &str = "/buckets/b/collections/c/records";
const HOLD: &str = "
    begin;
    select from resource_timestamp
    where (bucket_id, collection_id, resource_name) = ('b', 'c', 'record') for update";

async fn with_history() -> Harness {
    let harness = Harness::with(&[("includes", "kinto.plugins.history")]).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    harness
}

/// Sends a mixture of requests while the list is locked, and returns their statuses by number.
///
/// Of four, one is good, one is refused by its body, one by the rights, and one by a precondition.
async fn send_all(harness: &Harness, count: usize) -> BTreeMap<usize, u16> {
    let owner = harness.database.owner().await;
    owner.batch_execute(HOLD).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..count {
        let (alice, bob) = (harness.alice.clone(), harness.bob.clone());
        tasks.spawn(async move {
            let (path, body) = (format!("{RECORDS}/r{n}"), json!({"data": {"n": n}}).to_string());
            let reply = match n % 4 {
                0 => alice.raw("PUT", &path, &[], body).await,
                1 => alice.raw("PUT", &path, &[], "{\"data\": 7}").await,
                2 => bob.raw("PUT", &path, &[], body).await,
                _ => alice.raw("PUT", &path, &[("if-match", "\"7\"")], body).await,
            };
            (n, reply.status)
        });
    }
    sleep(Duration::from_millis(500)).await;
    owner.batch_execute("rollback").await.unwrap();
    tasks.join_all().await.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_those_who_wait_gets_its_own_answer() {
    let harness = with_history().await;

    let statuses = timeout(Duration::from_secs(20), send_all(&harness, 40)).await.unwrap();

    let expected: BTreeMap<usize, u16> =
        (0..40).map(|n| (n, [201, 400, 403, 412][n % 4])).collect();
    assert_eq!(statuses, expected);
    harness.check_live_counts().await;
    let transactions = "select count(distinct xmin::text), count(*) from record";
    let row = harness.database.owner().await.query_one(transactions, &[]).await.unwrap();
    let (transactions, records): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(records, 10);
    assert!(transactions < 5, "{transactions} transactions for ten records that waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_of_them_leaves_its_own_history_in_the_order_of_the_list() {
    let harness = with_history().await;
    send_all(&harness, 40).await;

    let history = "/buckets/b/history?resource_name=record&_sort=last_modified";
    let history = harness.alice.get(history).await.expect(200).json;

    let entries = history["data"].as_array().unwrap();
    let times: Vec<i64> = entries
        .iter()
        .map(|entry| entry["target"]["data"]["last_modified"].as_i64().unwrap())
        .collect();
    assert_eq!(entries.len(), 10);
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
    assert!(entries.iter().all(|entry| entry["action"] == "create"));
}

/// A failure that ends a transaction is that of one of them: the others do not share it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_exceeds_a_quota_does_not_spoil_it_for_the_others() {
    let settings =
        [("includes", "kinto.plugins.quotas"), ("quotas.bucket_max_bytes_per_item", "300")];
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    let owner = harness.database.owner().await;
    owner.batch_execute(HOLD).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..12_usize {
        let alice = harness.alice.clone();
        let text = "x".repeat(if n == 5 { 500 } else { 5 });
        tasks.spawn(async move {
            (n, alice.put(&format!("{RECORDS}/r{n}"), json!({"text": text})).await.status)
        });
    }
    sleep(Duration::from_millis(500)).await;
    owner.batch_execute("rollback").await.unwrap();

    for (n, status) in tasks.join_all().await {
        assert_eq!(status, if n == 5 { 507 } else { 201 }, "{n}");
    }
    let stored = harness.alice.get(RECORDS).await.expect(200).json;
    assert_eq!(stored["data"].as_array().map(Vec::len), Some(11));
}

/// What was written by one is what the next one finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn they_see_what_the_former_ones_left() {
    let harness = with_history().await;
    let owner = harness.database.owner().await;
    owner.batch_execute(HOLD).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let body = json!({"data": {"n": n}}).to_string();
            let headers = [("if-none-match", "*")];
            let reply = alice.raw("PUT", &format!("{RECORDS}/r"), &headers, body).await;
            (reply.status, reply.json["data"]["n"].clone())
        });
    }
    sleep(Duration::from_millis(500)).await;
    owner.batch_execute("rollback").await.unwrap();
    let replies = tasks.join_all().await;

    let (created, refused): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|(status, _)| *status == 201);
    let stored = harness.alice.get(&format!("{RECORDS}/r")).await.expect(200).json;
    assert_eq!(created, [(201, stored["data"]["n"].clone())]);
    assert!(refused.iter().all(|(status, _)| *status == 412), "{refused:?}");
}
