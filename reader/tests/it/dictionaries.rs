//! Bodies as differences from what the client has already (RFC 9842).

use std::{io::Read as _, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::fixture::{Database, Got, Reader, changeset, monitor};

const T: i64 = 1_700_000_000_000;
const SETTINGS: &[(&str, &str)] = &[("signature.verify", "off"), ("dictionaries.versions", "2")];

/// A collection of `count` records.
async fn fill(database: &Database, id: &str, count: i64) {
    for row in 0..count {
        let noise = STANDARD.encode(digest(&SHA256, &row.to_be_bytes()));
        let record = json!({"title": format!("record {row}"), "noise": noise});
        database.record(id, &format!("r{row}"), T + row, &record).await;
    }
    database.collection(id, T + count, &json!({}), T + count).await;
}

/// A reader that serves `cfr` with 50 records at T + 50.
async fn reader(database: &Database, settings: &[(&str, &str)]) -> Reader {
    fill(database, "cfr", 50).await;
    database.publish(T + 50).await;
    Reader::of(database, settings).await
}

/// Changes one record of `cfr`, and waits until that is served.
async fn change(database: &Database, reader: &Reader, at: i64) -> Got {
    database.record("cfr", "r7", at, &json!({"title": format!("changed at {at}")})).await;
    database.collection("cfr", at, &json!({}), at).await;
    database.publish(at).await;
    reader.until(&changeset("cfr", "_expected=0"), |got| got.json()["timestamp"] == at).await
}

fn having(body: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(digest(&SHA256, body).as_ref()))
}

async fn ask(reader: &Reader, path: &str, accept: &str, available: &str) -> Got {
    let headers = [("accept-encoding", accept), ("available-dictionary", available)];
    reader.send(Method::GET, path, &headers).await
}

/// The difference, which is made after the body is shown.
async fn difference(reader: &Reader, path: &str, available: &str) -> Got {
    for _ in 0..500 {
        let got = ask(reader, path, "gzip, br, zstd, dcb, dcz", available).await;
        if got.header("content-encoding") == Some("dcz") {
            return got;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{path} never came as a difference");
}

fn decode(got: &Got, dictionary: &[u8]) -> Vec<u8> {
    assert_eq!(got.body[8..40], *digest(&SHA256, dictionary).as_ref());
    let mut out = Vec::new();
    let frame = &got.body[40..];
    zstd::stream::read::Decoder::with_ref_prefix(frame, dictionary)
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    out
}

#[tokio::test]
async fn who_has_a_former_version_gets_the_difference_and_everybody_else_what_they_accept() {
    let database = Database::create().await;
    let reader = reader(&database, SETTINGS).await;
    let path = changeset("cfr", "_expected=0");
    let first = reader.get(&path).await;
    let second = change(&database, &reader, T + 100).await;
    let first_id = having(&first.body);

    let got = difference(&reader, &path, &first_id).await;
    assert_eq!(decode(&got, &first.body), second.body);
    assert!(got.body.len() < 300, "{} bytes", got.body.len());
    assert_eq!(got.header("content-length"), Some(&*got.body.len().to_string()));
    assert_eq!(got.header("vary"), Some("Accept-Encoding, Available-Dictionary"));

    let etag = got.header("etag").unwrap();
    assert_ne!(Some(etag), second.header("etag"));
    let headers = [("accept-encoding", "dcz"), ("available-dictionary", &*first_id)];
    let bare = reader.send(Method::HEAD, &path, &headers).await;
    assert_eq!(without_moment(&bare.headers), without_moment(&got.headers));
    assert!(bare.body.is_empty());
    let known = [headers[0], headers[1], ("if-none-match", etag)];
    let known = reader.send(Method::GET, &path, &known).await;
    assert_eq!((known.status, known.header("etag")), (StatusCode::NOT_MODIFIED, Some(etag)));

    let unknown = having(b"something else");
    for (accept, available, expected) in [
        ("gzip, dcz", &*first_id, Some("dcz")),
        ("dcz", &first_id, Some("dcz")),
        ("gzip, dcz;q=0.5", &first_id, Some("gzip")),
        ("gzip, dcz;q=0", &first_id, Some("gzip")),
        ("gzip, dcb", &first_id, Some("gzip")),
        ("*", &first_id, Some("br")),
        ("gzip, dcz", &unknown, Some("gzip")),
        ("gzip, dcz", &having(&second.body), Some("gzip")),
        ("dcz", &unknown, None),
        ("gzip, dcz", "nonsense", Some("gzip")),
    ] {
        let got = ask(&reader, &path, accept, available).await;
        assert_eq!(got.header("content-encoding"), expected, "{accept} with {available}");
        assert_eq!(got.header("vary"), Some("Accept-Encoding, Available-Dictionary"));
    }
    // A part is no whole body: neither a dictionary nor made with one.
    let part = changeset("cfr", &format!("_expected=0&_since={}", T + 10));
    let part = ask(&reader, &part, "gzip, dcz", &first_id).await;
    assert_eq!(part.header("content-encoding"), Some("gzip"));
    assert_eq!(part.header("vary"), Some("Accept-Encoding"));
    assert_eq!(part.header("use-as-dictionary"), None);
}

#[tokio::test]
async fn the_last_versions_are_dictionaries_and_older_ones_are_let_go() {
    let database = Database::create().await;
    let reader = reader(&database, SETTINGS).await;
    let path = changeset("cfr", "_expected=0");
    let mut versions = vec![reader.get(&path).await];
    for step in 1..4 {
        versions.push(change(&database, &reader, T + step * 100).await);
    }
    let newest = versions.last().unwrap().clone();

    for old in &versions[1..3] {
        let got = difference(&reader, &path, &having(&old.body)).await;
        assert_eq!(decode(&got, &old.body), newest.body);
    }
    let oldest = ask(&reader, &path, "gzip, dcz", &having(&versions[0].body)).await;
    assert_eq!(oldest.header("content-encoding"), Some("gzip"));
    let metrics = String::from_utf8(reader.get("/__metrics__").await.body.to_vec()).unwrap();
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("countersign_dictionary_bytes "));
    let bytes: f64 = bytes.unwrap().parse().unwrap();
    assert!(bytes > 4_000.0 && bytes < 30_000.0, "{bytes}");
}

#[tokio::test]
async fn names_that_nobody_knows_make_no_entries_at_caches_nor_here() {
    let database = Database::create().await;
    let settings = [SETTINGS, &[("main.record_cache_expires_seconds", "3600")]].concat();
    let reader = reader(&database, &settings).await;
    let path = changeset("cfr", "_expected=0");
    let mut versions = vec![reader.get(&path).await];
    for step in 1..4 {
        versions.push(change(&database, &reader, T + step * 100).await);
    }
    let public = "max-age=3600, stale-while-revalidate=60, stale-if-error=86400";
    let (oldest, held) = versions.split_first().unwrap();
    // Also while the difference is not made yet.
    for version in held {
        let got = ask(&reader, &path, "gzip, dcz", &having(&version.body)).await;
        assert_eq!(got.header("cache-control"), Some(public));
    }
    assert_eq!(reader.get(&path).await.header("cache-control"), Some(public), "without a name");
    let entries = async || {
        let metrics = String::from_utf8(reader.get("/__metrics__").await.body.to_vec()).unwrap();
        let of =
            |name: &str| metrics.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
        [of("countersign_delta_cache_bytes "), of("countersign_dictionary_bytes ")]
    };
    difference(&reader, &path, &having(&held[1].body)).await;
    let before = entries().await;

    let known = having(&held[0].body);
    let mut strangers: Vec<String> = (0..200_u32).map(|n| having(&n.to_be_bytes())).collect();
    // One that is forgotten, and some that are none.
    strangers.extend([having(&oldest.body), ":AAAA:".into(), "a".into(), format!("{known};a=1")]);
    for name in &strangers {
        for accept in ["gzip, dcz", "gzip"] {
            let got = ask(&reader, &path, accept, name).await;
            assert_eq!(got.header("content-encoding"), Some("gzip"));
            assert_eq!(got.header("cache-control"), Some("private, max-age=3600"), "{name}");
            // Here nothing depends on the name, and it is not in `Vary`.
            let delta = changeset("cfr", &format!("_expected=0&_since={}", T + 400));
            let got = ask(&reader, &delta, accept, name).await;
            assert_eq!(got.header("vary"), Some("Accept-Encoding"));
            assert_eq!(got.header("cache-control"), Some(public));
        }
    }
    let etag = reader.send(Method::GET, &path, &[("accept-encoding", "gzip")]).await;
    let known = [
        ("accept-encoding", "gzip"),
        ("available-dictionary", &*strangers[0]),
        ("if-none-match", etag.header("etag").unwrap()),
    ];
    let known = reader.send(Method::GET, &path, &known).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
    assert_eq!(known.header("cache-control"), Some("private, max-age=3600"));

    // The answers to `_since` are one entry, whatever was named.
    let after = entries().await;
    assert_eq!(before[1], after[1]);
    let bytes = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
    assert!(bytes(&after[0]) - bytes(&before[0]) < 4_000.0, "{before:?}, {after:?}");
}

#[tokio::test]
async fn the_list_of_collections_has_dictionaries_too() {
    let database = Database::create().await;
    for collection in 0..30 {
        let id = format!("collection-{collection}");
        database.collection(&id, T + collection, &json!({}), T + collection).await;
    }
    let reader = reader(&database, SETTINGS).await;
    let path = monitor("_expected=0");
    let first = reader.get(&path).await;
    let expected = "match=\"/v*/buckets/monitor/collections/changes/changeset*\"";
    assert_eq!(first.header("use-as-dictionary"), Some(expected));
    // Loaded again, and nothing is new: that is no version.
    sleep(Duration::from_millis(1_500)).await;
    change(&database, &reader, T + 100).await;

    let got = difference(&reader, &path, &having(&first.body)).await;
    assert_eq!(decode(&got, &first.body), reader.get(&path).await.body);
}

#[tokio::test]
async fn clients_without_dictionaries_see_two_headers_and_no_other_difference() {
    let database = Database::create().await;
    let with = reader(&database, SETTINGS).await;
    let off = [("signature.verify", "off"), ("dictionaries.versions", "0")];
    let without = Reader::of(&database, &off).await;
    fill(&database, "small", 5).await;
    change(&database, &with, T + 100).await;
    let path = changeset("small", "_expected=0");
    without.until(&path, |got| got.status == StatusCode::OK).await;
    let small = with.get(&path).await;
    assert_eq!(small.header("vary"), Some("Accept-Encoding"), "not worth it");

    for query in ["_expected=0", "_expected=1700000000100", "_expected=0&_limit=500"] {
        let path = changeset("cfr", query);
        for accept in ["identity", "gzip", "br", "zstd", "gzip, br, dcz"] {
            let headers = [("accept-encoding", accept)];
            let mut got = with.send(Method::GET, &path, &headers).await;
            let expected = without.send(Method::GET, &path, &headers).await;
            assert_eq!(got.body, expected.body);
            assert_eq!(got.header("vary"), Some("Accept-Encoding, Available-Dictionary"));
            got.headers.insert("vary", "Accept-Encoding".parse().unwrap());
            let matching = got.headers.remove("use-as-dictionary").unwrap();
            assert_eq!(matching, "match=\"/v*/buckets/main/collections/cfr/changeset*\"");
            assert_eq!(without_moment(&got.headers), without_moment(&expected.headers));
        }
    }
}

/// What does not depend on when one asks.
fn without_moment(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    headers.remove("date");
    headers.remove("expires");
    headers
}
