//! Ordinary objects and lists: writer and reader answer anonymous requests alike
//! (`kinto-http-api.md` §2 to §4).

use serde_json::json;

use crate::{agreement::assert_same, pair::Pair};

const OPEN: &str = "/buckets/open/collections/c";

/// `main/a` is published and everybody may read it; `open` is readable and not published; in
/// `shut`, everybody may read one collection, and one record of another.
async fn filled(settings: &[(&str, &str)]) -> Pair {
    let pair = Pair::start(settings).await;
    pair.publish("a", "one").await;
    let everybody = json!({"read": ["system.Everyone"]});
    let make = async |path: &str, data: serde_json::Value, permissions: &serde_json::Value| {
        let body = json!({"data": data, "permissions": permissions});
        pair.writer.send("PUT", path, body).await.expect(201)
    };
    let nobody = json!({});
    make("/buckets/open", json!({"title": "b"}), &everybody).await;
    make(OPEN, json!({"title": "é", "cache_expires": 5}), &nobody).await;
    for (id, n) in [("r1", json!(1)), ("r2", json!("1")), ("r3", json!(2.5)), ("r4", json!([1]))] {
        make(&format!("{OPEN}/records/{id}"), json!({"n": n, "t": {"x": id}}), &nobody).await;
    }
    pair.writer.delete(&format!("{OPEN}/records/r3")).await.expect(200);
    make("/buckets/open/collections/empty", json!({}), &nobody).await;
    make("/buckets/shut", json!({}), &nobody).await;
    make("/buckets/shut/collections/c", json!({}), &everybody).await;
    make("/buckets/shut/collections/d", json!({}), &nobody).await;
    make("/buckets/shut/collections/d/records/r", json!({}), &everybody).await;
    make("/buckets/shut/collections/d/records/s", json!({}), &nobody).await;
    pair.settle("a").await;
    pair
}

const QUERIES: [&str; 31] = [
    "",
    "_sort=n",
    "_sort=-n,id",
    "_sort=-t.x",
    "_sort=last_modified",
    "_limit=1",
    "_limit=0",
    "_limit=2&_sort=id",
    "_since=0",
    "_since=%220%22",
    "_since=0&_limit=2",
    "_before=99",
    "_to=99",
    "n=1",
    "n=%221%22",
    "in_n=1,2.5",
    "not_n=1",
    "gt_n=0",
    "has_n=false",
    "contains_n=1",
    "like_n=1*",
    "id=r1",
    "in_id=r1,r2",
    "_fields=n",
    "_fields=t.x,none",
    "_expected=1&_unknown=2",
    "_limit=x",
    "_since=abc",
    "_token=abc",
    "_since=9999999999999999",
    "like_n=1",
];

#[tokio::test]
async fn lists_are_the_same() {
    let settings = [("main.record_cache_expires_seconds", "60"), ("paginate_by", "3")];
    let pair = filled(&settings).await;
    for path in [
        "/buckets",
        "/buckets/open/collections",
        "/buckets/shut/collections",
        "/buckets/open/collections/c/records",
        "/buckets/open/collections/empty/records",
        "/buckets/shut/collections/d/records",
        "/buckets/main/collections/a/records",
        "/buckets/main/collections",
        "/buckets/main-preview/collections/a/records",
    ] {
        for query in QUERIES {
            let path = format!("{path}?{query}");
            for method in ["GET", "HEAD"] {
                let (writer, mut reader) = pair.ask(method, &path, &[]).await;
                let tokenless = |text: &str| {
                    let (url, rest) = text.split_once("_token=").unwrap_or((text, ""));
                    let place = url.split_once("/v1").map_or("", |(_, place)| place);
                    (place.to_owned(), rest.is_empty())
                };
                let next =
                    (tokenless(writer.header("next-page")), tokenless(reader.header("next-page")));
                assert_eq!(next.0, next.1, "{path}");
                // Each has its own address and its own key.
                if let Some(next) = writer.headers.get("next-page") {
                    reader.headers.insert("next-page", next.clone());
                }
                assert_same(&format!("{method} {path}"), &(writer, reader));
            }
        }
    }
}

#[tokio::test]
async fn objects_are_the_same() {
    let pair = filled(&[("main.record_cache_expires_seconds", "60")]).await;
    for path in [
        "/buckets/open",
        "/buckets/shut",
        "/buckets/none",
        "/buckets/_bad",
        "/buckets/_bad/collections",
        "/buckets/main",
        "/buckets/open/collections/c",
        "/buckets/open/collections/none",
        "/buckets/open/collections/_bad",
        "/buckets/open/collections/none/records",
        "/buckets/open/collections/_bad/records",
        "/buckets/open/collections/none/records/r",
        "/buckets/open/collections/c/records/r1",
        "/buckets/open/collections/c/records/r3",
        "/buckets/open/collections/c/records/_bad",
        "/buckets/open/collections/c/records/r1?_fields=t.x",
        "/buckets/shut/collections/c",
        "/buckets/shut/collections/d",
        "/buckets/shut/collections/d/records/r",
        "/buckets/shut/collections/d/records/s",
        "/buckets/shut/collections/d/records/_bad",
        "/buckets/main/collections/a",
        "/buckets/main/collections/a?_expected=1",
        "/buckets/main/collections/none",
        "/buckets/main/collections/a/records/r",
        "/buckets/main/collections/a/records/none",
        "/buckets/main/collections/a/records/_bad",
        "/buckets/monitor",
        "/buckets/monitor/collections/changes",
    ] {
        for method in ["GET", "HEAD"] {
            assert_same(&format!("{method} {path}"), &pair.ask(method, path, &[]).await);
        }
    }
}

#[tokio::test]
async fn conditions_are_the_same() {
    let pair = filled(&[]).await;
    for path in [
        "/buckets/open",
        "/buckets/open/collections",
        "/buckets/open/collections/c",
        "/buckets/open/collections/c/records",
        "/buckets/open/collections/c/records/r1",
        "/buckets/open/collections/c/records/none",
        "/buckets/main/collections/a",
        "/buckets/main/collections/a/records",
        "/buckets/main/collections/a/records/r",
        "/buckets/shut",
    ] {
        let tag = pair.writer.get(path).await.header("etag").to_owned();
        for name in ["if-match", "if-none-match"] {
            for value in [tag.as_str(), "\"1\"", "\"0\"", "*", "1", "W/\"1\"", "\"abc\"", ""] {
                for method in ["GET", "HEAD"] {
                    let both = pair.ask(method, path, &[(name, value)]).await;
                    assert_same(&format!("{method} {path} {name}: {value}"), &both);
                }
            }
        }
    }
}

#[tokio::test]
async fn pages_of_a_reader_are_the_whole_list() {
    let pair = filled(&[]).await;
    for sort in ["", "_sort=id", "_sort=-n", "_since=0", "_since=0&_sort=t.x"] {
        let whole = pair.writer.get(&format!("{OPEN}/records?{sort}")).await.expect(200);
        let mut path = format!("{OPEN}/records?{sort}&_limit=1");
        let mut found = Vec::new();
        loop {
            let page = pair.reader.get(&path).await.expect(200);
            found.extend(page.json["data"].as_array().unwrap().clone());
            match page.header("next-page").split_once("/v1") {
                Some((_, next)) => path = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(json!(found), whole.json["data"], "{sort}");
    }
}
