//! Publishing while a signing service is slow, or away: nobody waits for it.
//!
//! `COUNTERSIGN_TEST_OUTAGE_SECONDS=60` makes it stay away for a minute.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    autograph::{Autograph, Mood},
    harness::SOURCE,
    signing::{MAIN, approve, check_signed, expect_unavailable, harness, under_review},
};

#[expect(clippy::disallowed_methods, reason = "the length of a test is no setting")]
fn outage() -> Duration {
    let asked = std::env::var("COUNTERSIGN_TEST_OUTAGE_SECONDS").ok();
    Duration::from_secs(asked.and_then(|text| text.parse().ok()).unwrap_or(4))
}

/// What was judged before the service was asked is judged again after: nothing is locked meanwhile.
#[tokio::test]
async fn an_edit_while_the_service_signs_voids_the_approval() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    let main = harness.anonymous.get(MAIN).await.json;
    autograph.will(&[Mood::Late(600)]);

    let bob = harness.bob.clone();
    let approval =
        tokio::spawn(async move { bob.patch(SOURCE, json!({"status": "to-sign"})).await });
    while autograph.asked() == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    let started = Instant::now();
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 2})).await.expect(200);
    assert!(started.elapsed() < Duration::from_millis(400), "the edit does not wait");

    let approval = approval.await.unwrap().expect(400);
    assert_eq!(approval.json["message"], "Collection not under review");
    assert_eq!(harness.status().await, "work-in-progress");
    assert_eq!(harness.anonymous.get(MAIN).await.json, main);
}

/// Each takes a timestamp that another one wanted, and all succeed nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_publish_while_a_slow_service_signs() {
    let autograph = Autograph::start().await;
    let harness = harness(&autograph, &[("signer.to_review_enabled", "false")]).await;
    for n in 0..6 {
        harness.make_source(&format!("c{n}")).await;
    }
    autograph.will(&[Mood::Late(100)]);
    let mut tasks = JoinSet::new();
    for n in 0..6 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let source = format!("/buckets/work/collections/c{n}");
            for round in 0..2 {
                alice.put(&format!("{source}/records/r{round}"), json!({})).await.expect(201);
                alice.patch(&source, json!({"status": "to-sign"})).await.expect(200);
            }
        });
    }
    tasks.join_all().await;

    for n in 0..6 {
        let main = format!("/buckets/main/collections/c{n}");
        check_signed(&harness.anonymous, &main, &[autograph.key("remote-settings")]).await;
        let list = harness.anonymous.get(&format!("{main}/records")).await;
        assert_eq!(list.json["data"].as_array().unwrap().len(), 2);
    }
}

/// Edits go on, approvals answer 503, and all is well when it returns.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_of_edits_does_not_notice_that_the_service_is_down() {
    let autograph = Autograph::start().await;
    let harness = under_review(&autograph, &[]).await;
    harness.make_source("d").await;
    let main = harness.anonymous.get(MAIN).await.json;
    autograph.will(&[Mood::Status(500), Mood::Late(30_000)]);

    let end = Instant::now() + outage();
    let mut tasks = JoinSet::new();
    for editor in 0..4 {
        let alice = harness.alice.clone();
        tasks.spawn(async move {
            let (mut edits, mut slowest) = (0, Duration::ZERO);
            while Instant::now() < end {
                let path = format!("/buckets/work/collections/d/records/{editor}-{}", edits % 10);
                let started = Instant::now();
                let reply = alice.put(&path, json!({"edit": edits})).await;
                assert!([200, 201].contains(&reply.status), "{}", reply.json);
                slowest = slowest.max(started.elapsed());
                edits += 1;
            }
            (edits, slowest)
        });
    }
    let mut refused = 0;
    while Instant::now() < end {
        expect_unavailable(&approve(&harness).await, "an approval");
        let request = json!({"status": "to-review"});
        let reply = harness.alice.patch("/buckets/work/collections/d", request).await;
        expect_unavailable(&reply, "a request");
        refused += 2;
    }
    let edits = tasks.join_all().await;
    let (count, slowest) = edits
        .iter()
        .fold((0, Duration::ZERO), |(count, slowest), edit| (count + edit.0, slowest.max(edit.1)));
    eprintln!("{count} edits, the slowest {slowest:?}; {refused} publications refused");

    assert!(refused >= 4, "{refused}");
    assert!(edits.iter().all(|(edits, _)| *edits > 10), "{edits:?}");
    assert!(edits.iter().all(|(_, slowest)| *slowest < Duration::from_secs(1)), "{edits:?}");
    assert_eq!(harness.status().await, "to-review");
    assert_eq!(harness.anonymous.get(MAIN).await.json, main);
    autograph.will(&[Mood::Good]);
    approve(&harness).await.expect(200);
    let d = "/buckets/work/collections/d";
    harness.alice.patch(d, json!({"status": "to-review"})).await.expect(200);
    harness.bob.patch(d, json!({"status": "to-sign"})).await.expect(200);
    for main in [MAIN, "/buckets/main/collections/d"] {
        check_signed(&harness.anonymous, main, &[autograph.key("remote-settings")]).await;
    }
}
