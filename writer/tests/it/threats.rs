//! Attacks that belong to no one feature (`design/reliability.md` §6).

use serde_json::json;

use crate::{
    harness::{Harness, user_id},
    log::Log,
};

#[tokio::test]
async fn no_secret_is_in_a_log() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::TRACE)
        .finish();
    // The test's runtime has one thread, this one: all that the writer does is logged here.
    let guard = tracing::subscriber::set_default(subscriber);
    let harness = Harness::with(&[("log.requests", "all")]).await;
    let canary = "canary-5ecret";
    let token = base64(&format!("user:{canary}"));
    let headers = [
        ("authorization", &*format!("Basic {token}")),
        ("cookie", canary),
        ("content-type", "application/json"),
    ];
    harness.anonymous.raw("GET", "/", &headers, "").await.expect(200);
    harness.anonymous.raw("PUT", "/buckets/b", &headers, "{").await.expect(400);
    harness.anonymous.raw("POST", "/batch", &headers, r#"{"requests":[{"path":"/"}]}"#).await;
    let bearer = [("authorization", &*format!("Bearer {canary}"))];
    harness.anonymous.raw("GET", "/buckets", &bearer, "").await.expect(401);
    harness.database.owner().await.batch_execute("drop table ace cascade").await.unwrap();
    harness.anonymous.raw("GET", "/buckets", &headers, "").await.expect(500);
    drop(guard);

    let text = log.text();
    assert!(text.contains("/buckets"), "the requests were logged: {text}");
    for secret in [canary, &token, "some-secret"] {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

fn base64(text: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    STANDARD.encode(text)
}

#[tokio::test]
async fn random_urls_make_no_new_metrics() {
    let harness = Harness::start().await;
    let series = async || {
        let metrics = harness.anonymous.raw("GET", "/__metrics__", &[], "").await.expect(200);
        String::from_utf8_lossy(&metrics.bytes).lines().count()
    };
    let visit = async |round: usize| {
        for number in 0..50 {
            for path in [
                format!("/x{round}-{number}"),
                format!("/buckets/b{round}-{number}"),
                format!("/buckets/b/collections/c{round}-{number}/records/r?_sort={number}"),
            ] {
                harness.bob.get(&path).await;
            }
        }
    };
    visit(0).await;
    series().await;
    let before = series().await;

    visit(1).await;

    assert_eq!(series().await, before);
}

#[tokio::test]
async fn nobody_becomes_somebody_else_by_spelling() {
    let harness = Harness::with_collection().await;
    let bob = user_id(&harness.bob).await;
    let read = json!({"permissions": {"read": [
        bob.to_uppercase(),
        format!("{bob} "),
        bob.trim_start_matches("basicauth:"),
        "System.Everyone",
        "system.everyone",
        "system.Everyone\u{200b}",
    ]}});
    harness.alice.send("PATCH", "/buckets/b", read).await.expect(200);

    harness.bob.get("/buckets/b").await.expect(403);
    harness.anonymous.get("/buckets/b").await.expect(401);
    for id in ["a%0A", "%0Aa", "a%00", "a%20", "%C3%A9", "%E2%80%AEa", "a%2E%2E", "a*", "-a", "_a"]
    {
        let path = format!("/buckets/{id}");
        let refused = harness.alice.put(&path, json!({})).await.expect(400);
        assert_eq!(refused.json["message"], "path: Invalid object id", "{id}");
    }
}
