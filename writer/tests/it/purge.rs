//! Caches are told what to forget, after each publication (docs/cdn.md, ADR 10).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::time::sleep;

use crate::{
    harness::{Harness, SOURCE},
    outbox::{entries, until_dead, until_empty},
    receivers::Endpoint,
};

const PATH: &str = "/purge";
/// The endpoint of a test's cache is always there.
const QUICK: [(&str, &str); 6] = [
    ("outgoing.allowed_hosts", "127.0.0.1"),
    ("outbox.poll_ms", "50"),
    ("outbox.retry_min_ms", "20"),
    ("outbox.max_attempts", "3"),
    ("purge.delay_ms", "0"),
    ("purge.repeat_after_ms", "0"),
];

async fn start(url: &str, more: &[(&str, &str)]) -> Harness {
    let harness = with_cache(url, more).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.make_source("c").await;
    harness
}

/// A writer that publishes `/buckets/open` without review.
async fn start_open(url: &str, more: &[(&str, &str)]) -> Harness {
    let open = [("signer.resources", ""), ("changes.resources", "/buckets/open")];
    let harness = with_cache(url, &[&open[..], more].concat()).await;
    harness.alice.put("/buckets/open", json!({})).await.expect(201);
    until_empty(&harness.database).await;
    harness
}

async fn with_cache(url: &str, more: &[(&str, &str)]) -> Harness {
    let cache =
        [("purge.caches", "edge"), ("purge.edge.kind", "varnish"), ("purge.edge.urls", url)];
    Harness::with(&[&QUICK[..], &cache[..], more].concat()).await
}

/// All keys of the purges so far.
fn purged(endpoint: &Endpoint, path: &str) -> BTreeSet<String> {
    let got = endpoint.got(path);
    let keys = got.iter().flat_map(|one| one.header("surrogate-key").split(' '));
    keys.map(str::to_owned).collect()
}

/// Waits for the purges of what was just committed, and forgets them.
async fn check_purged(endpoint: &Endpoint, harness: &Harness, keys: &[&str]) {
    until_empty(&harness.database).await;
    let wanted: BTreeSet<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    assert_eq!(purged(endpoint, PATH), wanted);
    endpoint.forget();
}

#[tokio::test]
async fn whatever_readers_serve_anew_is_purged_and_nothing_else() {
    let endpoint = Endpoint::start().await;
    let harness = start(&endpoint.url(PATH), &[]).await;
    harness.publish().await;
    until_empty(&harness.database).await;
    endpoint.forget();

    // An edit of a source is nobody's business.
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"a": 1})).await.expect(201);
    sleep(Duration::from_millis(150)).await;
    assert!(purged(&endpoint, PATH).is_empty() && entries(&harness.database).await.is_empty());

    // A request for review publishes the preview; an approval signs both.
    let preview = ["monitor/changes", "preview/c", "collections:preview"];
    let both = [&preview[..], &["main/c", "collections:main"]].concat();
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    check_purged(&endpoint, &harness, &preview).await;
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
    check_purged(&endpoint, &harness, &both).await;

    // A refresh changes no record.
    harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);
    check_purged(&endpoint, &harness, &both).await;

    // A rollback makes the preview what is published.
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"a": 2})).await.expect(200);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    check_purged(&endpoint, &harness, &preview).await;
    harness.alice.patch(SOURCE, json!({"status": "to-rollback"})).await.expect(200);
    check_purged(&endpoint, &harness, &preview).await;

    // With its source, what was published is emptied.
    harness.alice.delete(SOURCE).await.expect(200);
    check_purged(&endpoint, &harness, &both).await;
}

#[tokio::test]
async fn a_bucket_is_purged_with_all_that_is_in_it() {
    let endpoint = Endpoint::start().await;
    let harness = start_open(&endpoint.url(PATH), &[]).await;
    harness.alice.put("/buckets/open/collections/c", json!({})).await.expect(201);
    until_empty(&harness.database).await;
    endpoint.forget();

    let record = "/buckets/open/collections/c/records/r";
    harness.alice.put(record, json!({})).await.expect(201);
    check_purged(&endpoint, &harness, &["monitor/changes", "open/c"]).await;
    harness.alice.delete(record).await.expect(200);
    check_purged(&endpoint, &harness, &["monitor/changes", "open/c"]).await;
    harness.alice.delete("/buckets/open").await.expect(200);
    check_purged(&endpoint, &harness, &["monitor/changes", "bucket:open"]).await;
}

#[tokio::test]
async fn readers_get_their_time_and_the_purge_is_repeated() {
    let endpoint = Endpoint::start().await;
    let times = [("purge.delay_ms", "400"), ("purge.repeat_after_ms", "600")];
    let harness = start(&endpoint.url(PATH), &times).await;
    until_empty(&harness.database).await;
    endpoint.forget();
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);
    let committed = Instant::now();

    endpoint.wait(PATH, 1).await;
    let first = committed.elapsed();
    endpoint.wait(PATH, 2).await;
    let second = committed.elapsed();

    assert!((300..900).contains(&first.as_millis()), "{first:?}");
    assert!((900..1_700).contains(&second.as_millis()), "{second:?}");
    until_empty(&harness.database).await;
    let got = endpoint.got(PATH);
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].header("surrogate-key"), got[1].header("surrogate-key"));
}

#[tokio::test]
async fn what_is_due_for_a_cache_shares_a_purge() {
    let endpoint = Endpoint::start().await;
    let later = [
        ("signer.resources", ""),
        ("changes.resources", "/buckets/open"),
        ("purge.delay_ms", "60000"),
    ];
    let harness = with_cache(&endpoint.url(PATH), &later).await;
    harness.alice.put("/buckets/open", json!({})).await.expect(201);
    for number in 0..20 {
        let path = format!("/buckets/open/collections/c{number}");
        harness.alice.put(&path, json!({})).await.expect(201);
    }

    let due = "update outbox set due_at = now()";
    harness.database.owner().await.execute(due, &[]).await.unwrap();
    until_empty(&harness.database).await;

    assert_eq!(endpoint.got(PATH).len(), 1);
    let keys = purged(&endpoint, PATH);
    assert!((0..20).all(|number| keys.contains(&format!("open/c{number}"))), "{keys:?}");
}

#[tokio::test]
async fn each_varnish_is_told_and_one_that_is_away_is_told_later() {
    let (good, flaky) = (Endpoint::start().await, Endpoint::start().await);
    let urls = format!("{} {}", good.url(PATH), flaky.url("/once/503"));
    let harness = start(&urls, &[]).await;
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);

    until_empty(&harness.database).await;

    assert_eq!(purged(&good, PATH), purged(&flaky, "/once/503"));
    assert!(flaky.got("/once/503").len() >= 2, "the first one failed");
}

#[tokio::test]
async fn a_cache_that_refuses_ends_as_a_dead_letter() {
    let endpoint = Endpoint::start().await;
    let (api, url) = (endpoint.url("/api"), endpoint.url("/403"));
    let caches = [
        ("purge.caches", "fast other"),
        ("purge.fast.kind", "fastly"),
        ("purge.fast.url", api.as_str()),
        ("purge.fast.service_id", "abc"),
        ("purge.fast.token", "the-token"),
        ("purge.other.kind", "http"),
        ("purge.other.url", url.as_str()),
        ("outbox.max_attempts", "1"),
        ("signer.resources", ""),
        ("changes.resources", "/buckets/open"),
    ];
    let harness = Harness::with(&[&QUICK[..], &caches[..]].concat()).await;
    harness.alice.put("/buckets/open", json!({})).await.expect(201);

    let got = endpoint.wait("/api/service/abc/purge", 1).await;
    let (attempts, _, error) = until_dead(&harness.database).await;

    assert_eq!(got[0].header("fastly-key"), "the-token");
    assert_eq!(attempts, 1);
    assert!(error.contains("answered 403") && !error.contains(&url), "{error}");
}
