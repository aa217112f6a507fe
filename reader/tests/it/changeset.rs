//! What clients get.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{Database, Got, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");
/// 2023-11-14, of which clients are told by date.
const T: i64 = 1_700_000_000_000;

async fn filled() -> Database {
    let database = Database::create().await;
    database.record("cfr", "a", T + 1, &json!({"title": "é\u{1f600}", "n": 1.5})).await;
    database.record("cfr", "b", T + 3, &json!({"title": "b"})).await;
    database.tombstone("cfr", "c", T + 2).await;
    database.collection("cfr", T + 5_000, &json!({"flags": ["startup"]}), T + 3).await;
    database.collection("empty", T + 9, &json!({}), T + 9).await;
    database.publish(T + 9).await;
    database
}

#[tokio::test]
async fn a_full_changeset_has_live_records_newest_first() {
    let reader = Reader::of(&filled().await, &[OFF]).await;

    let got = reader.get(&changeset("cfr", "_expected=0")).await;

    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(
        got.json(),
        json!({
            "metadata": {"id": "cfr", "bucket": "main", "last_modified": T + 5_000,
                         "flags": ["startup"]},
            "timestamp": T + 3,
            "changes": [
                {"id": "b", "last_modified": T + 3, "title": "b"},
                {"id": "a", "last_modified": T + 1, "title": "é\u{1f600}", "n": 1.5},
            ]
        })
    );
    assert_eq!(got.header("last-modified"), Some("Tue, 14 Nov 2023 22:13:25 GMT"));
    assert_eq!(got.header("vary"), Some("Accept-Encoding"));
    assert_eq!(got.header("surrogate-key"), Some("countersign bucket:main main/cfr"));
    assert_eq!(got.header("cache-tag"), Some("countersign,bucket:main,main/cfr"));
    assert_eq!(got.header("cache-control"), None, "no lifetime is configured");
    assert_eq!(got.header("access-control-allow-origin"), Some("*"));
}

#[tokio::test]
async fn a_delta_has_tombstones_and_a_limit_truncates() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let ids = async |query: &str| -> Vec<Value> {
        let body = reader.get(&changeset("cfr", query)).await.json();
        body["changes"].as_array().unwrap().iter().map(|change| change["id"].clone()).collect()
    };

    assert_eq!(ids(&format!("_expected=0&_since={}", T + 1)).await, ["b", "c"]);
    assert_eq!(ids(&format!("_expected=0&_since=%22{}%22", T + 2)).await, ["b"]);
    assert_eq!(ids(&format!("_expected=0&_since={}", T + 3)).await, [""; 0]);
    assert_eq!(ids("_expected=0&_since=0").await, ["b", "c", "a"]);
    assert_eq!(ids("_expected=0&_limit=1").await, ["b"]);
    assert_eq!(ids("_expected=0&_since=0&_limit=2").await, ["b", "c"]);
    assert_eq!(ids("_expected=0&_limit=0").await, ["b", "a"]);
}

#[tokio::test]
async fn every_form_is_the_same_body_and_has_a_tag_of_its_own() {
    let database = filled().await;
    database.record("cfr", "long", T + 4, &json!({"title": "countersign ".repeat(99)})).await;
    let reader = Reader::of(&database, &[OFF]).await;
    for query in ["_expected=0", "_expected=0&_since=0"] {
        let path = changeset("cfr", query);
        let plain = reader.get(&path).await;
        let mut tags = vec![plain.header("etag").unwrap().to_owned()];
        for encoding in ["gzip", "zstd", "br"] {
            let accept = ("accept-encoding", encoding);
            let small = reader.until_encoded(&path, encoding).await;
            let tag = small.header("etag").unwrap().to_owned();
            assert_eq!(decoded(&small), plain.body, "{encoding}");
            assert_eq!(small.header("content-encoding"), Some(encoding));
            assert_eq!(small.header("vary"), Some("Accept-Encoding"));

            let head = reader.send(Method::HEAD, &path, &[accept]).await;
            assert_eq!(head.header("content-length"), Some(&*small.body.len().to_string()));
            assert_eq!((head.header("etag"), head.body.len()), (Some(&*tag), 0));

            let known = reader.send(Method::GET, &path, &[accept, ("if-none-match", &tag)]).await;
            assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
            assert_eq!(known.header("etag"), Some(&*tag));
            assert_eq!(known.header("vary"), Some("Accept-Encoding"));

            let other = reader.send(Method::GET, &path, &[("if-none-match", &tag)]).await;
            assert_eq!(other.status, StatusCode::OK, "the tag of another form");
            tags.push(tag);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4);
    }
}

fn decoded(got: &Got) -> Vec<u8> {
    let mut body = Vec::new();
    match got.header("content-encoding") {
        Some("gzip") => GzDecoder::new(&got.body[..]).read_to_end(&mut body).map(drop),
        Some("zstd") => zstd::stream::copy_decode(&got.body[..], &mut body),
        Some("br") => {
            brotli::Decompressor::new(&got.body[..], 4_096).read_to_end(&mut body).map(drop)
        }
        other => panic!("{other:?}"),
    }
    .unwrap();
    body
}

#[tokio::test]
async fn the_monitor_lists_every_collection_newest_first() {
    let host = ("http_host", "rs.example.net");
    let reader = Reader::of(&filled().await, &[OFF, host]).await;

    let got = reader.get(&monitor("_expected=0")).await;
    let body = got.json();

    assert_eq!(body["metadata"], json!({"bucket": "monitor"}));
    assert_eq!(body["timestamp"], T + 9);
    assert_eq!(body["changes"][0]["collection"], "empty");
    let cfr = &body["changes"][1];
    assert_eq!(
        (&cfr["bucket"], &cfr["last_modified"], &cfr["host"]),
        (&json!("main"), &json!(T + 3), &json!("rs.example.net"))
    );
    let grace = "stale-while-revalidate=60, stale-if-error=86400";
    assert_eq!(got.header("cache-control"), Some(&*format!("max-age=60, {grace}")));
    let later = reader.get(&monitor(&format!("_expected={}", T + 9))).await;
    assert_eq!(later.header("cache-control"), Some(&*format!("max-age=3600, {grace}")));
    let filtered = reader.get(&monitor("_expected=0&collection=cfr")).await.json();
    assert_eq!(filtered["changes"].as_array().unwrap().len(), 1);
    assert_eq!(filtered["timestamp"], T + 9);
}

#[tokio::test]
async fn an_answer_older_than_expected_gets_the_minimum_and_is_counted() {
    let database = filled().await;
    let ttl = ("main.cfr.record_cache_expires_seconds", "3600");
    let reader = Reader::of(&database, &[OFF, ttl]).await;

    let stale = reader.get(&changeset("cfr", &format!("_expected={}", T + 4))).await;
    database.record("cfr", "d", T + 4, &json!({})).await;
    database.collection("cfr", T + 6_000, &json!({}), T + 4).await;
    database.publish(T + 10).await;
    let path = changeset("cfr", &format!("_expected={}", T + 4));
    let fresh = reader.until(&path, |got| got.json()["timestamp"] == T + 4).await;

    assert_eq!(stale.json()["timestamp"], T + 3);
    assert_eq!(stale.header("cache-control"), Some("max-age=5"), "not that of all answers");
    assert_eq!(fresh.json()["changes"][0]["id"], "d");
    let metrics = reader.get("/v1/__metrics__").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("countersign_stale_reads_total "));
    assert!(count.unwrap().parse::<u32>().unwrap() >= 1, "{text}");
}

#[tokio::test]
async fn private_collections_are_listed_and_not_served() {
    let database = filled().await;
    database.run("delete from ace").await;
    let uri = "/buckets/main/collections/cfr";
    database
        .run(&format!("insert into ace values ('main', '{uri}', 'read', 'system.Everyone')"))
        .await;
    let reader = Reader::of(&database, &[OFF]).await;

    assert_eq!(reader.get(&changeset("cfr", "_expected=0")).await.status, StatusCode::OK);
    let private = reader.get(&changeset("empty", "_expected=0")).await;
    assert_eq!((private.status, &private.json()["errno"]), (StatusCode::UNAUTHORIZED, &json!(104)));
    let unknown = reader.get(&changeset("unknown", "_expected=0")).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED, "the bucket is private");
    let listed = reader.get(&monitor("_expected=0")).await.json();
    assert_eq!(listed["changes"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn refusals_are_the_specified_ones() {
    let reader = Reader::of(&filled().await, &[OFF, ("backoff", "7")]).await;
    for (method, path, status, errno) in [
        ("GET", changeset("unknown", "_expected=0"), 404, 111),
        ("GET", changeset("cfr", ""), 400, 107),
        ("GET", changeset("cfr", "_expected=0&_since=x"), 400, 107),
        ("GET", monitor("_expected=abc"), 400, 107),
        ("GET", "/v1/boo".to_owned(), 404, 111),
        ("GET", "/v0/boo".to_owned(), 404, 116),
        ("POST", "/v1/boo".to_owned(), 405, 115),
        ("PUT", changeset("cfr", "_expected=0"), 405, 115),
        ("OPTIONS", "/v1/boo".to_owned(), 404, 111),
        ("OPTIONS", changeset("cfr", ""), 400, 107),
    ] {
        let got = reader.send(method.parse().unwrap(), &path, &[]).await;

        assert_eq!(got.status.as_u16(), status, "{method} {path}");
        assert_eq!(got.json()["errno"], errno, "{method} {path}");
        assert_eq!(got.header("cache-control"), Some("max-age=5"));
        assert_eq!(got.header("backoff"), Some("7"));
        let has_allow = status == 405 && !path.ends_with("boo");
        assert_eq!(got.header("allow").is_some(), has_allow, "{method} {path}");
    }
    let head = reader.send(Method::HEAD, &changeset("cfr", ""), &[]).await;
    assert_eq!(head.status, StatusCode::BAD_REQUEST, "HEAD is GET without the body");
}

#[tokio::test]
async fn what_vanishes_is_not_served_any_more() {
    let database = filled().await;
    let reader = Reader::of(&database, &[OFF]).await;

    database.run("update collection set deleted = true where id = 'cfr'").await;
    database.publish(T + 20).await;

    let gone = |got: &crate::fixture::Got| got.status == StatusCode::NOT_FOUND;
    reader.until(&changeset("cfr", "_expected=0"), gone).await;
    let listed = reader.get(&monitor("_expected=0")).await.json();
    assert_eq!(listed["changes"].as_array().unwrap().len(), 1);
}
