//! `monitor/changes` in both forms, changesets and broadcasts: writer and reader answer byte for byte
//! alike (`remote-settings.md` §3 and §4.1).

use shared::testing::TestReply;

use crate::pair::Pair;

const MONITOR: &str = "/buckets/monitor/collections/changes/changeset";
const RECORDS: &str = "/buckets/monitor/collections/changes/records";

/// What clients and caches go by.
const HEADERS: [&str; 11] = [
    "cache-control",
    "content-length",
    "content-type",
    "etag",
    "last-modified",
    "location",
    "next-page",
    "pragma",
    "total-objects",
    "total-records",
    "retry-after",
];

/// Fails where the two answers differ. Only the reader is behind caches: what it refuses may be kept
/// for some seconds, what it serves may be used a little longer, and its changesets have a tag.
#[track_caller]
pub(crate) fn assert_same(what: &str, (writer, reader): &(TestReply, TestReply)) {
    assert_eq!(writer.status, reader.status, "{what}: {}", writer.json);
    assert_eq!(writer.bytes, reader.bytes, "{what}");
    let is_refusal = writer.status >= 400;
    for name in HEADERS {
        let (ours, theirs) = (writer.header(name), reader.header(name));
        let theirs = match name {
            "cache-control" if is_refusal => continue,
            "cache-control" => theirs.split(", stale-").next().unwrap_or_default(),
            "etag" if ours.is_empty() => continue,
            _ => theirs,
        };
        assert_eq!(ours, theirs, "{what}: {name}");
    }
}

async fn published(settings: &[(&str, &str)]) -> (Pair, Vec<i64>) {
    let pair = Pair::start(settings).await;
    let mut timestamps = Vec::new();
    for collection in ["a", "b", "nimbus-preview"] {
        timestamps.push(pair.publish(collection, "one").await);
    }
    (pair, timestamps)
}

const SETTINGS: [(&str, &str); 5] = [
    ("http_host", "rs.example.net"),
    ("http_scheme", "https"),
    ("changes.http_host", "cdn.example.net"),
    ("main.record_cache_expires_seconds", "3600"),
    ("paginate_by", "4"),
];

#[tokio::test]
async fn the_monitor_s_changeset_is_the_same() {
    let (pair, timestamps) = published(&SETTINGS).await;
    let (first, last) = (timestamps[0], timestamps[2]);

    for (query, status) in [
        (String::new(), 400),
        ("_expected=".to_owned(), 400),
        ("_expected=abc".to_owned(), 400),
        ("_expected=0&_expected=1".to_owned(), 400),
        ("_expected=0&_since=%2242".to_owned(), 400),
        ("_expected=0&_since=-1".to_owned(), 400),
        ("_expected=0&_since=4102444800001".to_owned(), 400),
        ("_expected=0&_limit=-1".to_owned(), 400),
        ("_expected=0&_limit=abc".to_owned(), 400),
        ("_expected=0".to_owned(), 200),
        ("_expected=00".to_owned(), 200),
        ("_expected=9999".to_owned(), 200),
        (format!("_expected={last}"), 200),
        (format!("_expected={}", last + 1), 200),
        (format!("_expected={first}"), 200),
        (format!("_expected=%22{last}%22"), 307),
        (format!("_expected={last}%22&_since={first}&x=y"), 307),
        (format!("_since=%221%22&_expected=%22{last}%22"), 307),
        (format!("_expected=5&_since={first}"), 204),
        (format!("_expected=5&_since=%22{first}%22"), 204),
        ("_expected=0&_since=0".to_owned(), 307),
        (format!("_expected={last}&_since=%221%22&bucket=main"), 307),
        (format!("_expected={last}&_since={first}"), 200),
        (format!("_expected={last}&_since=%22{first}%22"), 200),
        (format!("_expected={last}&_since={last}"), 200),
        ("_expected=0&_limit=2".to_owned(), 200),
        ("_expected=0&_limit=0".to_owned(), 200),
        (format!("_expected=0&_limit=1&_since={first}"), 200),
        ("_expected=0&bucket=main".to_owned(), 200),
        ("_expected=0&bucket=main&collection=b".to_owned(), 200),
        ("_expected=0&collection=none".to_owned(), 200),
        ("_expected=0&_sort=x&n=1".to_owned(), 200),
    ] {
        let path = format!("{MONITOR}?{query}");
        let both = pair.ask("GET", &path, &[]).await;
        assert_eq!(both.0.status, status, "{query}: {}", both.0.json);
        assert_same(&query, &both);
        assert_same(&query, &pair.ask("HEAD", &path, &[]).await);
    }
    let conditional =
        pair.ask("GET", &format!("{MONITOR}?_expected=0"), &[("if-match", "*")]).await;
    assert_eq!(conditional.0.status, 200, "conditions mean nothing here");
    assert_same("if-match", &conditional);
    let quoted = pair.ask("GET", &format!("{MONITOR}?_since=%221%22&_expected=%225%22"), &[]).await;
    let to = format!("https://cdn.example.net/v1{MONITOR}?_since=%221%22&_expected=5");
    assert_eq!(quoted.0.header("location"), to);
    assert_eq!(quoted.0.header("cache-control"), "max-age=86400");
}

#[tokio::test]
async fn the_legacy_list_is_the_same() {
    let (pair, timestamps) = published(&SETTINGS).await;
    let (first, last) = (timestamps[0], timestamps[2]);

    for (query, status) in [
        (String::new(), 200),
        ("_expected=0".to_owned(), 200),
        ("_expected=abc".to_owned(), 200),
        (format!("_expected={last}"), 200),
        (format!("_expected=%22{last}%22"), 200),
        (format!("_expected=%225%22&_since=%22{first}%22"), 204),
        ("_since=1".to_owned(), 307),
        ("_since=%221%22&_sort=-id".to_owned(), 307),
        (format!("_since={first}"), 200),
        (format!("_since=%22{first}%22&_expected={last}"), 200),
        (format!("gt_last_modified={first}&_sort=collection"), 200),
        ("bucket=main&_sort=-collection".to_owned(), 200),
        ("in_bucket=main,other&_fields=collection".to_owned(), 200),
        ("like_collection=*-preview".to_owned(), 200),
        ("host=rs.example.net&has_id=true".to_owned(), 200),
        ("bucket=5".to_owned(), 200),
        ("_limit=2".to_owned(), 200),
        ("_limit=0".to_owned(), 200),
        ("_since=abc".to_owned(), 400),
        ("_limit=-1".to_owned(), 400),
        ("title=x".to_owned(), 400),
        ("_sort=title".to_owned(), 400),
        ("_fields=title".to_owned(), 400),
        ("_token=abc".to_owned(), 400),
    ] {
        let path = format!("{RECORDS}?{query}");
        let both = pair.ask("GET", &path, &[]).await;
        assert_eq!(both.0.status, status, "{query}: {}", both.0.json);
        assert_same(&query, &both);
        assert_same(&query, &pair.ask("HEAD", &path, &[]).await);
    }
    let current = format!("\"{last}\"");
    let date = pair.reader.get(RECORDS).await.header("last-modified").to_owned();
    for (name, value, status, is_empty) in [
        ("if-none-match", current.as_str(), 200, true),
        ("if-none-match", "\"1\"", 200, false),
        ("if-none-match", "*", 412, false),
        ("if-none-match", "nonsense", 400, false),
        ("if-match", "\"1\"", 412, false),
        ("if-match", current.as_str(), 200, false),
        ("if-modified-since", date.as_str(), 200, true),
        ("if-modified-since", "Tue, 14 Nov 2023 22:13:20 GMT", 200, false),
    ] {
        let both = pair.ask("GET", RECORDS, &[(name, value)]).await;
        assert_eq!(both.0.status, status, "{name}: {value}");
        assert_eq!(both.0.bytes == "{\"data\":[]}", is_empty, "{name}: {value}");
        assert_same(name, &both);
    }
    for method in ["POST", "PUT", "DELETE"] {
        let both = pair.ask(method, RECORDS, &[]).await;
        assert_eq!((both.0.status, both.1.status), (405, 405), "{method}");
    }
}

#[tokio::test]
async fn pages_of_the_legacy_list_go_on_at_either_service() {
    let (pair, _) = published(&[("paginate_by", "2")]).await;
    let mut path = format!("{RECORDS}?_sort=id");
    let mut ids = Vec::new();
    for turn in 0.. {
        let both = pair.ask("GET", &path, &[]).await;
        assert_same(&path, &both);
        let reply = if turn % 2 == 0 { both.0 } else { both.1 };
        ids.extend(reply.json["data"].as_array().unwrap().iter().map(|e| e["id"].to_string()));
        let next = reply.header("next-page");
        if next.is_empty() {
            break;
        }
        path = next.strip_prefix("/v1").unwrap().to_owned();
    }

    assert_eq!(ids.len(), 6, "three collections and their previews");
    assert!(ids.is_sorted());
}

#[tokio::test]
async fn the_legacy_list_can_be_switched_off() {
    let pair = Pair::start(&[("changes.records_enabled", "false")]).await;

    let both = pair.ask("GET", RECORDS, &[]).await;

    assert_eq!((both.0.status, both.1.status), (404, 404));
    assert_eq!(both.0.bytes, both.1.bytes);
}

#[tokio::test]
async fn changesets_of_collections_are_the_same() {
    let (pair, timestamps) = published(&SETTINGS).await;
    let (first, second) = (timestamps[0], pair.publish("a", "two").await);
    let preview = "/buckets/main-preview/collections/a/changeset";

    for (query, status) in [
        (String::new(), 400),
        ("_expected=0".to_owned(), 200),
        ("_expected=abc".to_owned(), 200),
        (format!("_expected=%22{second}%22"), 200),
        (format!("_expected={second}&_since={first}"), 200),
        (format!("_expected={second}&_since={second}"), 200),
        ("_expected=0&_since=1".to_owned(), 200),
        (format!("_expected=5&_since={first}"), 200),
        ("_expected=0&_since=1&_limit=1".to_owned(), 200),
        ("_expected=0&_limit=x".to_owned(), 400),
    ] {
        let path = format!("/buckets/main/collections/a/changeset?{query}");
        let both = pair.ask("GET", &path, &[]).await;
        assert_eq!(both.0.status, status, "{query}: {}", both.0.json);
        assert_same(&query, &both);
        assert_same(&query, &pair.ask("GET", &format!("{preview}?{query}"), &[]).await);
    }
    let unknown = "/buckets/main/collections/none/changeset?_expected=0";
    assert_eq!(pair.ask("GET", unknown, &[]).await.0.status, 401, "the bucket is not readable");
    assert_same(unknown, &pair.ask("GET", unknown, &[]).await);
}

#[tokio::test]
async fn d19_broadcasts_are_the_same() {
    let (pair, timestamps) = published(&[]).await;
    let nothing = pair.writer.get("/__broadcasts__").await.expect(200);
    assert_eq!(nothing.bytes, "{\"broadcasts\":{},\"code\":200}");
    let told = timestamps[1];
    let owner = pair.database.owner().await;
    let row =
        format!("insert into broadcast_state values ('remote-settings/monitor_changes', {told})");
    owner.batch_execute(&row).await.unwrap();
    let expected = format!(
        "{{\"broadcasts\":{{\"remote-settings/monitor_changes\":\"\\\"{told}\\\"\"}},\"code\":200}}"
    );
    for _ in 0..200 {
        if pair.reader.get("/__broadcasts__").await.bytes == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let both = pair.ask("GET", "/__broadcasts__", &[]).await;

    assert_eq!(both.0.bytes, expected);
    assert_same("broadcasts", &both);
    assert_eq!(both.0.header("cache-control"), "");
}

#[tokio::test]
async fn nothing_published_is_an_empty_list_of_now() {
    let pair = Pair::start(&[]).await;
    for _ in 0..200 {
        if pair.reader.get("/__heartbeat__").await.status == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }

    let (writer, reader) = pair.ask("GET", &format!("{MONITOR}?_expected=0"), &[]).await;

    for reply in [&writer, &reader] {
        assert_eq!(reply.json["changes"], serde_json::json!([]), "{}", reply.json);
        assert!(reply.json["timestamp"].as_i64().unwrap() > 1_700_000_000_000);
    }
    let (writer, reader) = pair.ask("GET", RECORDS, &[]).await;
    assert_eq!(writer.bytes, "{\"data\":[]}");
    assert_eq!(writer.bytes, reader.bytes);
}
