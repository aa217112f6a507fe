//! What may be deleted, and what goes with it (`remote-settings.md` §1.14).

use serde_json::{Value, json};
use shared::{model::Timestamp, testing::TestReply};

use crate::{
    harness::{Harness, SOURCE, ids, user_id},
    signoff::{MAIN, PREVIEW, assert_signed, published},
};

/// The rights of a principal on an object, given by the database's owner: nobody else could.
async fn grant(harness: &Harness, bucket: &str, uri: &str, principal: &str) {
    const SQL: &str = "insert into ace values ($1, $2, 'write', $3) on conflict do nothing";
    let owner = harness.database.owner().await;
    owner.execute(SQL, &[&bucket, &uri, &principal]).await.unwrap();
}

fn is_in_use(reply: &TestReply) -> bool {
    reply.status == 403 && reply.json["message"] == "Collection is in use."
}

/// Alice may write everything; who may not is refused before.
async fn with_rights() -> Harness {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
    harness.publish().await;
    let alice = user_id(&harness.alice).await;
    for bucket in ["main", "preview"] {
        grant(&harness, bucket, &format!("/buckets/{bucket}"), &alice).await;
    }
    harness
}

#[tokio::test]
async fn d07_what_is_published_cannot_be_deleted_while_its_source_exists() {
    let harness = with_rights().await;

    for path in [MAIN, PREVIEW, "/buckets/main", "/buckets/preview"] {
        assert!(is_in_use(&harness.alice.delete(path).await), "{path}");
        let refused = harness.bob.delete(path).await.expect(403);
        assert_eq!(refused.json["message"], "This user cannot access this resource.");
    }
    for list in ["/buckets/main/collections", "/buckets/preview/collections?_limit=5"] {
        assert!(is_in_use(&harness.alice.delete(list).await), "{list}");
    }
    assert!(is_in_use(&harness.alice.delete("/buckets").await), "the list has them, too");
    for path in [SOURCE, "/buckets/work/groups/c-editors"] {
        harness.alice.get(path).await.expect(200);
    }
    // Rights do not help with anything else (D2).
    harness.alice.delete(&format!("{MAIN}/records/r")).await.expect(403);
    harness.alice.delete(&format!("{MAIN}/records")).await.expect(403);
    for target in [MAIN, PREVIEW] {
        assert_eq!(published(&harness, target).await.len(), 1);
        assert_signed(&harness, target).await;
    }
}

/// Trap 22.
#[tokio::test]
async fn what_was_published_may_be_deleted_when_its_source_is_gone() {
    let harness = with_rights().await;
    harness.alice.delete(SOURCE).await.expect(200);
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
        assert!(published(&harness, target).await.is_empty());
    }

    harness.bob.delete(MAIN).await.expect(403);
    harness.alice.delete(MAIN).await.expect(200);
    harness.alice.delete("/buckets/preview").await.expect(200);

    harness.alice.get(MAIN).await.expect(404);
    // And all is there again with the source.
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
    }
}

#[tokio::test]
async fn a_source_bucket_takes_its_sources_as_if_one_by_one() {
    let harness = with_rights().await;
    harness.alice.put("/buckets/work/collections/d", json!({})).await.expect(201);

    assert!(is_in_use(&harness.alice.delete("/buckets/main").await));
    harness.alice.delete(SOURCE).await.expect(200);
    assert!(is_in_use(&harness.alice.delete("/buckets/main").await), "there is another source");
    harness.alice.delete("/buckets/work").await.expect(200);

    assert_signed(&harness, "/buckets/main/collections/d").await;
    harness.alice.delete("/buckets/main").await.expect(200);
}

/// Trap 23: a pair frees the preview of the same name, which a line of its bucket would use.
#[tokio::test]
async fn a_line_of_a_collection_frees_what_it_does_not_use() {
    let with_preview = "/buckets/work -> /buckets/preview -> /buckets/main";
    let harness = with_rights().await;
    let pair = format!("{with_preview}\nwork/c -> main/c");
    let narrowed = harness.again(&[("signer.resources", &pair)]).await.as_user("alice");

    assert!(is_in_use(&narrowed.delete(MAIN).await));
    narrowed.delete(PREVIEW).await.expect(200);
}

#[tokio::test]
async fn a_deleted_source_takes_its_groups_and_no_others() {
    let harness = Harness::with_source().await;
    for id in ["c2-editors", "c-testers"] {
        harness.alice.put(&format!("/buckets/work/groups/{id}"), json!({"members": []})).await;
    }
    harness.alice.delete("/buckets/work/groups/c-reviewers").await.expect(200);

    harness.alice.delete(SOURCE).await.expect(200);

    let groups = harness.alice.get("/buckets/work/groups?_sort=id").await.expect(200);
    assert_eq!(ids(&groups.json), ["c-testers", "c2-editors"]);
    let all = harness.alice.get("/buckets/work/groups?_since=0&_sort=id&deleted=true").await;
    assert_eq!(ids(&all.json), ["c-editors", "c-reviewers"], "tombstones");
    // Made again, it is a source as new; nobody keeps rights from before.
    harness.bob.get(SOURCE).await.expect(403);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let reviewers = harness.alice.get("/buckets/work/groups/c-reviewers").await.expect(200);
    assert_eq!(reviewers.json["data"]["members"], json!([]));
    assert_eq!(harness.status().await, "signed");
}

/// A source that is made again empties what clients have, until it is approved.
#[tokio::test]
async fn a_source_made_again_starts_empty() {
    let harness = with_rights().await;
    let before = harness.anonymous.get(&format!("{MAIN}/records")).await.header("etag").to_owned();
    harness.alice.delete(SOURCE).await.expect(200);
    harness.alice.put(SOURCE, json!({})).await.expect(201);

    assert!(published(&harness, MAIN).await.is_empty());
    let since = format!("{MAIN}/records?_since={}", before.trim_matches('"'));
    let tombstones = harness.anonymous.get(&since).await.json;
    assert_eq!(tombstones["data"][0]["deleted"], true, "for those who had it");
    assert_signed(&harness, MAIN).await;
    assert_eq!(harness.alice.get(&format!("{SOURCE}/records")).await.json["data"], json!([]));
}

/// Trap 24.
#[tokio::test]
async fn a_hard_deletion_leaves_nothing() {
    let hard = [("signer.hard_delete_destination_on_source_deletion", "true")];
    let harness = Harness::with(&hard).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    harness.alice.put("/buckets/work/collections/d", json!({})).await.expect(201);
    let reviewers = json!({"members": [user_id(&harness.bob).await]});
    harness.alice.patch("/buckets/work/groups/c-reviewers", reviewers).await.expect(200);
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({})).await.expect(201);
    harness.publish().await;
    let owner = harness.database.owner().await;
    let watermark = shared::store::published::watermark(&owner).await.unwrap();

    harness.alice.delete(SOURCE).await.expect(200);

    let left = "
        select 'record', collection_id from record
        where bucket_id in ('main', 'preview') and collection_id = 'c'
        union all
        select 'collection', bucket_id from collection
        where bucket_id in ('main', 'preview') and id = 'c'
        union all
        select 'timestamp', bucket_id from resource_timestamp
        where bucket_id in ('main', 'preview') and collection_id = 'c'
        union all select 'ace', object_uri from ace where object_uri like '%/collections/c%'
        union all select 'group', id from \"group\" where id like 'c-%'
        union all select 'membership', group_id from membership where group_id like 'c-%'";
    let left: Vec<(String, String)> =
        owner.query(left, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(left.is_empty(), "{left:?}");
    for bucket in ["main", "preview"] {
        assert!(harness.deleted(bucket, "c").await > watermark, "readers know");
    }
    assert_eq!(harness.deleted("work", "d").await, Timestamp::ZERO);
    assert!(shared::store::published::watermark(&owner).await.unwrap() > watermark);
    harness.anonymous.get(MAIN).await.expect(401);
    harness.alice.get(MAIN).await.expect(403);
    assert_signed(&harness, "/buckets/main/collections/d").await;
    harness.check_live_counts().await;

    // Later timestamps than before, for clients that still have the old one.
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let list = harness.anonymous.get(&format!("{MAIN}/records")).await.expect(200);
    let again: i64 = list.header("etag").trim_matches('"').parse().unwrap();
    assert!(again > watermark.as_millis());
    assert_signed(&harness, MAIN).await;
}

/// Several sources go with one request, each with what is published from it.
#[tokio::test]
async fn a_list_of_sources_may_be_deleted() {
    let harness = with_rights().await;
    harness.alice.put("/buckets/work/collections/d", json!({})).await.expect(201);

    let deleted = harness.alice.delete("/buckets/work/collections").await.expect(200);

    assert_eq!(deleted.json["data"].as_array().map(Vec::len), Some(2));
    for target in [MAIN, PREVIEW, "/buckets/main/collections/d"] {
        assert_signed(&harness, target).await;
        assert!(published(&harness, target).await.is_empty());
    }
    assert_eq!(harness.alice.get("/buckets/work/groups").await.json["data"], Value::Array(vec![]));
}

/// Data of somebody who had rights on what is published: that stays, without the name.
#[tokio::test]
async fn erasing_a_user_s_data_leaves_what_is_published() {
    let harness = with_rights().await;
    let (alice, bob) = (user_id(&harness.alice).await, user_id(&harness.bob).await);
    let admin = harness.again(&[("user-data_delete_principals", &bob)]).await.as_user("bob");
    harness.alice.put("/buckets/own", json!({})).await.expect(201);
    // In the order of their names, the source goes last.
    harness.alice.put("/buckets/a", json!({})).await.expect(201);

    admin.delete(&format!("/__user_data__/{alice}")).await.expect(200);

    for bucket in ["a", "own", "work"] {
        harness.alice.get(&format!("/buckets/{bucket}")).await.expect(403);
    }
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
        assert!(published(&harness, target).await.is_empty(), "with its source");
    }
    let names = "select object_uri from ace where principal = $1";
    let left = harness.database.owner().await.query(names, &[&alice]).await.unwrap();
    assert!(left.is_empty());
}
