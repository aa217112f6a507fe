//! What browsers may do from other origins (`kinto-http-api.md` §1.10).

use std::collections::BTreeSet;

use serde_json::json;
use shared::testing::TestReply;

use crate::harness::Harness;

const BASE: &str = "Backoff, Retry-After, Alert, Content-Length, Content-Type";
const VERSION: &str = "Last-Modified, ETag, Cache-Control, Expires, Pragma";

fn names(text: &str) -> BTreeSet<&str> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

fn exposed(reply: &TestReply) -> BTreeSet<&str> {
    names(reply.header("access-control-expose-headers"))
}

fn problems(reply: &TestReply) -> Vec<&str> {
    let details = reply.json["details"].as_array().unwrap();
    details.iter().map(|detail| detail["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_method_exposes_its_headers_also_without_an_origin() {
    let harness = Harness::with_collection().await;
    let base = BASE.to_owned();
    let object = format!("{BASE}, {VERSION}");
    let list = format!("{object}, Next-Page");
    let count = format!("{list}, Total-Objects, Total-Records");

    for (method, path, expected) in [
        ("GET", "/", &base),
        ("GET", "/__heartbeat__", &base),
        ("GET", "/buckets", &list),
        ("HEAD", "/buckets", &count),
        ("GET", "/buckets/b", &object),
        ("HEAD", "/buckets/b", &object),
        ("PUT", "/buckets/b", &base),
        ("GET", "/buckets/b/collections/c/records/none", &object),
        ("DELETE", "/buckets/b/groups", &base),
        ("GET", "/unknown", &base),
    ] {
        let reply = harness.alice.raw(method, path, &[], "").await;
        assert_eq!(exposed(&reply), names(expected), "{method} {path}");
    }
    let refused = harness.alice.send("POST", "/buckets/b", json!({})).await.expect(405);
    assert!(refused.headers.get("access-control-expose-headers").is_none(), "§1.7.2");
    let anonymous = harness.anonymous.get("/buckets/b").await.expect(401);
    assert_eq!(exposed(&anonymous), names(&object), "errors have them, too");
}

#[tokio::test]
async fn a_preflight_says_what_may_be_sent() {
    let harness = Harness::start().await;
    let ask = |method: &'static str| {
        [
            ("origin", "http://a"),
            ("access-control-request-method", method),
            ("access-control-request-headers", "X-Mine, Content-Type"),
        ]
    };

    let asked = harness.anonymous.raw("OPTIONS", "/buckets", &ask("POST"), "").await.expect(200);
    assert_eq!(&asked.bytes[..], b"null");
    assert_eq!(asked.header("access-control-allow-methods"), "HEAD,GET,POST,DELETE,OPTIONS");
    let allowed = names(asked.header("access-control-allow-headers"));
    assert!(allowed.contains("X-Mine") && allowed.contains("Total-Objects"), "{allowed:?}");
    assert_eq!(asked.header("access-control-max-age"), "3600");
    assert!(asked.headers.get("access-control-expose-headers").is_none());

    let wrong = harness.anonymous.raw("OPTIONS", "/buckets", &ask("PATCH"), "").await.expect(400);
    let text = "Access-Control-Request-Method in header: Method not allowed";
    assert_eq!(wrong.json["message"], text);
    assert_eq!(wrong.header("access-control-allow-origin"), "*");
    let bare = harness.anonymous.raw("OPTIONS", "/buckets", &[], "").await.expect(400);
    assert_eq!(problems(&bare), ["Access-Control-Request-Method", "Origin"]);
    let empty = [("origin", ""), ("access-control-request-method", "")];
    let empty = harness.anonymous.raw("OPTIONS", "/buckets", &empty, "").await.expect(400);
    assert_eq!(problems(&empty), ["Access-Control-Request-Method", "Origin"]);
    harness.anonymous.raw("OPTIONS", "/unknown", &ask("GET"), "").await.expect(404);
}

#[tokio::test]
async fn metrics_are_not_for_pages() {
    let harness = Harness::with(&[("cors_origins", "http://exact")]).await;

    for origin in ["http://exact", "http://evil"] {
        let reply = harness.anonymous.raw("GET", "/__metrics__", &[("origin", origin)], "").await;
        let reply = reply.expect(200);
        let cors = reply.headers.keys().filter(|name| name.as_str().starts_with("access-control"));
        assert_eq!(cors.count(), 0, "{origin}");
    }
}

#[tokio::test]
async fn a_refused_origin_changes_nothing_and_learns_nothing() {
    let harness = Harness::with(&[("cors_origins", "https://*.example.com http://exact")]).await;
    harness.alice.put("/buckets/b", json!({"n": 1})).await.expect(201);
    let evil = [("origin", "http://evil"), ("content-type", "application/json")];
    let body = json!({"data": {"n": 2}}).to_string();

    for (method, path) in
        [("GET", "/"), ("GET", "/buckets/b"), ("GET", "/buckets"), ("PUT", "/buckets/b")]
    {
        let refused = harness.alice.raw(method, path, &evil, body.clone()).await.expect(400);
        assert_eq!(refused.json["message"], "Origin in header: http://evil not allowed");
        assert!(refused.headers.get("access-control-allow-origin").is_none());
    }
    let batch = json!({"requests": [{"method": "PUT", "path": "/buckets/b"}]}).to_string();
    harness.alice.raw("POST", "/batch", &evil, batch).await.expect(400);
    assert_eq!(harness.alice.get("/buckets/b").await.json["data"]["n"], 1);
    harness.anonymous.raw("GET", "/buckets/b", &evil, "").await.expect(401);
    let empty = harness.alice.raw("GET", "/", &[("origin", "")], "").await.expect(200);
    assert!(empty.headers.get("access-control-allow-origin").is_none());
    harness.bob.raw("GET", "/buckets/b", &evil, "").await.expect(403);
    harness.alice.raw("GET", "/unknown", &evil, "").await.expect(404);

    let both = harness.alice.raw("PUT", "/buckets/b", &evil, "{").await.expect(400);
    assert!(problems(&both).contains(&"Origin") && problems(&both).len() > 1, "{}", both.json);
    let good = [("origin", "https://a.example.com")];
    let allowed = harness.alice.raw("GET", "/buckets/b", &good, "").await.expect(200);
    assert_eq!(allowed.header("access-control-allow-origin"), "https://a.example.com");
    assert_eq!(allowed.header("vary"), "Origin");
    // A cache must not give this one to a browser of that origin.
    assert_eq!(harness.alice.get("/buckets/b").await.header("vary"), "Origin");
    let unknown = harness.alice.raw("GET", "/unknown", &good, "").await.expect(404);
    assert!(unknown.headers.get("access-control-allow-origin").is_none(), "patterns do not count");
    let exact = [("origin", "http://exact")];
    let unknown = harness.alice.raw("GET", "/unknown", &exact, "").await.expect(404);
    assert_eq!(unknown.header("access-control-allow-origin"), "http://exact");
}
