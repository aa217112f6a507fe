//! Pages are kept as long as their list stays as it is, and no longer.

use serde_json::{Value, json};
use shared::testing::TestClient;

use crate::harness::{Harness, ids, user_id};

const RECORDS: &str = "/buckets/b/collections/c/records";
/// Each is asked before and after every change: a page, a filtered one, and one of a walk.
const QUERIES: [&str; 3] = ["", "?n=1", "?_limit=1&_sort=n"];

async fn pages(client: &TestClient) -> Vec<(String, Vec<Value>)> {
    let mut pages = Vec::new();
    for query in QUERIES {
        let reply = client.get(&format!("{RECORDS}{query}")).await.expect(200);
        let objects = reply.json["data"].as_array().cloned().unwrap_or_default();
        pages.push((reply.header("etag").to_owned(), objects));
    }
    pages
}

async fn total(client: &TestClient, query: &str) -> String {
    let reply = client.raw("HEAD", &format!("{RECORDS}?{query}"), &[], "").await.expect(200);
    reply.header("total-objects").to_owned()
}

/// Whoever changes the list, by whichever writer, is seen by the next who asks any writer.
#[tokio::test]
async fn a_change_is_seen_by_all_writers_at_once() {
    let harness = Harness::with_collection().await;
    let other = harness.again(&[]).await.as_user("alice");
    let here = &harness.alice;
    let mut seen = Vec::new();
    for (step, writer) in [here, &other, here, &other].into_iter().enumerate() {
        writer.put(&format!("{RECORDS}/r{step}"), json!({"n": 1})).await.expect(201);

        let (first, second) = (pages(here).await, pages(&other).await);
        assert_eq!((&first, &second), (&pages(here).await, &pages(&other).await), "asked again");
        assert_eq!(first, second);
        assert_eq!(first[0].1.len(), step + 1);
        assert!(!seen.contains(&first[0]));
        seen.push(first[0].clone());
        assert_eq!(total(here, "n=1").await, (step + 1).to_string());
        assert_eq!(total(&other, "n=1").await, (step + 1).to_string());
    }
    other.patch(&format!("{RECORDS}/r0"), json!({"n": 2})).await.expect(200);
    assert_eq!(total(here, "n=1").await, "3");
    other.delete(&format!("{RECORDS}/r1")).await.expect(200);
    assert_eq!((pages(here).await[1].1.len(), total(here, "n=1").await), (2, "2".to_owned()));
}

#[tokio::test]
async fn a_collection_that_is_made_again_has_none_of_its_former_pages() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    for gone in ["/buckets/b/collections/c", "/buckets/b"] {
        alice.put(&format!("{RECORDS}/r"), json!({"n": 1})).await.expect(201);
        assert_eq!(pages(alice).await[1].1.len(), 1);

        alice.delete(gone).await.expect(200);
        alice.put("/buckets/b", json!({})).await;
        alice.put("/buckets/b/collections/c", json!({})).await.expect(201);

        assert!(pages(alice).await.iter().all(|(_, objects)| objects.is_empty()));
        assert_eq!(total(alice, "n=1").await, "0");
    }
}

/// What somebody was shown who may see all is not shown to who may see some.
#[tokio::test]
async fn nobody_sees_the_pages_of_others() {
    let harness = Harness::with_collection().await;
    let bob = user_id(&harness.bob).await;
    harness.alice.put(&format!("{RECORDS}/secret"), json!({"n": 1})).await.expect(201);
    let shared = json!({"data": {"n": 1}, "permissions": {"read": [bob]}});
    harness.alice.send("PUT", &format!("{RECORDS}/shared"), shared).await.expect(201);
    assert_eq!(pages(&harness.alice).await[1].1.len(), 2);

    for query in ["", "?n=1"] {
        let seen = harness.bob.get(&format!("{RECORDS}{query}")).await.expect(200).json;
        assert_eq!(ids(&seen), ["shared"], "{query}");
    }
    harness.anonymous.get(RECORDS).await.expect(401);
    let next = |reply: &shared::testing::TestReply| reply.header("next-page").to_owned();
    let page = format!("{RECORDS}?_limit=1");
    let first = next(&harness.alice.get(&page).await.expect(200));
    let (_, path) = first.split_once("/v1").unwrap();
    harness.bob.get(path).await.expect(400);
    harness.alice.get(path).await.expect(200);
    harness.bob.get(path).await.expect(400);
}

/// All reads of a batch see one state of a list.
#[tokio::test]
async fn a_batch_that_reads_a_list_twice_tells_one_timestamp() {
    let harness = Harness::with_collection().await;
    harness.alice.put(&format!("{RECORDS}/r"), json!({"n": 1})).await.expect(201);
    let etag = harness.alice.get(RECORDS).await.expect(200).header("etag").to_owned();
    let batch = json!({"requests": [
        {"path": RECORDS}, {"path": format!("{RECORDS}?n=1")}, {"path": RECORDS},
    ]});

    let replies = harness.alice.send("POST", "/batch", batch).await.expect(200).json;

    for response in replies["responses"].as_array().unwrap() {
        assert_eq!(
            (&response["status"], &response["headers"]["ETag"]),
            (&json!(200), &json!(etag))
        );
    }
}
