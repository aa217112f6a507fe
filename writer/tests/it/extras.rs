//! Flush, counters, erasing what a user owns, Kinto's metrics, and what must not be left behind.

use serde_json::{Value, json};
use shared::model::Timestamp;

use crate::harness::{Harness, SOURCE, ids, user_id};

const RECORDS: &str = "/buckets/b/collections/c/records";

async fn harness(settings: &[(&str, &str)]) -> Harness {
    let includes = "kinto.plugins.flush kinto.plugins.counters kinto.plugins.prometheus \
                    kinto.plugins.history kinto.plugins.quotas";
    let settings = [&[("includes", includes)], settings].concat();
    let harness = Harness::with(&settings).await;
    let alice = &harness.alice;
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    alice.put("/buckets/b/groups/g", json!({"members": ["account:x"]})).await.expect(201);
    for record in ["r1", "r2", "r3"] {
        alice.put(&format!("{RECORDS}/{record}"), json!({})).await.expect(201);
    }
    harness
}

/// The tables that have rows of a bucket, by name.
async fn tables_with(harness: &Harness, bucket: &str) -> Vec<(&'static str, i64)> {
    let client = harness.database.pool("countersign_writer").get().await.unwrap();
    let mut found = Vec::new();
    for table in [
        "bucket",
        "\"group\"",
        "collection",
        "record",
        "history",
        "resource_timestamp",
        "ace",
        "membership",
    ] {
        let text = format!("select count(*) from {table} where bucket_id = $1");
        let count: i64 = client.query_one(&text, &[&bucket]).await.unwrap().get(0);
        found.push((table, count));
    }
    let text = "select count(*) from quota_usage
                where parent_id = '/buckets/' || $1 or parent_id like '/buckets/' || $1 || '/%'";
    found.push(("quota_usage", client.query_one(text, &[&bucket]).await.unwrap().get(0)));
    found.retain(|(_, count)| *count > 0);
    found
}

#[tokio::test]
async fn of_a_deleted_bucket_a_tombstone_is_left_and_nothing_else() {
    let harness = harness(&[]).await;
    let alice = &harness.alice;
    // Its neighbour has a name that begins like it.
    alice.put("/buckets/b-1", json!({})).await.expect(201);
    alice.put("/buckets/b-1/groups/g", json!({"members": ["account:x"]})).await.expect(201);
    let neighbour = tables_with(&harness, "b-1").await;
    let full = tables_with(&harness, "b").await;
    for table in ["bucket", "\"group\"", "collection", "record", "ace", "membership"] {
        assert!(full.iter().any(|(name, _)| *name == table), "{table} of {full:?}");
    }

    alice.delete(&format!("{RECORDS}/r1")).await.expect(200);
    alice.delete("/buckets/b").await.expect(200);
    assert_eq!(tables_with(&harness, "b").await, [("bucket", 1)], "the tombstone");

    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/groups/g", json!({"members": ["account:x"]})).await.expect(201);
    for list in ["/buckets/b/collections", "/buckets/b/groups?_since=0"] {
        assert!(ids(&alice.get(list).await.expect(200).json).len() < 2, "{list}");
    }
    alice.raw("DELETE", "/buckets?id=b", &[], "").await;
    alice.delete("/buckets/b").await;
    assert_eq!(tables_with(&harness, "b").await, [("bucket", 1)], "by a list, too");
    assert_eq!(tables_with(&harness, "b-1").await, neighbour);
}

#[tokio::test]
async fn of_a_deleted_collection_no_right_and_no_record_is_left() {
    let harness = harness(&[]).await;
    let bob = user_id(&harness.bob).await;
    let share = json!({"permissions": {"read": [bob]}});
    harness.alice.send("PATCH", &format!("{RECORDS}/r1"), share).await.expect(200);
    harness.bob.get(&format!("{RECORDS}/r1")).await.expect(200);

    harness.alice.delete("/buckets/b/collections/c").await.expect(200);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);

    assert!(ids(&harness.alice.get(&format!("{RECORDS}?_since=0")).await.json).is_empty());
    harness.alice.put(&format!("{RECORDS}/r1"), json!({})).await.expect(201);
    harness.bob.get(&format!("{RECORDS}/r1")).await.expect(403);
}

#[tokio::test]
async fn former_members_get_nothing_from_a_bucket_that_is_made_again() {
    let harness = harness(&[]).await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let member = json!({"members": [user_id(bob).await]});
    let group = "/buckets/b/groups/g";
    let share = json!({"data": {}, "permissions": {"read": [group]}});
    alice.put(group, member.clone()).await.expect(200);
    alice.send("PUT", "/buckets/b/collections/c", share.clone()).await.expect(200);
    bob.get("/buckets/b/collections/c").await.expect(200);

    // A group that is deleted with its list.
    alice.delete("/buckets/b/groups").await.expect(200);
    bob.get("/buckets/b/collections/c").await.expect(403);
    alice.put(group, member).await.expect(201);
    bob.get("/buckets/b/collections/c").await.expect(200);
    // And with its bucket: same names again, but nobody is a member.
    alice.delete("/buckets/b").await.expect(200);
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.send("PUT", "/buckets/b/collections/c", share).await.expect(201);
    bob.get("/buckets/b/collections/c").await.expect(403);
    let principals = bob.get("/").await.json["user"]["principals"].to_string();
    assert!(!principals.contains(group), "{principals}");
}

#[tokio::test]
async fn a_bucket_made_again_tells_that_its_collections_were_deleted() {
    let harness = harness(&[]).await;
    let made = harness.alice.put("/buckets/again/collections/c", json!({})).await;
    assert_eq!(made.status, 403, "not below what is not there");
    harness.alice.put("/buckets/again", json!({})).await.expect(201);
    let made = harness.alice.put("/buckets/again/collections/c", json!({})).await.expect(201);
    let made = made.json["data"]["last_modified"].as_i64().unwrap();
    assert_eq!(harness.deleted("again", "c").await, Timestamp::ZERO);

    harness.alice.delete("/buckets/again").await.expect(200);
    assert_eq!(harness.deleted("again", "c").await, Timestamp::LATEST, "a tombstone");
    harness.alice.put("/buckets/again", json!({})).await.expect(201);

    let deleted = harness.deleted("again", "c").await;
    assert!(deleted.as_millis() >= made && deleted < Timestamp::LATEST, "{deleted}");
    assert_eq!(harness.deleted("b", "c").await, Timestamp::ZERO);
}

#[tokio::test]
async fn a_flush_leaves_nothing_and_moves_the_clocks_on() {
    let harness = harness(&[]).await;
    let (anonymous, alice) = (&harness.anonymous, &harness.alice);
    let etag = alice.get("/buckets").await.header("etag").to_owned();
    let client = harness.database.pool("countersign_writer").get().await.unwrap();
    let publication = "select last_modified from publication_clock";
    let before: i64 = client.query_one(publication, &[]).await.unwrap().get(0);

    assert_eq!(anonymous.get("/__flush__").await.expect(405).header("allow"), "POST, OPTIONS");
    let flushed = anonymous.raw("POST", "/__flush__", &[], "not JSON").await.expect(202);
    assert_eq!(flushed.json, json!({}));

    assert!(tables_with(&harness, "b").await.is_empty());
    let counters = anonymous.get("/__counters__").await.expect(200).json;
    assert_eq!(counters, json!({"objects": {}, "tombstones": {}}));
    let list = alice.get("/buckets").await.expect(200);
    assert!(ids(&list.json).is_empty());
    assert!(list.header("etag") > etag.as_str(), "{} after {etag}", list.header("etag"));
    let after: i64 = client.query_one(publication, &[]).await.unwrap().get(0);
    assert!(after > before, "readers notice");
    assert!(harness.deleted("b", "c").await.as_millis() >= after, "and know that it was meant");
    alice.put("/buckets/b", json!({})).await.expect(201);
}

#[tokio::test]
async fn counters_count() {
    let harness = harness(&[]).await;
    harness.alice.delete(&format!("{RECORDS}/r1")).await.expect(200);
    harness.alice.put("/buckets/other", json!({})).await.expect(201);
    harness.alice.delete("/buckets/other").await.expect(200);

    let counters = harness.anonymous.get("/__counters__").await.expect(200).json;

    for (resource, live) in [("bucket", 1), ("collection", 1), ("group", 1), ("record", 2)] {
        assert_eq!(counters["objects"][resource], live, "{resource}: {counters}");
    }
    assert_eq!(counters["tombstones"], json!({"bucket": 1, "record": 1}));
    harness.anonymous.send("POST", "/__counters__", json!({})).await.expect(405);
    harness.anonymous.raw("HEAD", "/__counters__", &[], "").await.expect(200);
}

#[tokio::test]
async fn what_is_not_included_is_not_there() {
    let harness = Harness::start().await;

    for path in ["/__flush__", "/__counters__", "/permissions"] {
        for method in ["GET", "POST"] {
            let unknown = harness.alice.raw(method, path, &[], "").await.expect(404);
            assert_eq!(unknown.json["errno"], 111, "{method} {path}");
        }
    }
    let capabilities = harness.anonymous.get("/").await.json["capabilities"].clone();
    for name in ["flush_endpoint", "counters_endpoint", "prometheus", "default_bucket"] {
        assert!(capabilities.get(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn what_a_user_owns_is_erased_and_nothing_names_the_user() {
    let admin = "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7";
    let harness = harness(&[("user-data_delete_principals", admin)]).await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    let give = json!({"permissions": {"record:create": [id], "read": [id]}});
    alice.send("PATCH", "/buckets/b/collections/c", give).await.expect(200);
    // Bob's own: a bucket with things of others, and a record among those of others.
    bob.put("/buckets/bob", json!({})).await.expect(201);
    let share = json!({"permissions": {"write": [admin]}});
    bob.send("PUT", "/buckets/bob/collections/shared", share.clone()).await.expect(201);
    bob.put(&format!("{RECORDS}/own"), json!({})).await.expect(201);
    bob.send("PUT", &format!("{RECORDS}/both"), share).await.expect(201);
    alice.put("/buckets/b/groups/g", json!({"members": [id, "account:x"]})).await.expect(200);

    let erase = format!("/__user_data__/{}", id.replace(':', "%3A"));
    harness.anonymous.delete(&erase).await.expect(401);
    bob.delete(&erase).await.expect(403);
    let erased = alice.delete(&erase).await.expect(200);

    assert_eq!(erased.json, json!({"data": {"principal": id}}));
    assert_eq!(erased.header("etag"), "");
    alice.get("/buckets/bob/collections/shared").await.expect(403);
    assert_eq!(tables_with(&harness, "bob").await, [("bucket", 1)], "a tombstone");
    let changed = alice.get(&format!("{RECORDS}?_since=0")).await.expect(200).json;
    let own = changed["data"].as_array().unwrap().iter().find(|record| record["id"] == "own");
    assert_eq!(own.unwrap()["deleted"], true);
    let both = alice.get(&format!("{RECORDS}/both")).await.expect(200).json;
    assert_eq!(both["permissions"], json!({"write": [admin]}));
    bob.get("/buckets/b/collections/c").await.expect(403);
    let group = alice.get("/buckets/b/groups/g").await.expect(200).json;
    assert_eq!(group["data"]["members"], json!([id, "account:x"]), "the list is not edited");
    assert!(!bob.get("/").await.json["user"]["principals"].to_string().contains("groups/g"));
    alice.delete("/__user_data__/account:nobody").await.expect(200);
    for nul in ["%00", "a%00"] {
        alice.delete(&format!("/__user_data__/{nul}")).await.expect(400);
    }
}

#[tokio::test]
async fn erasing_goes_on_over_many_objects() {
    let admin = "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7";
    let harness = harness(&[("user-data_delete_principals", admin)]).await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    let give = json!({"permissions": {"record:create": [id]}});
    alice.send("PATCH", "/buckets/b/collections/c", give).await.expect(200);
    for batch in 0..18 {
        let put = |n: usize| json!({"path": format!("{RECORDS}/own-{batch}-{n}")});
        let requests: Vec<Value> = (0..25).map(put).collect();
        let body = json!({"defaults": {"method": "PUT"}, "requests": requests});
        bob.send("POST", "/batch", body).await.expect(200);
    }
    let count = async || {
        let head = alice.raw("HEAD", RECORDS, &[], "").await.expect(200);
        head.header("total-objects").to_owned()
    };
    assert_eq!(count().await, "453");

    alice.delete(&format!("/__user_data__/{id}")).await.expect(200);

    assert_eq!(count().await, "3");
}

#[tokio::test]
async fn user_data_has_one_method() {
    let harness = Harness::start().await;

    for method in ["GET", "PUT", "POST"] {
        let one = harness.alice.raw(method, "/__user_data__/x", &[], "").await.expect(405);
        assert_eq!(one.header("allow"), "DELETE, OPTIONS");
        let all = harness.alice.raw(method, "/__user_data__", &[], "").await.expect(405);
        assert_eq!(all.header("allow"), "OPTIONS");
    }
    harness.alice.delete("/__user_data__/x").await.expect(403);
}

/// `remote-settings.md` §1.20.
#[tokio::test]
async fn approved_changes_and_signatures_are_counted() {
    let settings = [("includes", "kinto.plugins.prometheus"), ("project_name", "kinto")];
    let harness = Harness::with(&settings).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.make_source("c").await;
    for id in ["a", "b"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(400);

    let text = harness.anonymous.get("/__metrics__").await.expect(200).bytes;
    let text = String::from_utf8(text.to_vec()).unwrap();

    for line in [
        "kinto_plugins_signer_approved_changes_total{bucket_id=\"main\",collection_id=\"c\"} 2\n",
        // Two at the creation, one for the request, two for the approval.
        "kinto_plugins_signer_seconds_count 5\n",
        "countersign_signing_failures_total 0\n",
        "countersign_signer_keys_old 0\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn kinto_s_metrics_have_its_names_and_labels() {
    let harness = harness(&[("project_name", "remote-settings")]).await;
    let (alice, anonymous) = (&harness.alice, &harness.anonymous);
    alice.get(&format!("{RECORDS}/r1")).await.expect(200);
    alice.get(&format!("{RECORDS}/unknown")).await.expect(404);
    alice.get("/nowhere").await.expect(404);
    let requests = json!([{"path": "/buckets/b"}, {"path": "/buckets/b"}]);
    alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    let reply = anonymous.get("/__metrics__").await.expect(200);
    assert_eq!(reply.header("content-type"), "text/plain; version=1.0.0; charset=utf-8");
    let text = String::from_utf8(reply.bytes.to_vec()).unwrap();

    for (labels, count) in [
        (
            "method=\"get\",endpoint=\"record-object\",bucket_id=\"b\",collection_id=\"c\",group_id=\"\",record_id=\"r1\",status=\"200\"",
            1,
        ),
        (
            "method=\"get\",endpoint=\"record-object\",bucket_id=\"\",collection_id=\"\",group_id=\"\",record_id=\"\",status=\"404\"",
            1,
        ),
        (
            "method=\"get\",endpoint=\"unknown\",bucket_id=\"\",collection_id=\"\",group_id=\"\",record_id=\"\",status=\"404\"",
            1,
        ),
        (
            "method=\"get\",endpoint=\"bucket-object\",bucket_id=\"b\",collection_id=\"\",group_id=\"\",record_id=\"\",status=\"200\"",
            2,
        ),
        (
            "method=\"post\",endpoint=\"batch\",bucket_id=\"\",collection_id=\"\",group_id=\"\",record_id=\"\",status=\"200\"",
            1,
        ),
    ] {
        let line = format!("remotesettings_request_summary_total{{{labels}}} {count}\n");
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    for name in [
        "# TYPE remotesettings_request_duration_seconds histogram",
        "# TYPE remotesettings_request_size summary",
        "# TYPE remotesettings_request_size_created gauge",
        "remotesettings_authentication_total{type=\"basicauth\"}",
        "remotesettings_users_total{auth=\"basicauth\",userid=\"2381f1d3",
        "remotesettings_backend_storage_seconds_count{method=\"transaction\"}",
        "le=\"0.05\"",
        "countersign_requests_total{",
    ] {
        assert!(text.contains(name), "{name}");
    }
    let capability = anonymous.get("/").await.json["capabilities"]["prometheus"].clone();
    assert_eq!(capability["prefix"], "remotesettings_");
    assert_eq!(capability["disabled_metrics"], json!([]));
}

#[tokio::test]
async fn metrics_can_be_named_chosen_and_left_out() {
    let harness = harness(&[
        ("prometheus_prefix", "my.app"),
        ("prometheus_disabled_metrics", "myapp_request_size users"),
        ("prometheus_histogram_buckets", "0.25 2"),
        ("prometheus_created_metrics_enabled", "false"),
        ("metrics_matchdict_fields", "bucket_id"),
    ])
    .await;

    let reply = harness.anonymous.get("/__metrics__").await.expect(200);
    let text = String::from_utf8(reply.bytes.to_vec()).unwrap();

    let line = "myapp_request_summary_total{method=\"put\",endpoint=\"record-object\",\
                bucket_id=\"b\",status=\"201\"} 3";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("le=\"0.25\"") && !text.contains("le=\"0.1\",bucket"));
    for absent in ["myapp_request_size", "myapp_users", "_created"] {
        assert!(!text.contains(absent), "{absent}");
    }
}

#[tokio::test]
async fn no_client_makes_series_without_end() {
    let harness = harness(&[]).await;
    let series = async || {
        let reply = harness.anonymous.get("/__metrics__").await.expect(200);
        let text = String::from_utf8(reply.bytes.to_vec()).unwrap();
        text.lines().filter(|line| line.starts_with("kinto_request_summary_total")).count()
    };
    harness.alice.get("/buckets/unknown-0").await.expect(403);
    let before = series().await;

    for n in 0..50 {
        harness.alice.get(&format!("/buckets/unknown-{n}")).await.expect(403);
        harness.alice.get(&format!("/unknown-{n}")).await.expect(404);
        let method = format!("M{n}");
        harness.alice.raw(&method, "/buckets", &[], "").await.expect(405);
    }

    assert!(series().await <= before + 3);
}
