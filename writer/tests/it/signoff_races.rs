//! Races of reviewers, editors and rollbacks: sixteen clients at the same instant, on two writers
//! of one database (`docs/adr/0001-two-services-one-clock.md`).
//!
//! `COUNTERSIGN_RACE_ROUNDS=200` makes them longer.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use shared::{canonical, model::Timestamp, signature::ContentSignature, testing::TestClient};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, JoinSet},
};

use crate::{
    harness::{Harness, SOURCE, user_id},
    signoff::{MAIN, PREVIEW, assert_signed},
};

const CLIENTS: usize = 16;

#[expect(clippy::disallowed_methods, reason = "the length of a test is no setting")]
fn rounds() -> usize {
    let asked = std::env::var("COUNTERSIGN_RACE_ROUNDS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Two writers; alice and dora edit, bob and carol review.
struct Arena {
    harness: Harness,
    writers: [TestClient; 2],
    /// What each check of a client saw: how often, and whether it must stop.
    checks: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    observers: Vec<JoinHandle<()>>,
}

impl Arena {
    async fn open() -> Self {
        let harness = Harness::with_source().await;
        let second = harness.again(&[]).await;
        let writers = [harness.anonymous.clone(), second];
        for (kind, members) in [("editors", ["alice", "dora"]), ("reviewers", ["bob", "carol"])] {
            let mut ids = Vec::new();
            for who in members {
                ids.push(user_id(&harness.anonymous.as_user(who)).await);
            }
            let group = format!("/buckets/work/groups/c-{kind}");
            harness.alice.patch(&group, json!({"members": ids})).await.expect(200);
        }
        let mut arena = Self {
            harness,
            writers,
            checks: Arc::default(),
            over: Arc::default(),
            observers: Vec::new(),
        };
        arena.observe();
        arena
    }

    /// Clients that fetch what is published all the time, and verify it.
    fn observe(&mut self) {
        for (n, collection) in [MAIN, PREVIEW].into_iter().enumerate() {
            let client = self.writers[n % 2].clone();
            let (key, over) = (self.harness.key.clone(), self.over.clone());
            let checks = self.checks.clone();
            self.observers.push(tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let url = format!("{collection}/changeset?_expected=0");
                    let seen = client.get(&url).await.expect(200).json;
                    let timestamp = Timestamp::from_millis(seen["timestamp"].as_i64().unwrap());
                    let document =
                        canonical::document(seen["changes"].as_array().unwrap(), timestamp);
                    let signature: ContentSignature =
                        serde_json::from_value(seen["metadata"]["signature"].clone()).unwrap();
                    assert_eq!(signature.verify(&key, &document), Ok(()), "{seen}");
                    checks.fetch_add(1, Ordering::Relaxed);
                }
            }));
        }
    }

    fn client(&self, n: usize, who: &str) -> TestClient {
        self.writers[n % 2].as_user(who)
    }

    /// Alice edits and asks for a review. Returns what she asks for.
    async fn propose(&self, round: usize) -> Value {
        for id in ["a", "b"] {
            let record = format!("{SOURCE}/records/{id}");
            let reply = self.harness.alice.put(&record, json!({"reviewed": round})).await;
            assert!([200, 201].contains(&reply.status), "{}", reply.json);
        }
        self.harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
        self.records(SOURCE).await
    }

    /// The records of a collection, but for their timestamps.
    async fn records(&self, collection: &str) -> Value {
        let list = self.harness.alice.get(&format!("{collection}/records?_sort=id")).await;
        let mut records = list.expect(200).json["data"].clone();
        for record in records.as_array_mut().unwrap() {
            record.as_object_mut().unwrap().remove("last_modified");
        }
        records
    }

    /// Sends requests at the same instant. Returns what became of each.
    async fn at_once(&self, requests: Vec<(TestClient, &'static str, String, Value)>) -> Vec<u16> {
        let barrier = Arc::new(Barrier::new(requests.len()));
        let mut tasks = JoinSet::new();
        for (n, (client, method, path, data)) in requests.into_iter().enumerate() {
            let barrier = barrier.clone();
            tasks.spawn(async move {
                barrier.wait().await;
                (n, client.send(method, &path, json!({"data": data})).await.status)
            });
        }
        let mut statuses = tasks.join_all().await;
        statuses.sort_unstable();
        statuses.into_iter().map(|(_, status)| status).collect()
    }

    fn asks(&self, n: usize, who: &str, status: &str) -> (TestClient, &'static str, String, Value) {
        (self.client(n, who), "PATCH", SOURCE.to_owned(), json!({"status": status}))
    }

    async fn close(self) {
        self.over.store(true, Ordering::Relaxed);
        for observer in self.observers {
            observer.await.unwrap();
        }
        assert!(self.checks.load(Ordering::Relaxed) >= 2);
        for target in [MAIN, PREVIEW] {
            assert_signed(&self.harness, target).await;
        }
        self.harness.check_live_counts().await;
    }
}

fn accepted(statuses: &[u16]) -> usize {
    statuses.iter().filter(|status| **status < 300).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_request_is_approved_once() {
    let arena = Arena::open().await;
    for round in 0..rounds() {
        let asked = arena.propose(round).await;
        let who = |n: usize| if n.is_multiple_of(2) { "bob" } else { "carol" };
        let requests = (0..CLIENTS).map(|n| arena.asks(n / 2, who(n), "to-sign")).collect();

        let statuses = arena.at_once(requests).await;

        assert_eq!(accepted(&statuses), 1, "{statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
        assert_eq!(arena.records(MAIN).await, asked);
        assert_eq!(arena.harness.status().await, "signed");
    }
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_edit_that_races_an_approval_is_not_published() {
    let arena = Arena::open().await;
    let mut published = arena.records(MAIN).await;
    let mut approvals = 0;
    for round in 0..rounds() {
        let asked = arena.propose(round).await;
        let mut requests = Vec::new();
        for n in 0..CLIENTS {
            requests.push(match n % 4 {
                0 => {
                    let path = format!("{SOURCE}/records/a");
                    (arena.client(n / 4, "dora"), "PUT", path, json!({"slipped": round}))
                }
                1 => {
                    let path = format!("{SOURCE}/records/new-{n}");
                    (arena.client(n / 4, "alice"), "PUT", path, json!({"slipped": round}))
                }
                2 => arena.asks(n / 4, "bob", "to-sign"),
                _ => arena.asks(n / 4, "carol", "to-sign"),
            });
        }

        let statuses = arena.at_once(requests).await;

        let (edits, reviews): (Vec<_>, Vec<_>) =
            statuses.iter().copied().enumerate().partition(|(n, _)| n % 4 < 2);
        let edits: Vec<u16> = edits.into_iter().map(|(_, status)| status).collect();
        let reviews: Vec<u16> = reviews.into_iter().map(|(_, status)| status).collect();
        assert_eq!(accepted(&edits), CLIENTS / 2, "an edit waits, and is not refused: {edits:?}");
        assert!(accepted(&reviews) <= 1, "{reviews:?}");
        assert!(reviews.iter().all(|status| [200, 400].contains(status)), "{reviews:?}");
        if accepted(&reviews) == 1 {
            approvals += 1;
            published = asked;
        }
        assert_eq!(arena.records(MAIN).await, published, "what was approved, and nothing else");
        assert_eq!(arena.harness.status().await, "work-in-progress");
        for n in (0..CLIENTS).filter(|n| n % 4 == 1) {
            arena.harness.alice.delete(&format!("{SOURCE}/records/new-{n}")).await.expect(200);
        }
    }
    eprintln!("{approvals} of {} approvals came before an edit", rounds());
    arena.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rollback_that_races_an_approval_comes_before_or_after() {
    let arena = Arena::open().await;
    let mut published = arena.records(MAIN).await;
    let mut approvals = 0;
    for round in 0..rounds() {
        let asked = arena.propose(round).await;
        let requests = (0..CLIENTS)
            .map(|n| match n % 4 {
                0 => arena.asks(n / 4, "bob", "to-sign"),
                1 => arena.asks(n / 4, "alice", "to-rollback"),
                2 => arena.asks(n / 4, "carol", "to-sign"),
                _ => arena.asks(n / 4, "dora", "to-rollback"),
            })
            .collect();

        let statuses = arena.at_once(requests).await;

        assert_eq!(accepted(&statuses), 1, "whoever comes first ends the request: {statuses:?}");
        assert!(statuses.iter().all(|status| [200, 400].contains(status)), "{statuses:?}");
        if statuses.iter().step_by(2).any(|status| *status == 200) {
            approvals += 1;
            published = asked;
        }
        for collection in [MAIN, PREVIEW, SOURCE] {
            assert_eq!(arena.records(collection).await, published, "{collection}");
        }
        assert_eq!(arena.harness.status().await, "signed");
    }
    eprintln!("{approvals} of {} approvals came before a rollback", rounds());
    arena.close().await;
}
