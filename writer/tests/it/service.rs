//! What the service as a whole answers (`kinto-http-api.md` §1).

use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn the_hello_view_says_who_and_what() {
    let harness = Harness::start().await;

    let hello = harness.alice.get("/").await.expect(200).json;

    assert_eq!(hello["http_api_version"], "1.23");
    assert_eq!(hello["settings"]["batch_max_requests"], 25);
    assert_eq!(
        hello["user"]["id"],
        "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7"
    );
    assert_eq!(hello["capabilities"]["signer"]["resources"][0]["source"]["bucket"], "work");
    assert!(hello["url"].as_str().unwrap().ends_with("/v1/"));
    let garbage = [("authorization", "Basic %%%")];
    let anonymous = harness.anonymous.raw("GET", "/", &garbage, "").await.expect(200).json;
    assert_eq!(anonymous.get("user"), None);
}

#[tokio::test]
async fn operators_see_health_and_metrics() {
    let harness = Harness::start().await;

    let heartbeat = harness.anonymous.get("/__heartbeat__").await.expect(200).json;
    assert_eq!(heartbeat["storage"], true);
    assert_eq!(heartbeat["signer"], true);
    assert_eq!(harness.anonymous.get("/__lbheartbeat__").await.expect(200).json, json!({}));
    harness.anonymous.get("/__version__").await.expect(200);
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.anonymous.get("/nothing").await.expect(404);
    let metrics = harness.anonymous.get("/__metrics__").await.expect(200).bytes;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in [
        r#"countersign_requests_total{method="PUT",route="bucket-object",status="201"} 1"#,
        r#"countersign_requests_total{method="GET",route="unknown",status="404"} 1"#,
        "countersign_db_pool_size ",
        r#"countersign_request_duration_seconds_bucket{method="PUT",route="bucket-object""#,
    ] {
        assert!(metrics.contains(line), "{line}");
    }
}

#[tokio::test]
async fn methods_and_urls_that_do_not_exist_are_told_apart() {
    let harness = Harness::start().await;

    let refused = harness.anonymous.send("POST", "/__heartbeat__", json!({})).await.expect(405);
    assert_eq!(
        (refused.json["errno"].as_u64(), refused.header("allow")),
        (Some(115), "GET, HEAD, OPTIONS")
    );
    assert_eq!(harness.anonymous.get("/unknown").await.expect(404).json["errno"], 111);
    let slash = harness.anonymous.get("/buckets/?_limit=1").await.expect(307);
    assert!(slash.header("location").ends_with("/v1/buckets?_limit=1"));
    let every = harness.anonymous.get("/unknown").await;
    assert_eq!(every.header("x-content-type-options"), "nosniff");
    assert!(every.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn a_lost_database_is_a_503_that_says_when_to_come_back() {
    let harness = Harness::with_collection().await;
    let owner = harness.database.owner().await;
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity
               where datname = current_database() and pid <> pg_backend_pid()";
    owner.query(cut, &[]).await.unwrap();

    // The pool's connections are dead: the request may fail once, and must then heal.
    let first = harness.alice.get("/buckets/b").await;
    assert!([200, 503].contains(&first.status), "{}", first.json);
    if first.status == 503 {
        assert_eq!(first.json["errno"], 201);
        assert_eq!(first.header("retry-after"), "3");
    }
    let mut healed = false;
    for _ in 0..10 {
        healed |= harness.alice.get("/buckets/b").await.status == 200;
    }
    assert!(healed);
}

#[tokio::test]
async fn a_failing_backend_is_one_false_key_of_the_heartbeat() {
    let harness = Harness::start().await;
    let owner = harness.database.owner().await;
    owner.query("revoke insert on resource_timestamp from countersign_writer", &[]).await.unwrap();

    let ill = harness.anonymous.get("/__heartbeat__").await.expect(503);
    assert_eq!(
        ill.json,
        json!({"storage": false, "permission": false, "cache": false, "signer": true})
    );
    let reader = harness.again(&[("readonly", "true")]).await;
    reader.get("/__heartbeat__").await.expect(200);
}

#[tokio::test]
async fn requests_above_the_limits_are_told_in_json() {
    let harness = Harness::with(&[("http.max_body_bytes", "1000")]).await;
    let long = "x".repeat(20_000);

    for (path, header, body, status) in [
        (format!("/buckets?a={long}"), "", "", 414),
        ("/buckets".to_owned(), &*"y".repeat(40_000), "", 431),
        ("/buckets".to_owned(), "", &long, 413),
    ] {
        let headers = [("x-long", header)];
        let refused = harness.alice.raw("POST", &path, &headers, body.to_owned()).await;
        let refused = refused.expect(status);
        assert_eq!(refused.json["errno"], 113);
        assert_eq!(refused.json["code"], status);
        assert_eq!(refused.header("x-content-type-options"), "nosniff");
    }
}

#[tokio::test]
async fn the_project_says_how_to_contribute_and_which_version_runs() {
    let file = std::env::temp_dir().join(format!("{}.json", uuid::Uuid::new_v4()));
    std::fs::write(&file, r#"{"name": "n", "build": "42"}"#).unwrap();
    let harness = Harness::with(&[("version_json_path", file.to_str().unwrap())]).await;
    std::fs::remove_file(&file).unwrap();

    let version = harness.anonymous.get("/__version__").await.expect(200).json;
    assert_eq!(version, json!({"name": "n", "build": "42"}), "read once, and kept");
    let contribute = harness.anonymous.get("/contribute.json").await.expect(200).json;
    assert_eq!(contribute["repository"]["license"], "Apache-2.0");
}

#[tokio::test]
async fn paths_and_query_strings_that_are_not_utf_8_are_told_before_anything_else() {
    let harness = Harness::start().await;

    let path = harness.anonymous.get("/%82%AC").await.expect(400);
    assert_eq!(path.json["message"], "Invalid URL path.");
    assert_eq!(path.json["error"], "Bad Request");
    let query = harness.anonymous.send("LOCK", "/buckets?a=%82", json!({})).await.expect(400);
    assert!(query.json["message"].as_str().unwrap().ends_with("encoded in UTF-8: a=%82"));
    let slash = harness.alice.get("/buckets/a%2Fb").await.expect(404);
    assert_eq!(slash.json["errno"], 111);
}
