//! Settings whose effect takes more than one anonymous request to see (`kinto-http-api.md` §8).

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Harness, user_id};

#[tokio::test]
async fn a_batch_has_at_most_as_many_requests_as_the_setting_says() {
    let harness = Harness::with(&[("batch_max_requests", "2")]).await;
    let batch = |requests: usize| json!({"requests": vec![json!({"path": "/"}); requests]});

    harness.alice.send("POST", "/batch", batch(2)).await.expect(200);
    let refused = harness.alice.send("POST", "/batch", batch(3)).await.expect(400);

    assert!(refused.json["message"].as_str().unwrap().contains('2'), "{}", refused.json);
}

#[tokio::test]
async fn without_explicit_permissions_whoever_writes_gets_no_right() {
    let everybody = ("bucket_write_principals", "system.Authenticated");
    let harness = Harness::with(&[("explicit_permissions", "false"), everybody]).await;

    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.patch("/buckets/b", json!({"n": 1})).await.expect(200);

    let owner = harness.database.owner().await;
    let aces = owner.query("select 1 from ace where bucket_id = 'b'", &[]).await.unwrap();
    assert!(aces.is_empty());
    let explicit = harness.again(&[everybody]).await.as_user("bob");
    explicit.patch("/buckets/b", json!({"n": 2})).await.expect(200);
    let aces = owner.query("select 1 from ace where bucket_id = 'b'", &[]).await.unwrap();
    assert_eq!(aces.len(), 1);
}

#[tokio::test]
async fn user_ids_and_their_buckets_depend_on_their_secrets() {
    let includes = ("includes", "kinto.plugins.default_bucket");
    let harness = Harness::with(&[includes]).await;
    let bucket = |hello: Value| hello["user"]["bucket"].as_str().unwrap().to_owned();
    let usual = bucket(harness.alice.get("/").await.json);

    let other = harness.again(&[includes, ("userid_hmac_secret", "x")]).await.as_user("alice");
    assert_ne!(user_id(&other).await, user_id(&harness.alice).await);
    assert_ne!(bucket(other.get("/").await.json), usual, "another user");
    let keyed = [includes, ("default_bucket_hmac_secret", "x")];
    let keyed = harness.again(&keyed).await.as_user("alice");
    let own = bucket(keyed.get("/").await.json);
    assert_ne!(own, usual);
    assert_eq!(keyed.get("/buckets/default").await.expect(200).json["data"]["id"], json!(own));
}

#[tokio::test]
async fn who_is_told_to_come_back_is_told_when() {
    let settings = [("retry_after_seconds", "7"), ("storage_lock_timeout_ms", "100")];
    let harness = Harness::with(&settings).await;
    let owner = harness.database.owner().await;
    owner.batch_execute("begin; lock table bucket in access exclusive mode").await.unwrap();

    let refused = harness.alice.put("/buckets/b", json!({})).await.expect(503);

    assert_eq!((refused.header("retry-after"), &refused.json["errno"]), ("7", &json!(201)));
}

#[tokio::test]
async fn a_failure_of_ours_says_where_to_report_it() {
    let harness = Harness::with(&[("error_info_link", "https://example.com/report")]).await;
    let owner = harness.database.owner().await;
    owner.batch_execute("revoke insert on bucket from countersign_writer").await.unwrap();

    let failed = harness.alice.put("/buckets/b", json!({})).await.expect(500);

    assert_eq!(failed.json["info"], "https://example.com/report");
    let silent = harness.again(&[("error_info_link", "")]).await.as_user("alice");
    let failed = silent.put("/buckets/b", json!({})).await.expect(500);
    assert_ne!(failed.json["info"], "https://example.com/report");
}

#[tokio::test]
async fn a_probe_of_the_heartbeat_has_so_many_seconds() {
    let harness = Harness::with(&[("heartbeat_timeout_seconds", "1")]).await;
    let owner = harness.database.owner().await;
    let lock = "begin; lock table resource_timestamp in access exclusive mode";
    owner.batch_execute(lock).await.unwrap();

    let started = Instant::now();
    let ill = harness.anonymous.get("/__heartbeat__").await.expect(503);

    assert_eq!(ill.json["storage"], false);
    // By default a probe has ten, and a lock is waited for as long.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// What each kind of object has, below `/v1`; history has no objects.
const ENDPOINTS: [(&str, &str, Option<&str>); 6] = [
    ("account", "/accounts", Some("/accounts/alice")),
    ("bucket", "/buckets", Some("/buckets/b")),
    ("collection", "/buckets/b/collections", Some("/buckets/b/collections/c")),
    ("group", "/buckets/b/groups", Some("/buckets/b/groups/g")),
    ("history", "/buckets/b/history", None),
    ("record", "/buckets/b/collections/c/records", Some("/buckets/b/collections/c/records/r")),
];

#[tokio::test]
async fn each_method_of_each_kind_of_object_can_be_switched_off() {
    const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];
    let plugins = [
        ("includes", "kinto.plugins.accounts kinto.plugins.history"),
        ("multiauth.policies", "account"),
        ("multiauth.policy.account.use", "AccountsAuthenticationPolicy"),
    ];
    let first = Harness::with(&plugins).await;
    let mut keys = Vec::new();
    for (resource, ..) in ENDPOINTS {
        for (kind, method) in METHODS.iter().flat_map(|m| [("plural", m), ("object", m)]) {
            keys.push(format!("{kind}_{resource}_{method}_enabled"));
        }
    }
    let mut settings: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "false")).collect();
    settings.extend(plugins);
    let off = first.again(&settings).await;

    for (resource, plural, object) in ENDPOINTS {
        for path in [Some(plural), object].into_iter().flatten() {
            let mut there = 0;
            for method in METHODS {
                let method = method.to_uppercase();
                let usual = first.anonymous.raw(&method, path, &[], "").await;
                let refused = off.raw(&method, path, &[], "").await.expect(405);
                assert_eq!(refused.header("allow"), "OPTIONS", "{method} {path}");
                there += usize::from(usual.status != 405);
            }
            let all = if resource == "history" { 3 } else { [4, 5][usize::from(path != plural)] };
            assert_eq!(there, all, "{path}");
        }
    }
}
