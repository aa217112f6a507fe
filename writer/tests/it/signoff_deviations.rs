//! Deviations of sign-off (`remote-settings.md` §13), by their numbers; others are where their
//! subject is.

use serde_json::{Value, json};

use crate::{
    harness::{Harness, SOURCE, user_id},
    signoff::{MAIN, PREVIEW, assert_signed, published},
    signoff_traps::{RECORD, command, let_both_do_both, message},
};

#[tokio::test]
async fn d01_a_batch_neither_approves_itself_nor_publishes_what_nobody_has_seen() {
    let harness = Harness::with_source().await;
    let_both_do_both(&harness).await;
    harness.alice.put(RECORD, json!({"n": 1})).await.expect(201);
    command(&harness.alice, "to-review").await.expect(200);
    let edit = || json!({"method": "PUT", "path": RECORD, "body": {"data": {"n": 2}}});
    let status = |status: &str| json!({"method": "PATCH", "path": SOURCE, "body": {"data": {"status": status}}});
    let batch = async |requests: Vec<Value>| {
        harness.bob.send("POST", "/batch", json!({"requests": requests})).await
    };

    for (requests, code, text) in [
        (vec![edit(), status("to-sign")], 400, "Collection not under review"),
        (vec![edit(), status("to-review"), status("to-sign")], 403, "Last editor cannot review"),
        (vec![status("to-sign"), status("to-sign")], 400, "Collection already signed"),
    ] {
        let refused = batch(requests).await;
        assert_eq!((refused.status, message(&refused)), (code, text));
        assert_eq!(harness.status().await, "to-review", "nothing of it is left");
        assert_eq!(harness.alice.get(RECORD).await.json["data"]["n"], 1);
        assert!(published(&harness, MAIN).await.is_empty());
    }
    // Approved as it was, then edited: the edit waits.
    batch(vec![status("to-sign"), edit()]).await.expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    assert_eq!(published(&harness, MAIN).await[0]["n"], 1);
    // An edit before the request is in the preview, one after it is not.
    batch(vec![status("to-review"), edit()]).await.expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    batch(vec![edit(), status("to-review")]).await.expect(200);
    assert_eq!(published(&harness, PREVIEW).await[0]["n"], 2);
    batch(vec![status("work-in-progress"), status("to-review"), status("work-in-progress")])
        .await
        .expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    for target in [MAIN, PREVIEW] {
        assert_signed(&harness, target).await;
    }
}

#[tokio::test]
async fn a_batch_makes_edits_and_publishes_several_sources() {
    let harness = Harness::with(&[("signer.to_review_enabled", "false")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    let path = |id: &str| format!("/buckets/work/collections/{id}");
    let mut requests = Vec::new();
    for id in ["a", "b", "c"] {
        requests.push(json!({"method": "PUT", "path": path(id)}));
        requests.push(json!({"method": "PUT", "path": format!("{}/records/r", path(id))}));
        let body = json!({"data": {"status": "to-sign"}});
        requests.push(json!({"method": "PATCH", "path": path(id), "body": body}));
    }

    harness.alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    for id in ["a", "b", "c"] {
        let main = format!("/buckets/main/collections/{id}");
        assert_eq!(published(&harness, &main).await.len(), 1);
        assert_signed(&harness, &main).await;
    }
}

/// Nobody was asked about what comes with a refresh: neither one after the other nor in one batch.
#[tokio::test]
async fn d01_attributes_that_come_with_a_refresh_void_the_request() {
    let harness = Harness::with_source().await;
    harness.publish().await;
    harness.alice.put(RECORD, json!({})).await;
    command(&harness.alice, "to-review").await.expect(200);
    let refresh = json!({"status": "to-resign", "flags": ["unseen"]});

    harness.bob.patch(SOURCE, refresh.clone()).await.expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    let source = harness.alice.get(SOURCE).await.json;
    assert_eq!(source["data"]["last_edit_by"], user_id(&harness.bob).await);
    command(&harness.bob, "to-sign").await.expect(400);

    command(&harness.alice, "to-review").await.expect(200);
    let other = json!({"status": "to-resign", "flags": ["other"]});
    let requests: Vec<Value> = [other, json!({"status": "to-sign"})]
        .into_iter()
        .map(|data| json!({"method": "PATCH", "path": SOURCE, "body": {"data": data}}))
        .collect();
    harness.bob.send("POST", "/batch", json!({"requests": requests})).await.expect(400);
    assert_eq!(harness.status().await, "to-review", "nothing of the batch stays");
    assert_eq!(harness.anonymous.get(MAIN).await.json["data"].get("flags"), None);

    command(&harness.bob, "to-sign").await.expect(200);
    let main = harness.anonymous.get(MAIN).await.json;
    assert_eq!(main["data"]["flags"], json!(["unseen"]), "which was asked for, in the end");
    assert_signed(&harness, MAIN).await;
}

#[tokio::test]
async fn d04_a_refresh_publishes_attributes_only_where_nothing_waits() {
    let harness = Harness::with_source().await;
    let flags = async |harness: &Harness| {
        harness.anonymous.get(MAIN).await.json["data"].get("flags").cloned()
    };
    harness.alice.patch(SOURCE, json!({"flags": ["a"]})).await.expect(200);
    command(&harness.alice, "to-resign").await.expect(200);
    assert_eq!(flags(&harness).await, Some(json!(["a"])), "from `signed`, as the reference");

    harness.alice.put(RECORD, json!({})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"flags": ["b"]})).await.expect(200);
    for status in ["work-in-progress", "to-review"] {
        if status == "to-review" {
            command(&harness.alice, status).await.expect(200);
        }
        command(&harness.alice, "to-resign").await.expect(200);
        assert_eq!(harness.status().await, status);
        assert_eq!(flags(&harness).await, Some(json!(["a"])), "{status}");
    }
    command(&harness.bob, "to-sign").await.expect(200);
    assert_eq!(flags(&harness).await, Some(json!(["b"])));

    let never = harness.again(&[("signer.refresh_publishes_attributes", "false")]).await;
    let alice = never.as_user("alice");
    alice.patch(SOURCE, json!({"flags": ["c"]})).await.expect(200);
    command(&alice, "to-resign").await.expect(200);
    assert_eq!(flags(&harness).await, Some(json!(["b"])));
}

#[tokio::test]
async fn d08_what_one_reply_cannot_hold_is_not_published() {
    let harness = Harness::with(&[("storage_max_fetch_size", "2")]).await;
    harness.alice.put("/buckets/work", json!({})).await.expect(201);
    harness.alice.put(SOURCE, json!({})).await.expect(201);
    let reviewers = json!({"members": [user_id(&harness.bob).await]});
    harness.alice.patch("/buckets/work/groups/c-reviewers", reviewers).await.expect(200);
    for id in ["a", "b"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    harness.alice.put(&format!("{SOURCE}/records/d"), json!({})).await.expect(201);

    let refused = command(&harness.alice, "to-review").await.expect(400);
    assert_eq!(message(&refused), "Collection has more records than can be signed");
    assert_eq!(harness.status().await, "work-in-progress");
    // A review that was requested by a writer with a larger limit.
    let larger = harness.again(&[]).await.as_user("alice");
    command(&larger, "to-review").await.expect(200);
    command(&harness.bob, "to-sign").await.expect(400);

    assert_eq!(published(&harness, MAIN).await.len(), 2);
    harness.alice.delete(&format!("{SOURCE}/records/d")).await.expect(200);
    harness.publish().await;
}

#[tokio::test]
async fn d10_what_clients_read_differently_is_refused() {
    let harness = Harness::with_source().await;
    let float = "field contains float value (tip: use integer or string)";
    let put = async |data: &str| {
        let headers = [("content-type", "application/json")];
        harness.alice.raw("PUT", RECORD, &headers, format!("{{\"data\":{data}}}")).await
    };

    for (data, text) in [
        (r#"{"a":1,"b":1.5}"#, format!("{float}, 'b'")),
        (r#"{"a":[{"a":1,"b":1.0}]}"#, format!("{float}, 'a.0.b'")),
        (r#"{"n":1e3}"#, format!("{float}, 'n'")),
        (r#"{"n":18446744073709551616}"#, format!("{float}, 'n'")),
        (
            r#"{"n":9007199254740993}"#,
            "field contains an integer beyond 2^53 (tip: use string), 'n'".to_owned(),
        ),
        (
            "{\"a\":{\"\u{1f600}\":1}}",
            "field name outside the Basic Multilingual Plane, 'a.\u{1f600}'".to_owned(),
        ),
        (r#"{"deleted":false}"#, "field 'deleted' is reserved for tombstones".to_owned()),
    ] {
        let refused = put(data).await.expect(400);
        assert_eq!(
            (message(&refused), &refused.json["errno"]),
            (text.as_str(), &json!(109)),
            "{data}"
        );
    }
    put(r#"{"a":"\u0000"}"#).await.expect(400);
    assert_eq!(harness.status().await, "signed", "the edit is rolled back with its status");
    put(r#"{"n":-0,"m":9007199254740991,"t":"1.5"}"#).await.expect(201);
    let patched = harness.alice.patch(RECORD, json!({"x": [[2.5]]})).await.expect(400);
    assert_eq!(message(&patched), format!("{float}, 'x.0.0'"));
    let post = json!({"data": {"x": 0.5}});
    harness.alice.send("POST", &format!("{SOURCE}/records"), post).await.expect(400);
    let batch = json!({"requests": [
        {"method": "PUT", "path": format!("{SOURCE}/records/fine")},
        {"method": "PUT", "path": RECORD, "body": {"data": {"x": 0.5}}},
    ]});
    harness.alice.send("POST", "/batch", batch).await.expect(400);
    harness.alice.get(&format!("{SOURCE}/records/fine")).await.expect(404);

    // Only in sources, and not in their metadata.
    harness.alice.patch(SOURCE, json!({"ratio": 0.5})).await.expect(200);
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c/records/r", json!({"x": 0.5})).await.expect(201);
    let lenient = harness.again(&[("signer.allow_floats", "true")]).await.as_user("alice");
    lenient.put(RECORD, json!({"x": 0.5})).await.expect(200);
    lenient.put(RECORD, json!({"deleted": 1})).await.expect(400);
}

#[tokio::test]
async fn d10_what_was_there_before_is_judged_before_it_is_published() {
    let harness = Harness::with_source().await;
    let lenient = harness.again(&[("signer.resources", "x/a -> x/b")]).await.as_user("alice");
    lenient.put(RECORD, json!({"n": [0.5]})).await.expect(201);

    let refused = command(&harness.alice, "to-review").await.expect(400);

    assert_eq!(message(&refused), "field contains float value (tip: use integer or string), 'n.0'");
    assert!(published(&harness, PREVIEW).await.is_empty());
}

#[tokio::test]
async fn d12_every_command_is_answered_with_the_final_state() {
    let harness = Harness::with_source().await;
    harness.alice.put(RECORD, json!({})).await.expect(201);
    for (client, posted, left) in [
        (&harness.alice, "to-review", "to-review"),
        (&harness.bob, "work-in-progress", "work-in-progress"),
        (&harness.alice, "to-resign", "work-in-progress"),
        (&harness.alice, "to-review", "to-review"),
        (&harness.bob, "to-sign", "signed"),
        (&harness.bob, "work-in-progress", "work-in-progress"),
        (&harness.bob, "to-rollback", "signed"),
        (&harness.bob, "to-resign", "signed"),
    ] {
        let reply = command(client, posted).await.expect(200);

        let stored = harness.alice.get(SOURCE).await;
        assert_eq!(reply.json["data"]["status"], left, "{posted}");
        assert_eq!(reply.json["data"], stored.json["data"]);
        assert_eq!(reply.header("etag"), stored.header("etag"));
        assert_eq!(reply.header("last-modified"), stored.header("last-modified"));
    }
}
