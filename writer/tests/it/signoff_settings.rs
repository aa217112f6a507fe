//! The settings of sign-off (`remote-settings.md` §1.1-1.6).

use serde_json::{Value, json};
use shared::{
    config::{Layers, Problems},
    testing::TestClient,
};
use writer::config::{Config, DEFAULTS};

use crate::{
    harness::{Harness, SOURCE, user_id},
    signoff::{MAIN, PREVIEW, assert_signed, published},
};

async fn capability(client: &TestClient) -> Value {
    client.get("/").await.expect(200).json["capabilities"]["signer"].clone()
}

/// A source of alice's, with a record: whether she may publish it alone.
async fn publishes_alone(alice: &TestClient, source: &str) -> bool {
    alice.put(source, json!({})).await.expect(201);
    alice.put(&format!("{source}/records/r"), json!({})).await.expect(201);
    let reply = alice.patch(source, json!({"status": "to-sign"})).await;
    assert!([200, 403].contains(&reply.status), "{}", reply.json);
    reply.status == 200
}

#[tokio::test]
async fn the_capability_is_the_reference_s() {
    let harness = Harness::with(&[
        ("signer.resources", "/buckets/work -> /buckets/preview -> /buckets/main\nx/a;y/a"),
        ("signer.work.nimbus.to_review_enabled", "false"),
        ("signer.x.a.to_review_enabled", "true"),
    ])
    .await;

    let place =
        |bucket: &str, collection: Value| json!({"bucket": bucket, "collection": collection});
    assert_eq!(
        capability(&harness.anonymous).await,
        json!({
            "description": "Digital signatures for integrity and authenticity of records.",
            "url": "https://github.com/mozilla/remote-settings/tree/main/kinto-remote-settings",
            "version": env!("CARGO_PKG_VERSION"),
            "plugin_userid": "plugin:remote-settings",
            "group_check_enabled": true,
            "to_review_enabled": true,
            "editors_group": "{collection_id}-editors",
            "reviewers_group": "{collection_id}-reviewers",
            "resources": [
                {"source": place("work", Value::Null),
                 "preview": place("preview", Value::Null),
                 "destination": place("main", Value::Null)},
                {"source": place("x", "a".into()), "destination": place("y", "a".into())},
                {"source": place("work", "nimbus".into()),
                 "preview": place("preview", "nimbus".into()),
                 "destination": place("main", "nimbus".into()),
                 "to_review_enabled": false},
            ],
        })
    );
}

/// The capability and the rules agree, in every writer, without a restart.
#[tokio::test]
async fn d03_a_pattern_is_about_collections_that_are_made_later() {
    let pattern = (r"signer.work.quick-(\w+)-(desktop|mobile).to_review_enabled", "false");
    let harness = Harness::with(&[pattern]).await;
    let other = harness.again(&[pattern]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    let resources = async |client: &TestClient| {
        capability(client).await["resources"].as_array().unwrap().clone()
    };
    assert_eq!(resources(&harness.anonymous).await.len(), 1, "no pattern is shown");

    let matching = "/buckets/work/collections/quick-fr-desktop";
    assert!(publishes_alone(&harness.alice, matching).await);
    assert!(!publishes_alone(&harness.alice, "/buckets/work/collections/quick-fr").await);
    assert!(!publishes_alone(&harness.alice, "/buckets/work/collections/a-quick-x-mobile").await);

    for client in [&harness.anonymous, &other] {
        let shown = resources(client).await;
        assert_eq!(shown.len(), 2, "{shown:?}");
        assert_eq!(shown[1]["source"]["collection"], "quick-fr-desktop");
        assert_eq!(shown[1]["to_review_enabled"], false);
    }
}

#[tokio::test]
async fn review_is_on_where_the_most_specific_setting_says_so() {
    let harness = Harness::with(&[
        ("signer.resources", "/buckets/work -> /buckets/main\nlax/a -> lax/b\nlax/c -> lax/d"),
        ("signer.to_review_enabled", "true"),
        ("signer.lax.to_review_enabled", "false"),
        ("signer.lax_c.to_review_enabled", "true"),
        ("signer.work.free.to_review_enabled", "false"),
    ])
    .await;
    for bucket in ["work", "lax"] {
        harness.alice.put(&format!("/buckets/{bucket}"), json!({})).await.expect(201);
    }

    for (source, alone) in [
        ("work/collections/free", true),
        ("work/collections/x", false),
        ("lax/collections/a", true),
        ("lax/collections/c", false),
    ] {
        let source = format!("/buckets/{source}");
        assert_eq!(publishes_alone(&harness.alice, &source).await, alone, "{source}");
    }
}

fn problems(settings: &[(&str, &str)]) -> Problems {
    let mut layers = Layers::new(DEFAULTS);
    for (key, value) in [("signer.ecdsa.private_key", "key.pem")].iter().chain(settings) {
        layers.set(key, *value);
    }
    Config::read(&mut layers).unwrap_err()
}

#[test]
fn what_is_wrong_ends_the_start() {
    let resources = ("signer.resources", "/buckets/a -> /buckets/b");
    for (setting, text) in [
        (("signer.resources", "/buckets/a"), "Malformed resource: not separated with '->'"),
        ((r"signer.a.(\w+.to_review_enabled", "false"), "is not a pattern"),
        (("signer.a.(?=x)y.to_review_enabled", "false"), "is not a pattern"),
        (("signer.a.x.to_review_enabled", "maybe"), "expected true or false"),
    ] {
        let problems = problems(&[resources, setting]).to_string();
        assert!(problems.contains(text), "{setting:?}: {problems}");
    }
}

#[tokio::test]
async fn sources_are_made_at_the_start_with_writers_and_nothing_else() {
    let settings = [
        ("signer.auto_create_resources", "true"),
        ("signer.resources", "/buckets/work -> /buckets/main\n/buckets/x/collections/a;y/a"),
        ("signer.work.nimbus.to_review_enabled", "false"),
        ("includes", "kinto.plugins.history"),
    ];
    let harness = Harness::with(&settings).await;

    for path in [
        "/buckets/work",
        "/buckets/x",
        "/buckets/x/collections/a",
        "/buckets/work/collections/nimbus",
    ] {
        let made = harness.bob.get(path).await.expect(200).json;
        assert_eq!(made["permissions"]["write"], json!(["system.Authenticated"]), "{path}");
        assert_eq!(made["data"].as_object().unwrap().len(), 2, "no status: {made}");
    }
    for bucket in ["work", "x"] {
        for list in ["groups", "history"] {
            let list = harness.bob.get(&format!("/buckets/{bucket}/{list}")).await.expect(200);
            assert_eq!(list.json["data"], json!([]));
        }
    }
    harness.bob.get("/buckets/y").await.expect(403);
    harness.bob.get("/buckets/main").await.expect(403);
    harness.check_live_counts().await;

    // What exists stays as it is, also for a second writer that starts.
    harness.bob.patch("/buckets/work", json!({"kept": true})).await.expect(200);
    let again = harness.again(&settings).await.as_user("bob");
    assert_eq!(again.get("/buckets/work").await.json["data"]["kept"], true);
}

/// A source that was made at the start, and never edited, has no status (§1.12, §1.13).
#[tokio::test]
async fn d05_a_source_that_was_never_signed_is_signed_empty() {
    let harness = Harness::with(&[
        ("signer.auto_create_resources", "true"),
        ("signer.resources", "work/c -> preview/c -> main/c"),
    ])
    .await;
    let rollback = harness.alice.patch(SOURCE, json!({"status": "to-rollback"})).await.expect(400);
    assert_eq!(rollback.json["message"], "Collection has no work-in-progress");

    let refreshed = harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);

    assert_eq!(refreshed.json["data"]["status"], "signed", "a command is never stored");
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
        assert!(published(&harness, target).await.is_empty());
    }
    let stored = harness.alice.get(SOURCE).await.json;
    assert_eq!(stored["data"]["status"], "signed");
    assert_eq!(stored["data"].get("last_review_by"), None);
}

/// With pending changes the status stays, and what was never published is signed empty.
#[tokio::test]
async fn d05_a_refresh_before_the_first_approval_publishes_nothing() {
    let harness = Harness::with(&[
        ("signer.auto_create_resources", "true"),
        ("signer.resources", "work/c -> preview/c -> main/c"),
    ])
    .await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
    assert_eq!(harness.status().await, "work-in-progress");

    harness.alice.patch(SOURCE, json!({"status": "to-resign"})).await.expect(200);

    assert_eq!(harness.status().await, "work-in-progress");
    assert!(published(&harness, MAIN).await.is_empty());
    assert_signed(&harness, MAIN).await;
}

#[tokio::test]
async fn destination_writers_may_write_where_their_rights_let_them() {
    let bob = "basicauth:someone-else";
    let plain = Harness::with(&[("signer.destination_write_principals", bob)]).await;
    plain.alice.put("/buckets/main", json!({})).await.expect(403);

    let everybody = [("signer.destination_write_principals", "system.Authenticated")];
    let trusted = plain.again(&everybody).await.as_user("alice");
    trusted.put("/buckets/main", json!({})).await.expect(201);
    trusted.put("/buckets/main/collections/other", json!({})).await.expect(201);
    trusted.as_user("bob").put("/buckets/main/collections/more", json!({})).await.expect(403);
}

/// Nobody gets rights by making the first source: not even on what exists only for it (D2).
#[tokio::test]
async fn d02_targets_are_everybody_s_to_read_and_nobody_s_to_write() {
    let harness = Harness::with_source().await;
    let rows = harness.database.owner().await;
    let rows = rows
        .query(
            "select object_uri, permission, principal from ace
             where bucket_id in ('main', 'preview') order by 1, 2, 3",
            &[],
        )
        .await
        .unwrap();
    let rights: Vec<(String, String, String)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();

    let read = |uri: &str| (uri.to_owned(), "read".to_owned(), "system.Everyone".to_owned());
    assert_eq!(rights, [read(MAIN), read(PREVIEW)]);
    let alice = user_id(&harness.alice).await;
    for kind in ["editors", "reviewers"] {
        let group = harness.alice.get(&format!("/buckets/work/groups/c-{kind}")).await.json;
        assert_eq!(group["permissions"], json!({"write": [alice]}), "trap 19");
    }
}
