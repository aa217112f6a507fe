//! Who may do what (`kinto-http-api.md` §4).

use serde_json::json;

use crate::harness::{Harness, ids, user_id};

const COLLECTION: &str = "/buckets/b/collections/c";
const RECORDS: &str = "/buckets/b/collections/c/records";

#[tokio::test]
async fn strangers_see_nothing_and_are_not_told_what_exists() {
    let harness = Harness::with_collection().await;
    harness.alice.put(&format!("{RECORDS}/r"), json!({})).await.expect(201);

    for path in ["/buckets/b", "/buckets/unknown", COLLECTION, RECORDS] {
        assert_eq!(harness.bob.get(path).await.expect(403).json["errno"], 121);
        let refused = harness.anonymous.get(path).await.expect(401);
        assert_eq!(refused.json["errno"], 104);
        assert_eq!(refused.header("www-authenticate"), "Basic realm=\"Realm\"");
    }
    let unknown = "/buckets/b/collections/unknown/records";
    harness.anonymous.get(unknown).await.expect(401);
    let put = harness.anonymous.put(&format!("{unknown}/r"), json!({})).await.expect(404);
    assert_eq!(put.json["errno"], 111);
    assert!(ids(&harness.bob.get("/buckets").await.expect(200).json).is_empty());
    harness.anonymous.get("/buckets").await.expect(401);
}

#[tokio::test]
async fn rights_come_down_from_the_bucket() {
    let harness = Harness::with_collection().await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    alice.put(&format!("{RECORDS}/r"), json!({"n": 1})).await.expect(201);

    alice.send("PATCH", "/buckets/b", json!({"permissions": {"read": [id]}})).await.expect(200);
    let read = bob.get(&format!("{RECORDS}/r")).await.expect(200);
    assert_eq!(read.json["permissions"], json!({}), "readers do not see who else may");
    bob.patch(&format!("{RECORDS}/r"), json!({"n": 2})).await.expect(403);
    bob.delete(&format!("{RECORDS}/unknown")).await.expect(404);

    let write = json!({"permissions": {"write": [id]}});
    alice.send("PATCH", "/buckets/b", write).await.expect(200);
    let written = bob.patch(&format!("{RECORDS}/r"), json!({"n": 2})).await.expect(200);
    let writers = written.json["permissions"]["write"].to_string();
    assert!(writers.contains(&id), "whoever writes becomes a writer: {writers}");
}

#[tokio::test]
async fn a_shared_list_shows_what_is_shared() {
    let harness = Harness::with_collection().await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    for record in ["a", "b", "c"] {
        alice.put(&format!("{RECORDS}/{record}"), json!({})).await.expect(201);
    }
    let share = json!({"permissions": {"read": [id]}});
    alice.send("PATCH", &format!("{RECORDS}/b"), share).await.expect(200);

    assert_eq!(ids(&bob.get(RECORDS).await.expect(200).json), ["b"]);
    let head = bob.raw("HEAD", RECORDS, &[], "").await.expect(200);
    assert_eq!(head.header("total-objects"), "1");
    bob.delete(RECORDS).await.expect(403);
}

#[tokio::test]
async fn creating_does_not_imply_reading() {
    let harness = Harness::with_collection().await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    let create = json!({"permissions": {"record:create": [id]}});
    alice.send("PATCH", COLLECTION, create).await.expect(200);
    alice.put(&format!("{RECORDS}/a"), json!({})).await.expect(201);

    assert!(ids(&bob.get(RECORDS).await.expect(200).json).is_empty());
    bob.send("POST", RECORDS, json!({"data": {"id": "a"}})).await.expect(403);
    bob.put(&format!("{RECORDS}/b"), json!({})).await.expect(201);
    assert_eq!(ids(&bob.get(RECORDS).await.json), ["b"]);
    bob.get(COLLECTION).await.expect(200);
    bob.send("POST", "/buckets/b/collections", json!({"data": {"id": "c"}})).await.expect(200);
}

#[tokio::test]
async fn groups_give_rights_to_their_members_at_once() {
    let harness = Harness::with_collection().await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let id = user_id(bob).await;
    let group = "/buckets/b/groups/g";
    let read = json!({"permissions": {"read": [group]}});
    alice.send("PATCH", COLLECTION, read).await.expect(200);

    bob.get(COLLECTION).await.expect(403);
    alice.put(group, json!({"members": [id]})).await.expect(201);
    bob.get(COLLECTION).await.expect(200);
    alice.patch(group, json!({"note": "members are kept"})).await.expect(200);
    bob.get(COLLECTION).await.expect(200);
    alice.delete(group).await.expect(200);
    bob.get(COLLECTION).await.expect(403);
}

#[tokio::test]
async fn the_reader_s_role_can_read_what_is_served_and_write_nothing() {
    let harness = Harness::with_source().await;
    let client = harness.database.pool("countersign_reader").get().await.unwrap();

    client.query("select * from record", &[]).await.unwrap();
    client.query("select * from publication_clock", &[]).await.unwrap();
    client.batch_execute("set default_transaction_read_only = off").await.unwrap();
    for text in [
        "insert into record values ('b', 'c', 'r', 1, false, '{}')",
        "update publication_clock set last_modified = 0",
        "delete from collection",
        "select * from ace",
        "select * from membership",
        "create table x (y int)",
        "truncate record",
    ] {
        let code = client.batch_execute(text).await.unwrap_err().code().cloned();
        assert_eq!(code.unwrap().code(), "42501", "{text}");
    }
}
