//! Ordinary objects and lists: from memory where they are published, else from the database.

use futures_util::future::join_all;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    fixture::{Database, Got, Reader},
    outage::connections,
};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;
const CFR: &str = "/v1/buckets/main/collections/cfr";
const OPEN: &str = "/v1/buckets/other/collections/open";

/// `main/cfr` is published; `other` is not, and of it everybody may read `open`, and a record of
/// `shut`.
async fn filled() -> Database {
    let database = Database::create().await;
    for (id, at) in [("a", T + 1), ("b", T + 3)] {
        database.record("cfr", id, at, &json!({"title": id, "n": at})).await;
    }
    database.tombstone("cfr", "gone", T + 2).await;
    database.collection("cfr", T + 4, &json!({"flags": ["startup"]}), T + 3).await;
    database
        .run(&format!(
            "insert into bucket (bucket_id, id, last_modified, data)
                 values ('other', 'other', 2, '{{}}');
             insert into collection (bucket_id, id, last_modified, data)
                 values ('other', 'open', {T}, '{{\"cache_expires\": 9}}'),
                        ('other', 'shut', {T} + 1, '{{}}');
             insert into record (bucket_id, collection_id, id, last_modified, data)
                 values ('other', 'open', 'r', {T} + 5, '{{\"title\": \"x\"}}'),
                        ('other', 'shut', 'r', {T} + 6, '{{}}'),
                        ('other', 'shut', 's', {T} + 7, '{{}}');
             insert into resource_timestamp values ('other', 'open', 'record', {T} + 5),
                 ('other', 'shut', 'record', {T} + 7), ('other', '', 'collection', {T} + 1);
             insert into ace values
                 ('other', '/buckets/other/collections/open', 'read', 'system.Everyone'),
                 ('other', '/buckets/other/collections/shut/records/r', 'write',
                  'system.Everyone')"
        ))
        .await;
    database.publish(T + 4).await;
    database
}

fn ids(got: &Got) -> Vec<String> {
    assert_eq!(got.status, StatusCode::OK, "{:?}", got.json());
    let data = got.json()["data"].clone();
    let id = |object: &Value| object["id"].as_str().unwrap().to_owned();
    data.as_array().unwrap().iter().map(id).collect()
}

#[tokio::test]
async fn published_records_are_a_list_with_filters_and_pages() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let of = async |query: &str| ids(&reader.get(&format!("{CFR}/records{query}")).await);

    assert_eq!(of("").await, ["b", "a"]);
    assert_eq!(of("?_sort=title").await, ["a", "b"]);
    assert_eq!(of("?title=a").await, ["a"]);
    assert_eq!(of("?_since=0").await, ["b", "gone", "a"]);
    let first = reader.get(&format!("{CFR}/records?_limit=1")).await;
    assert_eq!(ids(&first), ["b"]);
    let next = first.header("next-page").unwrap();
    assert!(next.starts_with(CFR), "{next}: no host that a request could have named");
    let last = reader.get(next).await;
    assert_eq!((ids(&last), last.header("next-page")), (vec!["a".to_owned()], None));
    let head = reader.send(Method::HEAD, &format!("{CFR}/records?_limit=1"), &[]).await;
    assert_eq!(
        (head.header("total-records"), head.header("content-length")),
        (Some("2"), Some("11"))
    );
    assert_eq!(first.header("etag"), Some(format!("\"{}\"", T + 3).as_str()));
    assert_eq!(first.header("surrogate-key"), Some("countersign bucket:main main/cfr"));
    assert_eq!(first.header("cache-control"), Some("no-cache, no-store"));
}

#[tokio::test]
async fn conditions_are_judged_as_on_a_writer() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let (list, record) = (format!("\"{}\"", T + 3), format!("\"{}\"", T + 1));
    for (path, name, value, status) in [
        ("/records", "if-none-match", list.as_str(), 304),
        ("/records", "if-none-match", "*", 412),
        ("/records", "if-match", "\"1\"", 412),
        ("/records", "if-match", "1", 400),
        ("/records/a", "if-none-match", &record, 304),
        ("/records/a", "if-match", "\"1\"", 412),
        ("/records/a", "if-match", &record, 200),
        ("/records/none", "if-match", &record, 404),
        ("", "if-none-match", &format!("\"{}\"", T + 4), 304),
    ] {
        let got = reader.send(Method::GET, &format!("{CFR}{path}"), &[(name, value)]).await;
        assert_eq!(got.status.as_u16(), status, "{path} {name}: {value}");
        if status == 304 {
            assert_eq!((got.body.len(), got.header("cache-control")), (0, None));
            assert!(got.header("content-type").is_none() && got.header("etag").is_some());
        }
    }
}

#[tokio::test]
async fn an_object_shows_no_permissions_and_a_private_one_is_as_if_it_were_not_there() {
    let reader = Reader::of(&filled().await, &[OFF]).await;

    let record = reader.get(&format!("{CFR}/records/a")).await.json();
    let data = json!({"id": "a", "last_modified": T + 1, "title": "a", "n": T + 1});
    assert_eq!(record, json!({"permissions": {}, "data": data}));
    let metadata = reader.get(&format!("{CFR}?_expected=1")).await;
    let data = json!({"id": "cfr", "last_modified": T + 4, "flags": ["startup"]});
    assert_eq!(metadata.json()["data"], data);
    let selected = reader.get(&format!("{CFR}/records/a?_fields=n")).await.json();
    assert_eq!(selected, json!({"data": {"id": "a", "last_modified": T + 1, "n": T + 1}}));

    let mut bodies = Vec::new();
    for path in [
        "/v1/buckets/other",
        "/v1/buckets/none",
        "/v1/buckets/_bad",
        "/v1/buckets/other/collections/shut",
        "/v1/buckets/other/collections/none",
        "/v1/buckets/other/collections/_bad",
        "/v1/buckets/other/collections/none/records",
        "/v1/buckets/other/collections/_bad/records",
        "/v1/buckets/other/collections/shut/records/s",
        "/v1/buckets/other/collections/shut/records/none",
        "/v1/buckets/other/collections/shut/records/_bad",
        "/v1/buckets/none/collections",
        "/v1/buckets/_bad/collections",
    ] {
        let got = reader.get(path).await;
        assert_eq!(got.status, StatusCode::UNAUTHORIZED, "{path}");
        bodies.push(got.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "they are not told apart");
    for (path, status) in [
        ("/v1/buckets/main/collections/none", 404),
        ("/v1/buckets/main/collections/none/records", 404),
        ("/v1/buckets/main/collections/_bad", 400),
        ("/v1/buckets/main/collections/cfr/records/none", 404),
        ("/v1/buckets/main/collections/cfr/records/_bad", 400),
        ("/v1/buckets/main/collections/cfr/records/gone", 404),
        ("/v1/buckets/other/collections/open/records/none", 404),
        ("/v1/buckets/other/collections/open/records/_bad", 400),
        ("/v1/buckets/main/collections/_bad/records", 404),
    ] {
        assert_eq!(reader.get(path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn what_everybody_may_read_by_itself_is_all_that_a_list_shows() {
    let reader = Reader::of(&filled().await, &[OFF]).await;

    assert_eq!(ids(&reader.get("/v1/buckets").await), ["main"]);
    assert_eq!(ids(&reader.get("/v1/buckets/main/collections").await), ["cfr"]);
    assert_eq!(ids(&reader.get("/v1/buckets/other/collections").await), ["open"]);
    assert_eq!(ids(&reader.get(&format!("{OPEN}/records")).await), ["r"]);
    let shut = "/v1/buckets/other/collections/shut/records?_since=0";
    assert_eq!(ids(&reader.get(shut).await), ["r"]);
    let lists = reader.get("/v1/buckets/main/collections").await;
    assert_eq!(lists.header("surrogate-key"), Some("countersign bucket:main collections:main"));
}

#[tokio::test]
async fn lifetimes_are_those_of_kinto_s_settings() {
    let settings = [
        OFF,
        ("main.record_cache_expires_seconds", "60"),
        ("collection_cache_expires_seconds", "7"),
    ];
    let reader = Reader::of(&filled().await, &settings).await;
    for (path, expected) in [
        (format!("{CFR}/records"), "max-age=60"),
        (format!("{CFR}/records/a"), "max-age=60"),
        (CFR.to_owned(), "max-age=7"),
        ("/v1/buckets/main/collections".to_owned(), "max-age=7"),
        ("/v1/buckets/main".to_owned(), "no-cache, no-store"),
        // The collection's own attribute.
        (format!("{OPEN}/records"), "max-age=9"),
        (format!("{OPEN}/records/r"), "max-age=9"),
    ] {
        assert_eq!(reader.get(&path).await.header("cache-control"), Some(expected), "{path}");
    }
}

#[tokio::test]
async fn published_records_need_no_database_and_others_are_refused_without_it() {
    let database = filled().await;
    let reader = Reader::of(&database, &[OFF]).await;
    assert_eq!(ids(&reader.get(&format!("{OPEN}/records")).await), ["r"]);

    connections(&database, "false").await;
    reader.until("/v1/__heartbeat__", |got| got.json()["storage"] == false).await;

    assert_eq!(ids(&reader.get(&format!("{CFR}/records")).await), ["b", "a"]);
    assert_eq!(reader.get(CFR).await.status, StatusCode::OK);
    let is_away = |got: &Got| got.status == StatusCode::SERVICE_UNAVAILABLE;
    let away = reader.until(&format!("{OPEN}/records"), is_away).await;
    assert_eq!(
        (away.header("retry-after"), away.header("cache-control")),
        (Some("30"), Some("no-store"))
    );

    connections(&database, "true").await;
    reader.until(&format!("{OPEN}/records"), |got| got.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_crowd_costs_one_read() {
    let reader = Reader::of(&filled().await, &[OFF, ("database_reads.keep_ms", "60000")]).await;
    let path = format!("{OPEN}/records");

    let all = join_all((0..50).map(|_| reader.get(&path))).await;

    assert!(all.iter().all(|got| got.status == StatusCode::OK));
    let metrics = reader.get("/v1/__metrics__").await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("countersign_database_reads_total 1\n"), "{text}");
}

#[tokio::test]
async fn a_slow_database_keeps_nobody_waiting_and_the_published_not_at_all() {
    let database = filled().await;
    let patience = ("database_reads.patience_ms", "300");
    let reader = Reader::of(&database, &[OFF, patience]).await;
    database.run("begin; lock table record in access exclusive mode").await;
    let started = std::time::Instant::now();

    let paths: Vec<String> = (0..20).map(|at| format!("{OPEN}/records/r{at}")).collect();
    let all = join_all(paths.iter().map(|path| reader.get(path))).await;

    assert!(all.iter().all(|got| got.status == StatusCode::SERVICE_UNAVAILABLE));
    assert!(started.elapsed().as_millis() < 3_000, "{:?}", started.elapsed());
    assert_eq!(ids(&reader.get(&format!("{CFR}/records")).await), ["b", "a"]);
    database.run("rollback").await;
}

#[tokio::test]
async fn a_list_that_is_too_large_is_refused() {
    let small = ("database_reads.max_bytes", "1000");
    let database = filled().await;
    database
        .run(&format!(
            "insert into record (bucket_id, collection_id, id, last_modified, data)
             select 'other', 'open', 'x' || n, {T} + 100 + n, '{{}}' from generate_series(1, 50) n"
        ))
        .await;
    let reader = Reader::of(&database, &[OFF, small]).await;

    let got = reader.get(&format!("{OPEN}/records")).await;

    assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reader.get(&format!("{OPEN}/records/x7")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_published_collection_is_never_read_past_its_signature() {
    let database = filled().await;
    let reader = Reader::start(&database.test.url("countersign_reader"), &[]).await;
    reader.until("/v1/__heartbeat__", |got| got.json()["rejected"] != json!([])).await;

    // Unsigned: there was no good state yet.
    for path in [CFR.to_owned(), format!("{CFR}/records"), format!("{CFR}/records/a")] {
        assert_eq!(reader.get(&path).await.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
}

#[tokio::test]
async fn a_list_that_was_never_written_is_empty() {
    let database = filled().await;
    database
        .run(
            "insert into collection (bucket_id, id, last_modified, data)
                 values ('other', 'new', 77, '{}');
             insert into ace values
                 ('other', '/buckets/other/collections/new', 'read', 'system.Everyone')",
        )
        .await;
    let reader = Reader::of(&database, &[OFF]).await;

    let got = reader.get("/v1/buckets/other/collections/new/records").await;

    assert_eq!((ids(&got), got.header("etag")), (Vec::new(), Some("\"77\"")));
}
