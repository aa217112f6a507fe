//! The service views, redirects and preflights.

use http::{Method, StatusCode};
use serde_json::json;

use crate::fixture::{Database, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");

#[tokio::test]
async fn the_hello_view_says_what_this_is() {
    let host = ("http_host", "rs.example.net");
    let reader = Reader::of(&Database::create().await, &[OFF, host]).await;

    let got = reader.get("/v1/").await;
    let body = got.json();

    assert_eq!(body["url"], "https://rs.example.net/v1/");
    assert_eq!(body["settings"]["readonly"], true);
    assert_eq!(body["capabilities"]["changes"]["collections"], json!(["/buckets/main"]));
    assert_eq!(got.header("cache-control"), Some("max-age=86400"));
}

#[tokio::test]
async fn service_views_answer_with_and_without_version() {
    let reader = Reader::of(&Database::create().await, &[OFF]).await;
    for name in ["__lbheartbeat__", "__heartbeat__", "__version__", "__metrics__"] {
        for path in [format!("/{name}"), format!("/v1/{name}")] {
            let got = reader.get(&path).await;

            assert_eq!(got.status, StatusCode::OK, "{path}");
            assert_eq!(got.header("cache-control"), Some("no-store"));
        }
    }
    let heartbeat = reader.get("/v1/__heartbeat__").await.json();
    assert_eq!((&heartbeat["storage"], &heartbeat["snapshots"]), (&json!(true), &json!(true)));
    assert_eq!(heartbeat["rejected"], json!([]));
}

#[tokio::test]
async fn redirects_name_the_cdn() {
    let host = ("changes.http_host", "cdn.example.net");
    let reader = Reader::of(&Database::create().await, &[OFF, host]).await;
    let base = "https://cdn.example.net";
    for (path, location) in [
        ("/".to_owned(), "/v1/".to_owned()),
        ("/v1?a=b".to_owned(), "/v1/?a=b".to_owned()),
        ("/buckets/x".to_owned(), "/v1/buckets/x".to_owned()),
        ("/v1/buckets/x/?y=%20".to_owned(), "/v1/buckets/x?y=%20".to_owned()),
        (monitor("_expected=%221%22&_since=5"), monitor("_since=5&_expected=1")),
        (monitor("_since=5&_expected=9&x"), monitor("_expected=9&x")),
    ] {
        let got = reader.get(&path).await;

        assert_eq!(got.status, StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(got.header("location"), Some(format!("{base}{location}").as_str()));
    }
    // A slash is remembered for an hour, as by Kinto; a missing version is not.
    for (path, lifetime) in
        [("/v1", Some("max-age=3600")), ("/v2", Some("max-age=3600")), ("/", None)]
    {
        assert_eq!(reader.get(path).await.header("cache-control"), lifetime, "{path}");
    }
    let ahead = reader.get(&monitor("_expected=5&_since=6")).await;
    assert_eq!(ahead.status, StatusCode::NO_CONTENT);
    assert_eq!(ahead.header("cache-control"), Some("max-age=86400"));
}

#[tokio::test]
async fn a_browser_may_ask_and_may_not_write() {
    let reader = Reader::of(&Database::create().await, &[OFF]).await;
    let ask = async |method| {
        let headers = [("origin", "https://a"), ("access-control-request-method", method)];
        reader.send(Method::OPTIONS, &changeset("cfr", ""), &headers).await
    };

    let got = ask("GET").await;
    assert_eq!((got.status, &got.body[..]), (StatusCode::OK, &b"null"[..]));
    assert_eq!(got.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(ask("PUT").await.status, StatusCode::BAD_REQUEST);
}
