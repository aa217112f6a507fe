//! Pages and their tokens (`kinto-http-api.md` §3.5, §2.12.3).

use serde_json::json;
use shared::testing::{TestClient, TestReply};

use crate::harness::{Harness, ids};

const RECORDS: &str = "/buckets/b/collections/c/records";

async fn get(client: &TestClient, query: &str) -> TestReply {
    client.get(&format!("{RECORDS}?{query}")).await.expect(200)
}

/// Path and query string of the next page, if there is one.
fn next(reply: &TestReply) -> Option<String> {
    reply.header("next-page").split_once("/v1").map(|(_, path)| path.to_owned())
}

/// The ids of all pages from `path` on.
async fn walk(client: &TestClient, path: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut path = Some(path.to_owned());
    while let Some(current) = path {
        let reply = client.get(&current).await.expect(200);
        pages.push(ids(&reply.json).into_iter().map(str::to_owned).collect());
        path = next(&reply);
    }
    pages
}

async fn fill(client: &TestClient, count: usize) {
    for number in 0..count {
        let data = json!({"tie": number % 2, "n": number});
        client.put(&format!("{RECORDS}/r{number}"), data).await.expect(201);
    }
}

#[tokio::test]
async fn a_walk_shows_every_object_once() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    for (id, data) in [
        ("array", json!({"x": [1]})),
        ("empty", json!({"x": []})),
        ("missing1", json!({})),
        ("object", json!({"x": {"y": 1}})),
        ("missing2", json!({})),
        ("tie1", json!({"x": 7})),
        ("tie2", json!({"x": 7})),
        ("text", json!({"x": "a'b\"c\\d"})),
        ("null", json!({"x": null})),
    ] {
        alice.put(&format!("{RECORDS}/{id}"), data).await.expect(201);
    }
    let order =
        ["null", "text", "tie2", "tie1", "empty", "array", "object", "missing2", "missing1"];
    let descending =
        ["missing2", "missing1", "object", "array", "empty", "tie2", "tie1", "text", "null"];

    for size in 1..=9 {
        for (sort, expected) in [("x", order), ("-x", descending)] {
            let pages = walk(alice, &format!("{RECORDS}?_sort={sort}&_limit={size}")).await;
            assert_eq!(pages.concat(), expected, "{sort} by {size}");
            assert_eq!(pages.len(), 9_usize.div_ceil(size), "no empty page at the end");
        }
    }
    let by_two = walk(alice, &format!("{RECORDS}?_sort=-x.y,x,id&_limit=2")).await.concat();
    assert_eq!(by_two.len(), 9);
    assert_eq!(by_two[8], "object", "all others have no x.y");
}

#[tokio::test]
async fn the_next_page_keeps_what_was_asked_for() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 5).await;

    let first = get(alice, "_sort=-n,tie&_fields=n&not_n=3&_limit=2").await;
    let url = first.header("next-page");
    assert!(url.starts_with(&format!("http://{}/v1{RECORDS}?", alice.address())), "{url}");
    for part in ["_sort=-n%2Ctie", "_fields=n", "not_n=3", "_limit=2", "_token="] {
        assert!(url.contains(part), "{part}: {url}");
    }
    assert_eq!(ids(&first.json), ["r4", "r2"]);
    let second = alice.get(&next(&first).unwrap()).await.expect(200);
    assert_eq!(ids(&second.json), ["r1", "r0"]);
    assert_eq!(second.json["data"][0].get("tie"), None);
    assert_eq!(next(&second), None, "the page ends where the list ends");
    assert_eq!(first.header("etag"), second.header("etag"));
}

#[tokio::test]
async fn changes_before_the_cursor_do_not_move_it() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 6).await;
    let first = get(alice, "_sort=n&_limit=3").await;
    let path = next(&first).unwrap();

    alice.delete(&format!("{RECORDS}/r0")).await.expect(200);
    alice.delete(&format!("{RECORDS}/r2")).await.expect(200);
    alice.put(&format!("{RECORDS}/before"), json!({"n": -1})).await.expect(201);
    alice.put(&format!("{RECORDS}/after"), json!({"n": 4.5})).await.expect(201);

    let second = alice.get(&path).await.expect(200);
    assert_eq!(ids(&second.json), ["r3", "r4", "after"]);
    let again = alice.get(&path).await.expect(200);
    assert_eq!(again.json, second.json, "a token of GET can be used again");
}

#[tokio::test]
async fn tombstones_are_on_pages_too() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 4).await;
    alice.delete(&format!("{RECORDS}/r1")).await.expect(200);

    let pages = walk(alice, &format!("{RECORDS}?_since=0&_limit=2&_sort=last_modified")).await;
    assert_eq!(pages, [["r0", "r2"], ["r3", "r1"]]);
    let pages = walk(alice, &format!("{RECORDS}?_since=0&_limit=3&_sort=-deleted")).await;
    assert_eq!(pages, [vec!["r3", "r2", "r0"], vec!["r1"]], "the missing first");
}

#[tokio::test]
async fn the_server_s_page_size_is_a_maximum() {
    let settings = [("paginate_by", "2"), ("storage_max_fetch_size", "4")];
    let harness = Harness::with(&settings).await;
    let alice = &harness.alice;
    alice.put("/buckets/b", json!({})).await.expect(201);
    alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    fill(alice, 5).await;

    for (query, size) in
        [("", 2), ("_limit=1", 1), ("_limit=9", 2), ("_limit=0", 4), ("_limit=", 4)]
    {
        let page = get(alice, query).await;
        assert_eq!(ids(&page.json).len(), size, "{query}");
        assert!(page.header("next-page").contains(&format!("_limit={size}")), "{query}");
    }
    let head = alice.raw("HEAD", &format!("{RECORDS}?_limit=1"), &[], "").await.expect(200);
    assert_eq!((head.header("total-objects"), head.header("next-page")), ("5", ""));
}

#[tokio::test]
async fn a_token_is_for_its_user_list_filters_and_order() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 3).await;
    let other = "/buckets/b/collections/d/records";
    let everybody = json!({"data": {}, "permissions": {"read": ["system.Everyone"]}});
    alice.send("PATCH", "/buckets/b", everybody).await.expect(200);
    alice.put("/buckets/b/collections/d", json!({})).await.expect(201);
    let first = get(alice, "_sort=n&gt_n=0&_limit=1").await;
    let path = next(&first).unwrap();
    let token = path.split("_token=").nth(1).unwrap();
    let refused = async |client: &TestClient, path: String| {
        let reply = client.get(&path).await.expect(400);
        assert_eq!(reply.json["message"], "querystring: _token has invalid content", "{path}");
    };

    alice.get(&path).await.expect(200);
    refused(&harness.bob, path.clone()).await;
    refused(&harness.anonymous, path.clone()).await;
    refused(alice, format!("{other}?_sort=n&gt_n=0&_token={token}")).await;
    refused(alice, format!("/buckets?_sort=n&gt_n=0&_token={token}")).await;
    refused(alice, format!("{RECORDS}?_sort=n&_token={token}")).await;
    refused(alice, format!("{RECORDS}?_sort=n&gt_n=1&_token={token}")).await;
    refused(alice, format!("{RECORDS}?_sort=-n&gt_n=0&_token={token}")).await;
    refused(alice, format!("{RECORDS}?_sort=n&gt_n=0&tie=1&_token={token}")).await;
    refused(alice, format!("{RECORDS}?_sort=n&gt_n=0&_token={token}A")).await;
    refused(alice, format!("{RECORDS}?_sort=n&gt_n=0&_token={}", &token[1..])).await;
    // base64 of {"last_object": {"n": 1}, "offset": 1, "nonce": ""}, as the reference has it.
    let plain = "eyJsYXN0X29iamVjdCI6IHsibiI6IDF9LCAib2Zmc2V0IjogMSwgIm5vbmNlIjogIiJ9";
    refused(alice, format!("{RECORDS}?_sort=n&gt_n=0&_token={plain}")).await;
    let moved = alice.get(&format!("{RECORDS}?_sort=n&gt_n=0&_limit=5&_token={token}")).await;
    assert_eq!(ids(&moved.expect(200).json), ["r2"], "the size of the page may change");
    get(alice, "_token=").await;
}

#[tokio::test]
async fn a_list_is_deleted_page_by_page_and_each_token_works_once() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 5).await;
    let delete = async |path: &str| alice.delete(path).await;

    let first = delete(&format!("{RECORDS}?_limit=2&_sort=n")).await.expect(200);
    let mut deleted = ids(&first.json);
    deleted.sort_unstable();
    assert_eq!(deleted, ["r0", "r1"]);
    let path = next(&first).unwrap();
    let second = delete(&path).await.expect(200);
    assert_eq!(ids(&second.json).len(), 2);
    let reused = delete(&path).await.expect(400);
    assert_eq!(reused.json["message"], "querystring: _token was already used or has expired.");
    assert_eq!(ids(&get(alice, "").await.json), ["r4"]);
    let last = delete(&next(&second).unwrap()).await.expect(200);
    assert_eq!((ids(&last.json), next(&last)), (vec!["r4"], None));
    let etag = get(alice, "").await.header("etag").to_owned();
    assert_eq!(last.header("etag"), etag);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_use_one_token_at_once_one_succeeds() {
    let harness = Harness::with_collection().await;
    fill(&harness.alice, 8).await;
    let first = harness.alice.delete(&format!("{RECORDS}?_limit=1")).await.expect(200);
    let path = next(&first).unwrap();

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (alice, path) = (harness.alice.clone(), path.clone());
        tasks.spawn(async move { alice.delete(&path).await.status });
    }
    let mut statuses = tasks.join_all().await;

    statuses.sort_unstable();
    assert_eq!(statuses, [[200].as_slice(), &[400; 7]].concat());
    assert_eq!(ids(&get(&harness.alice, "").await.json).len(), 6);
}

#[tokio::test]
async fn a_token_of_get_deletes_nothing() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 3).await;
    let path = next(&get(alice, "_limit=1").await).unwrap();

    alice.delete(&path).await.expect(400);
    assert_eq!(ids(&get(alice, "").await.json).len(), 3);

    let first = alice.delete(&format!("{RECORDS}?_limit=1")).await.expect(200);
    let path = next(&first).unwrap();
    for _ in 0..2 {
        assert_eq!(ids(&alice.get(&path).await.expect(200).json).len(), 1, "reading is free");
    }
    alice.delete(&path).await.expect(200);
}

#[tokio::test]
async fn a_token_of_delete_expires() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 3).await;
    let first = alice.delete(&format!("{RECORDS}?_limit=1")).await.expect(200);
    let owner = harness.database.owner().await;
    let late = "update cache set expires_at = now() - interval '1 second'";
    assert_eq!(owner.execute(late, &[]).await.unwrap(), 1);

    alice.delete(&next(&first).unwrap()).await.expect(400);
    assert_eq!(ids(&get(alice, "").await.json).len(), 2);

    // The next token makes room: what has expired is gone.
    alice.delete(&format!("{RECORDS}?_limit=1")).await.expect(200);
    let left: i64 = owner.query_one("select count(*) from cache", &[]).await.unwrap().get(0);
    assert_eq!(left, 1);
}

#[tokio::test]
async fn how_long_a_token_of_delete_is_good_is_a_setting() {
    let harness = Harness::with(&[("pagination_token_validity_seconds", "7")]).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    harness.alice.put("/buckets/b/collections/c", json!({})).await.expect(201);
    fill(&harness.alice, 3).await;

    harness.alice.delete(&format!("{RECORDS}?_limit=1")).await.expect(200);

    let left = "select extract(epoch from expires_at - now())::float8 from cache";
    let owner = harness.database.owner().await;
    let left: f64 = owner.query_one(left, &[]).await.unwrap().get(0);
    assert!(0.0 < left && left <= 7.0, "{left}");
}

#[tokio::test]
async fn deleting_obeys_filters_and_never_touches_tombstones() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 4).await;
    alice.delete(&format!("{RECORDS}/r0")).await.expect(200);
    let etag = get(alice, "").await.header("etag").to_owned();

    for query in ["tie=7", "_since=0&deleted=true", "in_id="] {
        let none = alice.delete(&format!("{RECORDS}?{query}")).await.expect(200);
        assert_eq!((none.json["data"].clone(), none.header("etag")), (json!([]), etag.as_str()));
    }
    alice.delete(&format!("{RECORDS}?in_id=1")).await.expect(400);
    let path = format!("{RECORDS}?tie=1");
    alice.raw("DELETE", &path, &[("if-match", "\"1\"")], "").await.expect(412);
    let odd = alice.raw("DELETE", &path, &[("if-match", &etag)], "").await.expect(200);
    assert_eq!(ids(&odd.json).len(), 2);
    assert_eq!(odd.json["data"][0]["deleted"], true);
    assert_eq!(ids(&get(alice, "").await.json), ["r2"]);
    let newest = odd.json["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|tombstone| tombstone["last_modified"].as_i64())
        .max();
    assert_eq!(odd.header("etag"), format!("\"{}\"", newest.unwrap()));
}

#[tokio::test]
async fn in_a_batch_lists_show_and_count_what_came_before() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    fill(alice, 2).await;
    let request = |method: &str, path: &str| json!({"method": method, "path": path});
    let requests = [
        request("PUT", &format!("/v1{RECORDS}/new")),
        request("DELETE", &format!("/v1{RECORDS}/r0")),
        request("PUT", &format!("/v1{RECORDS}/newer")),
        request("HEAD", RECORDS),
        request("GET", &format!("{RECORDS}?_limit=1")),
    ];

    let batch = alice.send("POST", "/batch", json!({"requests": requests})).await.expect(200);

    let responses = batch.json["responses"].as_array().unwrap();
    assert_eq!(responses[3]["headers"]["Total-Objects"], "3", "{responses:?}");
    let page = &responses[4];
    assert_eq!(ids(&page["body"]), ["newer"]);
    assert_eq!(page["headers"]["ETag"], responses[2]["headers"]["ETag"]);
    let url = page["headers"]["Next-Page"].as_str().unwrap();
    let path = url.split_once("/v1").unwrap().1;
    assert_eq!(walk(alice, path).await.concat(), ["new", "r1"]);
}
