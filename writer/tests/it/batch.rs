//! Many requests in one transaction (`kinto-http-api.md` §6).

use serde_json::{Value, json};

use crate::harness::{Harness, SOURCE, ids};

fn statuses(batch: &Value) -> Vec<u64> {
    let responses = batch["responses"].as_array().unwrap();
    responses.iter().map(|response| response["status"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn each_request_sees_the_former_ones_and_a_refusal_is_its_own() {
    let harness = Harness::start().await;
    let batch = json!({
        "defaults": {"method": "PUT", "body": {"data": {"n": 1}}},
        "requests": [
            {"path": "/buckets/b"},
            {"path": "/buckets/b/collections/c/records/r"},
            {"path": "/v1/buckets/b/collections/c"},
            {"path": "/buckets/b/collections/c/records/r", "body": {"data": {"m": 2}}},
            {"path": "/nothing"},
            {"method": "POST", "path": "/buckets/b/collections/c"},
            {"method": "HEAD", "path": "/buckets/b/collections/c/records/"},
            {"method": "GET", "path": "/buckets/b", "headers": {"Authorization": "x"}},
        ],
    });

    let reply = harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(statuses(&reply.json), [201, 404, 201, 201, 404, 405, 200, 401]);
    let responses = &reply.json["responses"];
    assert_eq!(responses[3]["body"]["data"]["m"], 2, "defaults are merged deeply");
    assert_eq!(responses[3]["path"], "/v1/buckets/b/collections/c/records/r");
    assert_eq!(responses[6]["headers"]["Total-Objects"], "1");
    assert_eq!(responses[6]["body"], "");
    let etag = responses[3]["headers"]["ETag"].as_str().unwrap();
    let record = harness.alice.get("/buckets/b/collections/c/records/r").await.expect(200);
    assert_eq!(record.header("etag"), etag);
}

#[tokio::test]
async fn a_malformed_batch_does_nothing() {
    let harness = Harness::start().await;
    let too_many = vec![json!({"path": "/"}); 26];
    for (body, message) in [
        (json!({}), "requests in body: Required"),
        (json!({"requests": too_many}), "Number of requests is limited to 25"),
        (json!({"requests": [{"path": "x"}]}), "String does not match expected pattern"),
        (json!({"requests": [{"path": "/buckets/batch"}]}), "Recursive call"),
        (json!({"requests": [{"path": "/", "method": "get"}]}), "is not one of GET"),
        (json!({"requests": [{"path": "/", "headers": {"X": 1}}]}), "non string value"),
        (json!({"requests": [{"path": "/", "body": []}]}), "not a mapping type"),
    ] {
        let mut body = body;
        if let Some(list) = body.get_mut("requests").and_then(Value::as_array_mut) {
            list.insert(0, json!({"path": "/buckets/made", "method": "PUT"}));
        }
        let reply = harness.alice.send("POST", "/batch", body).await.expect(400);
        let told = reply.json["message"].as_str().unwrap();
        assert!(told.contains(message), "{told}");
    }
    assert!(ids(&harness.alice.get("/buckets").await.json).is_empty());
}

#[tokio::test]
async fn all_that_is_wrong_with_a_batch_is_told_but_unknown_members_alone() {
    let harness = Harness::start().await;
    let mapping = "is not a mapping type: Does not implement dict-like functionality.";
    for (body, expected) in [
        (json!({"data": {}}), vec![("", "Unrecognized keys in mapping: \"{'data': {}}\"".into())]),
        (json!([]), vec![("", format!("\"[]\" {mapping}"))]),
        (json!({"requests": null}), vec![("requests", "\"None\" is not iterable".into())]),
        (
            json!({"defaults": 3, "requests": [{"path": 1}, {"path": "/", "headers": null}, 4]}),
            vec![
                ("defaults", format!("\"3\" {mapping}")),
                ("requests.0.path", "1 is not a string: {'path': ''}".into()),
                ("requests.1.headers", format!("\"None\" {mapping}")),
                ("requests.2", format!("\"4\" {mapping}")),
            ],
        ),
        (
            json!({"requests": [{"path": 1, "foo": 1}]}),
            vec![("requests.0", "Unrecognized keys in mapping: \"{'foo': 1}\"".into())],
        ),
    ] {
        let reply = harness.alice.send("POST", "/batch", body).await.expect(400);
        let told: Vec<_> = reply.json["details"]
            .as_array()
            .unwrap()
            .iter()
            .map(|detail| {
                let text = detail["description"].as_str().unwrap().to_owned();
                (detail["name"].as_str().unwrap_or_default(), text)
            })
            .collect();
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn d1_a_batch_is_judged_in_sequence_and_a_workflow_refusal_ends_it() {
    let harness = Harness::with_source().await;
    let record = format!("{SOURCE}/records/r");
    harness.alice.put(&record, json!({"n": 1})).await.expect(201);
    harness.alice.patch(SOURCE, json!({"status": "to-review"})).await.expect(200);

    // A reviewer slips an edit in before the approval: it is not under review any more.
    let slip = json!({"requests": [
        {"method": "PUT", "path": record, "body": {"data": {"n": 666}}},
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-sign"}}},
    ]});
    let refused = harness.bob.send("POST", "/batch", slip).await.expect(400);
    assert_eq!(refused.json["message"], "Collection not under review");
    assert_eq!(harness.alice.get(&record).await.json["data"]["n"], 1, "all is rolled back");
    assert_eq!(harness.status().await, "to-review");

    // Or after it: what is published is what was reviewed.
    let after = json!({"requests": [
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-sign"}}},
        {"method": "PUT", "path": record, "body": {"data": {"n": 666}}},
    ]});
    harness.bob.send("POST", "/batch", after).await.expect(200);
    let published = harness.anonymous.get("/buckets/main/collections/c/records/r").await;
    assert_eq!(published.json["data"]["n"], 1);
    assert_eq!(harness.status().await, "work-in-progress");
}

#[tokio::test]
async fn an_edit_and_its_review_request_go_together() {
    let harness = Harness::with_source().await;
    let batch = json!({"requests": [
        {"method": "PUT", "path": format!("{SOURCE}/records/r"), "body": {"data": {"n": 1}}},
        {"method": "PATCH", "path": SOURCE, "body": {"data": {"status": "to-review"}}},
    ]});

    let reply = harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(reply.json["responses"][1]["body"]["data"]["status"], "to-review");
    let preview = harness.anonymous.get("/buckets/preview/collections/c/records").await;
    assert_eq!(ids(&preview.expect(200).json), ["r"]);
}

#[tokio::test]
async fn what_a_batch_writes_often_is_written_once_and_right() {
    let harness = Harness::with_collection().await;
    let record = "/buckets/b/collections/c/records/r";
    let rights = |names: &[&str]| json!({"permissions": {"read": names}});
    let batch = json!({"requests": [
        {"method": "PUT", "path": record, "body": {"data": {"n": 1}}},
        {"method": "DELETE", "path": record},
        {"method": "GET", "path": record},
        {"method": "PUT", "path": record, "body": rights(&["x", "y"])},
        {"method": "PATCH", "path": record, "body": rights(&["y", "z"])},
        {"method": "PATCH", "path": record, "body": {"data": {"n": 2}}},
        {"method": "GET", "path": "/buckets/b/collections/c/records"},
        {"method": "PUT", "path": "/buckets/b/collections/c/records/gone", "body": {}},
        {"method": "DELETE", "path": "/buckets/b/collections/c/records/gone"},
    ]});

    let reply = harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(statuses(&reply.json), [201, 200, 404, 201, 200, 200, 200, 201, 200]);
    assert_eq!(ids(&reply.json["responses"][6]["body"]), ["r"]);
    let stored = harness.alice.get(record).await.expect(200);
    assert_eq!(stored.json["data"]["n"], 2);
    assert_eq!(stored.json["permissions"]["read"], json!(["y", "z"]));
    let tombstones =
        harness.alice.get("/buckets/b/collections/c/records?_since=0").await.expect(200);
    assert_eq!(ids(&tombstones.json), ["gone", "r"]);
    harness.check_live_counts().await;
}

#[tokio::test]
async fn whatever_has_a_url_can_be_asked_for_in_a_batch() {
    let harness = Harness::start().await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    let etag = harness.alice.get("/buckets/b").await.header("etag").to_owned();
    let batch = json!({"requests": [
        {"path": "/"},
        {"path": "/v1"},
        {"path": "/__heartbeat__"},
        {"path": "/__metrics__"},
        {"path": "/buckets/b/"},
        {"path": "/unknown/"},
        {"path": "/v2/x"},
        {"method": "PUT", "path": "/"},
        {"path": "/buckets/b", "headers": {"If-None-Match": etag}},
        {"path": "/buckets/\u{e9}"},
        {"path": "/buckets/%82"},
        {"path": "/buckets?_since=%82"},
    ]});

    let reply = harness.alice.send("POST", "/batch", batch).await.expect(200);

    assert_eq!(statuses(&reply.json), [200, 200, 200, 200, 200, 404, 404, 405, 304, 403, 400, 400]);
    let responses = &reply.json["responses"];
    assert!(responses[0]["body"]["user"]["id"].is_string());
    assert!(responses[3]["body"].as_str().unwrap().contains("countersign_"), "text as it is");
    assert_eq!(responses[4]["path"], "/v1/buckets/b");
    assert_eq!(responses[8]["body"], "");
    assert_eq!(responses[8]["headers"]["ETag"], etag.as_str());
    assert_eq!(responses[9]["path"], "/v1/buckets/\u{e9}");
    let length = responses[4]["headers"]["Content-Length"].as_str().unwrap();
    assert!(length.parse::<usize>().unwrap() > 50);
    assert!(responses[4]["headers"]["Access-Control-Expose-Headers"].is_string());
}

#[tokio::test]
async fn a_batch_is_not_hidden_in_a_batch() {
    let harness = Harness::start().await;

    for path in ["/batch", "/%62atch", "/buckets/batches", "/buckets?x=/batch"] {
        let nested = json!({"requests": [{"method": "POST", "path": path}]});
        let refused = harness.alice.send("POST", "/batch", nested).await.expect(400);
        let text = "Recursive call on /batch endpoint is forbidden.";
        assert_eq!(refused.json["message"], format!("requests in body: {text}"), "{path}");
    }
}

/// Trap T85.
#[tokio::test]
async fn a_failure_in_a_batch_undoes_all_of_it() {
    let harness = Harness::with_collection().await;
    let owner = harness.database.owner().await;
    let put = |path: &str| json!({"method": "PUT", "path": path});
    let requests = [put("/buckets/b/collections/d"), put("/buckets/b/groups/g")];
    let whole = json!({"requests": requests});
    owner.batch_execute("revoke all on \"group\" from countersign_writer").await.unwrap();

    let failed = harness.alice.send("POST", "/batch", whole.clone()).await.expect(500);

    assert_eq!(failed.json["errno"], 999);
    harness.alice.get("/buckets/b/collections/d").await.expect(404);
    let back = "grant select, insert, update, delete on \"group\" to countersign_writer";
    owner.batch_execute(back).await.unwrap();
    let done = harness.alice.send("POST", "/batch", whole).await.expect(200);
    assert_eq!(done.json["responses"][0]["status"], 201);
}
