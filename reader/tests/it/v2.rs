//! The second API: the first one's bytes, by other rules (`remote-settings.md` §6).

use http::{Method, StatusCode};
use serde_json::json;
use shared::model::Timestamp;

use crate::fixture::{Database, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");
const GRACE: &str = "stale-while-revalidate=60, stale-if-error=86400";
const T: i64 = 1_700_000_000_000;

async fn filled() -> Database {
    let database = Database::create().await;
    database.record("cfr", "a", T + 1, &json!({"title": "countersign ".repeat(50)})).await;
    database.tombstone("cfr", "b", T + 2).await;
    database.collection("cfr", T + 3, &json!({"flags": ["startup"]}), T + 2).await;
    database.collection("nimbus-preview", T + 4, &json!({}), T + 1).await;
    database.publish(T + 3).await;
    database
}

fn v2(path: &str) -> String {
    path.replacen("/v1/", "/v2/", 1)
}

#[tokio::test]
async fn both_apis_send_the_same_bytes() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    for path in [
        changeset("cfr", "_expected=0"),
        changeset("cfr", &format!("_expected=0&_since={T}")),
        monitor("_expected=0"),
        monitor("_expected=0&bucket=main&collection=cfr"),
    ] {
        for accept in ["identity", "gzip"] {
            let accept = [("accept-encoding", accept)];
            let first = reader.send(Method::GET, &path, &accept).await;
            let second = reader.send(Method::GET, &v2(&path), &accept).await;
            assert_eq!(first.body, second.body, "{path}");
            for name in ["etag", "last-modified", "content-encoding", "surrogate-key", "cache-tag"]
            {
                assert_eq!(first.header(name), second.header(name), "{path}: {name}");
            }
            let tag = second.header("etag").unwrap();
            let known = [accept[0], ("if-none-match", tag)];
            let same = reader.send(Method::GET, &v2(&path), &known).await;
            assert_eq!(same.status, StatusCode::NOT_MODIFIED);
        }
    }
}

#[tokio::test]
async fn d23_tombstones_have_a_timestamp_and_since_is_compared() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let changes = async |since: i64| {
        let got = reader.get(&v2(&changeset("cfr", &format!("_expected=0&_since={since}")))).await;
        assert_eq!(got.status, StatusCode::OK);
        got.json()["changes"].clone()
    };

    let tombstone = json!({"id": "b", "last_modified": T + 2, "deleted": true});
    assert_eq!(changes(T + 1).await, json!([tombstone]));
    // No publication has this timestamp.
    assert_eq!(changes(T - 5).await.as_array().unwrap().len(), 2);
    assert_eq!(changes(T + 50).await, json!([]));
}

#[tokio::test]
async fn d25_who_knows_less_than_was_purged_is_sent_to_the_whole_list_below_v2_too() {
    let database = filled().await;
    let horizon = T + 2;
    let sql = format!(
        "update resource_timestamp set tombstone_horizon = {horizon} \
                       where collection_id = 'cfr'"
    );
    database.run(&sql).await;
    let reader = Reader::of(&database, &[OFF]).await;

    let got = reader.get(&v2(&changeset("cfr", &format!("_since={T}&_expected=0")))).await;

    assert_eq!(got.status, StatusCode::TEMPORARY_REDIRECT);
    let whole = v2(&changeset("cfr", "_expected=0"));
    assert_eq!(got.header("location"), Some(whole.as_str()));
}

#[tokio::test]
async fn lifetimes_are_its_own_only_where_settings_say_nothing() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let control = async |reader: &Reader, path: &str| {
        let got = reader.get(&v2(path)).await;
        got.header("cache-control").map(str::to_owned).unwrap_or_default()
    };
    for (path, expected) in [
        (changeset("cfr", "_expected=0"), format!("max-age=3600, {GRACE}")),
        (changeset("nimbus-preview", "_expected=7"), format!("max-age=60, {GRACE}")),
        (changeset("cfr", &format!("_expected={}", T + 9)), "max-age=5".to_owned()),
        (monitor("_expected=0"), format!("max-age=60, {GRACE}")),
        (monitor(&format!("_expected={T}")), format!("max-age=3600, {GRACE}")),
        ("/v1/__broadcasts__".to_owned(), "max-age=60".to_owned()),
    ] {
        assert_eq!(control(&reader, &path).await, expected, "{path}");
    }
    let set = ("main.record_cache_expires_seconds", "7");
    let reader = Reader::of(&filled().await, &[OFF, set]).await;
    let of_settings = control(&reader, &changeset("nimbus-preview", "_expected=7")).await;
    assert!(of_settings.starts_with("max-age=7, "), "{of_settings}");
}

#[tokio::test]
async fn the_root_tells_what_is_served() {
    let nobody = "postgresql://countersign_reader@127.0.0.1:9/none";
    let empty = Reader::start(nobody, &[OFF]).await.get("/v2/").await;
    assert_eq!(empty.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(empty.header("retry-after"), Some("30"));

    let root = Reader::of(&filled().await, &[OFF]).await.get("/v2/").await;
    assert_eq!(root.header("surrogate-key"), Some("countersign monitor/changes"));
    assert_eq!(root.header("cache-control"), Some("max-age=3600"));
    let body = root.json();

    assert_eq!(
        (&body["http_api_version"], &body["settings"]),
        (&json!("2.0"), &json!({"readonly": true}))
    );
    assert_eq!(body["git"]["common"]["timestamp"], T + 2);
    assert_eq!(body["capabilities"]["changes"]["collections"], json!(["/buckets/main"]));
}

#[tokio::test]
async fn refusals_are_kinto_s() {
    let reader = Reader::of(&filled().await, &[OFF, ("backoff", "7")]).await;
    for (path, status, errno) in [
        (changeset("cfr", ""), 422, 107),
        (changeset("cfr", "_expected=5&_since=6"), 400, 107),
        (changeset("none", "_expected=0"), 404, 111),
    ] {
        let got = reader.get(&v2(&path)).await;
        assert_eq!((got.status.as_u16(), &got.json()["errno"]), (status, &json!(errno)), "{path}");
        assert_eq!(got.json()["code"], status);
        assert_eq!(got.header("backoff"), Some("7"));
        assert_eq!(got.header("cache-control"), Some("max-age=5"));
    }
    let limited = reader.get(&v2(&changeset("cfr", "_expected=0&_since=0&_limit=x"))).await;
    assert_eq!(limited.json()["changes"].as_array().unwrap().len(), 2, "_limit means nothing");
}

#[tokio::test]
async fn the_monitor_s_old_since_is_redirected_without_the_database() {
    let nobody = "postgresql://countersign_reader@127.0.0.1:9/none";
    let reader = Reader::start(nobody, &[OFF]).await;
    let old = Timestamp::now().as_millis() - 22 * 86_400_000;

    let got = reader.get(&v2(&monitor(&format!("_expected=1&_since={old}")))).await;

    assert_eq!(got.status, StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(got.header("location"), Some(v2(&monitor("_expected=1")).as_str()));
    assert_eq!(got.header("cache-control"), Some("max-age=86400"));
}
