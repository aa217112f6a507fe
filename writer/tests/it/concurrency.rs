//! Races that the locks must win (`docs/adr/0001-two-services-one-clock.md`).

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Harness, SOURCE};

const RECORDS: &str = "/buckets/b/collections/c/records";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_creators_wins() {
    let harness = Harness::with_collection().await;
    let mut tasks = JoinSet::new();
    for n in 0..20 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let body = json!({"data": {"n": n}}).to_string();
            let path = format!("{RECORDS}/r");
            alice.raw("PUT", &path, &[("if-none-match", "*")], body).await.status
        });
    }
    let statuses = tasks.join_all().await;

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 412].contains(status)));
}

/// A connection that has only read so far knows the statements that read, and not those that lock.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_of_many_creators_wins_on_connections_that_have_only_read() {
    let harness = Harness::with_collection().await;
    let ask = async |method: &'static str, headers: &'static [(&str, &str)]| {
        let mut tasks = JoinSet::new();
        for _ in 0..16 {
            let alice = harness.alice.clone();
            let path = format!("{RECORDS}/r");
            tasks.spawn(async move { alice.raw(method, &path, headers, "").await.status });
        }
        tasks.join_all().await
    };
    for _ in 0..5 {
        ask("GET", &[]).await;
    }

    let statuses = ask("PUT", &[("if-none-match", "*")]).await;

    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_queue_up_and_a_poller_misses_nothing() {
    let harness = Harness::with_collection().await;
    let mut tasks = JoinSet::new();
    for writer in 0..8 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let mut timestamps = Vec::new();
            for n in 0..25 {
                let path = format!("{RECORDS}/{}", (writer * 7 + n) % 40);
                let reply = if n % 5 == 4 {
                    alice.delete(&path).await
                } else {
                    alice.put(&path, json!({"n": n})).await
                };
                assert!([200, 201, 404].contains(&reply.status), "{}", reply.json);
                timestamps.extend(reply.json["data"]["last_modified"].as_i64());
            }
            timestamps
        });
    }
    let (mut copy, mut since) = (std::collections::BTreeMap::new(), 0_i64);
    let mut timestamps = Vec::new();
    let mut running = true;
    while running {
        running = !tasks.is_empty();
        while let Some(done) = tasks.try_join_next() {
            timestamps.extend(done.unwrap());
        }
        let changes = harness.alice.get(&format!("{RECORDS}?_since={since}")).await.expect(200);
        for object in changes.json["data"].as_array().unwrap() {
            copy.insert(object["id"].as_str().unwrap().to_owned(), object.clone());
        }
        since = changes.header("etag").trim_matches('"').parse().unwrap();
    }

    let unique: BTreeSet<i64> = timestamps.iter().copied().collect();
    assert_eq!(unique.len(), timestamps.len(), "no timestamp is given twice");
    let full = harness.alice.get(&format!("{RECORDS}?_since=0")).await;
    let full: BTreeSet<String> =
        full.json["data"].as_array().unwrap().iter().map(Value::to_string).collect();
    assert_eq!(copy.values().map(Value::to_string).collect::<BTreeSet<_>>(), full);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn crossing_batches_do_not_deadlock() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    for id in ["x", "y"] {
        harness.alice.put(&format!("/buckets/b/collections/{id}"), json!({})).await.expect(201);
    }
    let mut tasks = JoinSet::new();
    for n in 0..30 {
        let alice = harness.alice.clone();
        let (first, second) = if n % 2 == 0 { ("x", "y") } else { ("y", "x") };
        tasks.spawn(async move {
            let path = |id: &str| format!("/buckets/b/collections/{id}/records/r{n}");
            let batch = json!({"defaults": {"method": "PUT"}, "requests": [
                {"path": path(first)},
                {"path": path(second)},
                {"path": format!("/buckets/b/collections/{first}")},
            ]});
            alice.send("POST", "/batch", batch).await.status
        });
    }
    assert!(tasks.join_all().await.iter().all(|status| *status == 200));
    let retries = harness.anonymous.get("/__metrics__").await.bytes;
    let text = String::from_utf8(retries.to_vec()).unwrap();
    assert!(text.contains("countersign_transaction_retries_total 0"), "locks, not retries");
}

/// Deletes an object and makes it again, while others write below it.
async fn storm(harness: &Harness, path: &'static str) -> Vec<u16> {
    let mut tasks = JoinSet::new();
    for n in 0..16 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let mut statuses = Vec::new();
            for round in 0..6 {
                if n < 4 {
                    statuses.push(alice.delete(path).await.status);
                    statuses.push(alice.put(path, json!({})).await.status);
                    statuses.push(alice.put("/buckets/b/collections/c", json!({})).await.status);
                } else {
                    let record = format!("{RECORDS}/r{n}-{round}");
                    statuses.push(alice.put(&record, json!({})).await.status);
                }
            }
            statuses
        });
    }
    tasks.join_all().await.concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collection_is_deleted_and_made_again_under_its_writers() {
    let harness = Harness::with_collection().await;

    let statuses = storm(&harness, "/buckets/b/collections/c").await;

    assert!(statuses.iter().all(|status| [200, 201, 404].contains(status)), "{statuses:?}");
    harness.check_live_counts().await;
    let retries = harness.anonymous.get("/__metrics__").await.bytes;
    let text = String::from_utf8(retries.to_vec()).unwrap();
    assert!(text.contains("countersign_transaction_retries_total 0"), "locks, not retries");
}

/// A bucket's timestamps go with it, so that its writers may meet: then one of them runs again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bucket_is_deleted_and_made_again_under_its_writers() {
    let harness = Harness::with_collection().await;

    let statuses = storm(&harness, "/buckets/b").await;

    assert!(statuses.iter().all(|status| [200, 201, 403, 404].contains(status)), "{statuses:?}");
    harness.check_live_counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edit_is_never_published_unreviewed_whatever_the_race() {
    let harness = Harness::with_source().await;
    let record = format!("{SOURCE}/records/r");
    for round in 0..10 {
        harness.alice.put(&record, json!({"reviewed": round})).await;
        harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
        let (approve, edit) = (harness.bob.clone(), harness.alice.clone());
        let slipped = record.clone();
        let (approved, edited) = tokio::join!(
            tokio::spawn(async move { approve.patch(SOURCE, json!({"status": "to-sign"})).await }),
            tokio::spawn(async move { edit.put(&slipped, json!({"slipped": round})).await }),
        );
        edited.unwrap().expect(200);
        let approved = approved.unwrap().status == 200;

        let main = harness.anonymous.get("/buckets/main/collections/c/records/r").await;
        assert_eq!(main.json["data"].get("slipped"), None);
        if approved {
            assert_eq!(main.json["data"]["reviewed"], round);
        }
        assert_eq!(harness.status().await, "work-in-progress");
    }
}
