//! What does not verify is not shown.

use http::StatusCode;
use serde_json::json;

use crate::fixture::{Database, Got, Reader, Signer, changeset, monitor};

const T: i64 = 1_700_000_000_000;
const HEARTBEAT: &str = "/v1/__heartbeat__";

fn rejected(reason: Option<&'static str>) -> impl Fn(&Got) -> bool {
    move |got| got.json()["rejected"][0]["reason"].as_str() == reason
}

fn title(got: &Got) -> String {
    got.json()["changes"][0]["title"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_poisoned_record_is_held_back_until_the_state_is_good_again() {
    let (database, signer) = (Database::create().await, Signer::new());
    database.signed("cfr", &signer, "good", T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[]).await;
    assert_eq!(title(&reader.get(&changeset("cfr", "_expected=0")).await), "good");

    // Nobody moves the watermark for this.
    database.run(r#"update record set data = '{"title": "evil"}'"#).await;
    let heartbeat = reader.until(HEARTBEAT, rejected(Some("signature"))).await;

    assert_eq!(heartbeat.status, StatusCode::OK);
    assert_eq!(
        heartbeat.json()["rejected"],
        json!([{"bucket": "main", "collection": "cfr", "reason": "signature"}])
    );
    assert_eq!(title(&reader.get(&changeset("cfr", "_expected=0")).await), "good");
    let metrics = reader.get("/v1/__metrics__").await.body;
    let text = String::from_utf8(metrics.to_vec()).unwrap();
    assert!(!text.contains("rejected_total{reason=\"signature\"} 0"), "{text}");

    database.signed("cfr", &signer, "better", T + 1_000).await;
    database.publish(T + 1_000).await;
    reader.until(&changeset("cfr", "_expected=0"), |got| title(got) == "better").await;
    reader.until(HEARTBEAT, rejected(None)).await;
}

#[tokio::test]
async fn a_repair_without_publication_heals_as_well() {
    let (database, signer) = (Database::create().await, Signer::new());
    database.signed("cfr", &signer, "good", T).await;
    database.run(r#"update record set data = '{"title": "evil"}'"#).await;
    database.publish(T).await;
    let reader = Reader::start(&database.test.url("countersign_reader"), &[]).await;
    reader.until(HEARTBEAT, rejected(Some("signature"))).await;

    let refused = reader.get(&changeset("cfr", "_expected=0")).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(refused.header("cache-control"), Some("no-store"));

    database.run(r#"update record set data = '{"title": "good"}'"#).await;
    reader.until(&changeset("cfr", "_expected=0"), |got| got.status == StatusCode::OK).await;
}

#[tokio::test]
async fn a_reader_that_verifies_nothing_is_not_ready_and_tells_nothing() {
    let (database, signer) = (Database::create().await, Signer::new());
    database.signed("cfr", &signer, "good", T).await;
    database
        .run(
            "update record set data = '{}';
             insert into broadcast_state values ('remote-settings/monitor_changes', 1)",
        )
        .await;
    database.publish(T).await;
    let reader = Reader::start(&database.test.url("countersign_reader"), &[]).await;
    let heartbeat = reader.until(HEARTBEAT, rejected(Some("signature"))).await;

    assert_eq!(heartbeat.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(heartbeat.json()["snapshots"], false);
    let list = monitor("_expected=0");
    let legacy = list.replace("changeset", "records");
    for path in [&list, &list.replace("/v1/", "/v2/"), &legacy, "/v2/"] {
        let got = reader.get(path).await;
        assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(got.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(reader.get("/v1/__broadcasts__").await.json()["broadcasts"], json!({}));

    // Nothing is published: that is another thing.
    database.run("update collection set deleted = true").await;
    reader.until(HEARTBEAT, |got| got.status == StatusCode::OK).await;
    assert_eq!(reader.get(&list).await.json()["changes"], json!([]));
}

#[tokio::test]
async fn only_the_configured_keys_count() {
    let (database, signer, other) = (Database::create().await, Signer::new(), Signer::new());
    database.signed("cfr", &signer, "ours", T).await;
    database.signed("forged", &other, "theirs", T + 9).await;
    database.publish(T).await;
    let path = std::env::temp_dir().join(format!("reader-key-{}.pem", std::process::id()));
    std::fs::write(&path, signer.pem()).unwrap();

    let key = ("signature.public_keys", path.to_str().unwrap());
    let reader = Reader::of(&database, &[key]).await;

    std::fs::remove_file(&path).unwrap();
    assert_eq!(reader.get(&changeset("cfr", "_expected=0")).await.status, StatusCode::OK);
    let forged = reader.get(&changeset("forged", "_expected=0")).await;
    assert_eq!(forged.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn unsigned_collections_are_shown_where_that_is_allowed() {
    let database = Database::create().await;
    database.collection("a", T, &json!({}), T).await;
    database.collection("b", T + 1, &json!({}), T).await;
    database.publish(T).await;
    let allowed = ("signature.unsigned_resources", "/buckets/main/collections/a");
    let reader = Reader::of(&database, &[allowed]).await;

    assert_eq!(reader.get(&changeset("a", "_expected=0")).await.status, StatusCode::OK);
    let unsigned = reader.get(&changeset("b", "_expected=0")).await;
    assert_eq!(unsigned.status, StatusCode::SERVICE_UNAVAILABLE);
    reader.until(HEARTBEAT, rejected(Some("unsigned"))).await;

    let warned = Reader::of(&database, &[("signature.verify", "warn")]).await;
    assert_eq!(warned.get(&changeset("b", "_expected=0")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn time_never_runs_backwards() {
    let (database, signer) = (Database::create().await, Signer::new());
    database.signed("cfr", &signer, "new", T + 1_000).await;
    database.publish(T + 1_000).await;
    let reader = Reader::of(&database, &[]).await;

    database.signed("cfr", &signer, "old", T).await;
    database.publish(T + 2_000).await;
    reader.until(HEARTBEAT, rejected(Some("older"))).await;
    assert_eq!(title(&reader.get(&changeset("cfr", "_expected=0")).await), "new");

    database.publish(T).await;
    reader.until(HEARTBEAT, |got| got.json()["database_is_older"] == true).await;
    assert_eq!(title(&reader.get(&changeset("cfr", "_expected=0")).await), "new");

    database.signed("cfr", &signer, "newer", T + 3_000).await;
    database.publish(T + 3_000).await;
    reader.until(&changeset("cfr", "_expected=0"), |got| title(got) == "newer").await;
    let heartbeat = reader.until(HEARTBEAT, rejected(None)).await;
    assert_eq!(heartbeat.json()["database_is_older"], false);
}

#[tokio::test]
async fn an_unreadable_collection_does_not_keep_the_others_from_moving() {
    let (database, signer) = (Database::create().await, Signer::new());
    database.signed("broken", &signer, "good", T).await;
    database.signed("cfr", &signer, "good", T + 9).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[]).await;

    let poison = r#"update record set data = '{"n": 1e400}' where collection_id = 'broken'"#;
    database.run(poison).await;
    database.signed("cfr", &signer, "better", T + 1_000).await;
    database.publish(T + 1_000).await;

    reader.until(&changeset("cfr", "_expected=0"), |got| title(got) == "better").await;
    reader.until(HEARTBEAT, rejected(Some("unreadable"))).await;
    assert_eq!(title(&reader.get(&changeset("broken", "_expected=0")).await), "good");
}
