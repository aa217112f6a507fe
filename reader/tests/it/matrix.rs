//! Which status each URL has, below `/v1` and below `/v2` (`remote-settings.md` §3.8).

use http::Method;
use serde_json::json;
use shared::model::Timestamp;

use crate::fixture::{Database, Reader};

/// Path, status below `/v1`, status below `/v2`, where a collection was published at `now`.
fn rows(now: i64) -> Vec<(String, u16, u16)> {
    let monitor = "/buckets/monitor/collections/changes/changeset";
    let cfr = "/buckets/main/collections/cfr/changeset";
    let (since, old) = (now - 1_000, now - 22 * 86_400_000);

    // Where the reference's edge says 406, we say 404, and 200 to the legacy list.
    vec![
        (String::new(), 307, 307),
        ("/".to_owned(), 200, 200),
        ("/boo".to_owned(), 404, 404),
        ("/cert-chains".to_owned(), 404, 404),
        ("/buckets".to_owned(), 200, 404),
        ("/buckets/main".to_owned(), 200, 404),
        ("/buckets/main/collections".to_owned(), 200, 404),
        ("/buckets/main/collections/cfr".to_owned(), 200, 404),
        ("/buckets/main/collections/cfr/records".to_owned(), 200, 404),
        ("/buckets/main/collections/cfr/records/r".to_owned(), 200, 404),
        (cfr.to_owned(), 400, 422),
        (format!("{cfr}?_expected=0"), 200, 200),
        (format!("{cfr}?_expected={now}"), 200, 200),
        (format!("{cfr}?_expected={now}&_since={since}"), 200, 200),
        (format!("{cfr}?_expected={now}&_since=%22{since}%22"), 200, 422),
        (format!("{cfr}?_expected=%22{now}%22"), 200, 422),
        (format!("{cfr}?_expected=%22abc%22"), 200, 422),
        (format!("{cfr}?_expected={since}&_since={now}"), 200, 400),
        (format!("{cfr}?_expected={now}&_since={old}"), 200, 200),
        ("/buckets/main/collections/none/changeset?_expected=0".to_owned(), 404, 404),
        ("/buckets/none/collections/none/changeset?_expected=0".to_owned(), 401, 404),
        (monitor.to_owned(), 400, 422),
        (format!("{monitor}?_expected=0"), 200, 200),
        (format!("{monitor}?_expected={now}"), 200, 200),
        (format!("{monitor}?_expected={now}&_since={since}"), 200, 200),
        (format!("{monitor}?_expected={now}&_since=%22{since}%22"), 200, 422),
        (format!("{monitor}?_expected=abc"), 400, 422),
        (format!("{monitor}?_expected={}", "9".repeat(22)), 200, 422),
        (format!("{monitor}?_expected=%22{now}%22"), 307, 422),
        (format!("{monitor}?_expected={now}%22"), 307, 422),
        (format!("{monitor}?_expected={now}&_since={old}"), 307, 307),
        (format!("{monitor}?_expected={now}&_since=%22{old}%22"), 307, 307),
        (format!("{monitor}?_expected={since}&_since={now}"), 204, 400),
        ("/buckets/monitor/collections/changes/records".to_owned(), 200, 404),
        ("/__broadcasts__".to_owned(), 200, 200),
        ("/__heartbeat__".to_owned(), 200, 200),
        ("/__lbheartbeat__".to_owned(), 200, 200),
        ("/__version__".to_owned(), 200, 200),
        ("/__metrics__".to_owned(), 200, 200),
    ]
}

#[tokio::test]
async fn the_status_matrix_holds_for_get_and_head() {
    let now = Timestamp::now().as_millis();
    let database = Database::create().await;
    database.record("cfr", "r", now, &json!({"title": "x"})).await;
    database.collection("cfr", now + 1, &json!({}), now).await;
    database.publish(now + 1).await;
    let reader = Reader::of(&database, &[("signature.verify", "off")]).await;
    for (path, v1, v2) in rows(now) {
        for (api, expected) in [("/v1", v1), ("/v2", v2)] {
            for method in [Method::GET, Method::HEAD] {
                let got = reader.send(method.clone(), &format!("{api}{path}"), &[]).await;
                assert_eq!(got.status.as_u16(), expected, "{method} {api}{path}");
                assert!(method == Method::GET || got.body.is_empty(), "{method} {api}{path}");
            }
        }
    }
    let root = reader.get("/").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (307, Some("/v1/")));
    assert_eq!(reader.get("/v2").await.header("location"), Some("/v2/"));
}
