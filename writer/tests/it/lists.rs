//! Filters, orders, selected fields (`kinto-http-api.md` §3).

use serde_json::{Value, json};
use shared::testing::{TestClient, TestReply};

use crate::harness::{Harness, ids, user_id};

const RECORDS: &str = "/buckets/b/collections/c/records";

/// Records by id, each with a member `n` of another type; `m` has none.
async fn with_types() -> Harness {
    let harness = Harness::with_collection().await;
    for (id, n) in [
        ("null", Value::Null),
        ("s", json!("1")),
        ("n", json!(1)),
        ("five", json!(5)),
        ("true", json!(true)),
        ("empty", json!([])),
        ("a", json!([1, "x"])),
        ("o", json!({"x": 1})),
    ] {
        harness.alice.put(&format!("{RECORDS}/{id}"), json!({"n": n})).await.expect(201);
    }
    harness.alice.put(&format!("{RECORDS}/m"), json!({})).await.expect(201);
    harness
}

async fn get(client: &TestClient, query: &str) -> TestReply {
    client.get(&format!("{RECORDS}?{query}")).await
}

/// The ids that a query finds, sorted.
async fn found(client: &TestClient, query: &str) -> Vec<String> {
    let reply = get(client, query).await.expect(200);
    let mut found: Vec<String> = ids(&reply.json).into_iter().map(str::to_owned).collect();
    found.sort();
    found
}

async fn message(client: &TestClient, query: &str) -> String {
    get(client, query).await.expect(400).json["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn filters_compare_values_of_all_types() {
    let harness = with_types().await;
    let containers = ["a", "empty", "o"];
    for (query, mut expected) in [
        ("n=1", vec!["n"]),
        ("n=1.0", vec!["n"]),
        ("n=%221%22", vec!["s"]),
        ("n=true", vec!["true"]),
        ("n=True", vec![]),
        ("n=null", vec!["null"]),
        ("n=", vec![]),
        ("n=[]", vec!["empty"]),
        ("n=[1,%22x%22]", vec!["a"]),
        ("n={%22x%22:1}", vec!["o"]),
        ("n={}", vec![]),
        ("n.x=1", vec!["o"]),
        ("n.0=1", vec![]),
        ("n=1&n=5", vec![]),
        ("not_n=1", vec!["null", "s", "five", "true", "empty", "a", "o", "m"]),
        ("gt_n=1", vec!["five", "true", "empty", "a", "o", "m"]),
        ("min_n=1", vec!["n", "five", "true", "empty", "a", "o", "m"]),
        ("lt_n=5", vec!["null", "s", "n"]),
        ("max_n=5", vec!["null", "s", "n", "five"]),
        ("gt_n=[]", vec!["a", "o", "m"]),
        ("lt_n=[]", vec!["null", "s", "n", "five", "true"]),
        ("in_n=1,5,true", vec!["n", "five", "true"]),
        ("in_n=", vec![]),
        ("exclude_n=1,5,true", vec!["null", "s", "empty", "a", "o", "m"]),
        ("exclude_n=&gt_n=true", vec!["empty", "a", "o", "m"]),
        ("like_n=%221%22", vec!["s", "n", "a", "o"]),
        ("has_n=true", vec!["null", "s", "n", "five", "true", "empty", "a", "o"]),
        ("has_n=0", vec!["m"]),
        ("contains_n=1", vec!["a"]),
        ("contains_n=[1,%22x%22]", vec!["a"]),
        ("contains_n=1,x", vec![]),
        ("contains_n=[]", vec!["empty", "a"]),
        ("contains_any_n=[x,1]", vec![]),
        ("contains_any_n=[7,1]", vec!["a"]),
        ("contains_any_n=7,1", vec![]),
        ("madmax_n=1", vec![]),
        ("gt_n=1&lt_n=true", vec!["five"]),
        ("id=%22n%22", vec!["n"]),
        ("in_id=n,s", vec!["n", "s"]),
        ("exclude_id=m&has_n=false", vec![]),
        ("like_id=E", vec!["five", "empty", "true"]),
        ("like_id=*e", vec!["five", "true"]),
        ("gt_id=o", vec!["s", "true"]),
    ] {
        expected.sort_unstable();
        assert_eq!(found(&harness.alice, query).await, expected, "{query}");
    }
    assert_eq!(found(&harness.alice, "gt_n=true").await, {
        let mut expected = containers.to_vec();
        expected.insert(2, "m");
        expected
    });
}

#[tokio::test]
async fn orders_go_across_types_with_the_missing_last() {
    let harness = with_types().await;
    let order = ["null", "s", "n", "five", "true", "empty", "a", "o", "m"];
    let reversed: Vec<&str> = order.iter().rev().copied().collect();
    let sorted = async |query: &str| {
        let reply = get(&harness.alice, query).await.expect(200);
        ids(&reply.json).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };

    assert_eq!(sorted("_sort=n").await, order);
    assert_eq!(sorted("_sort=-n").await, reversed);
    assert_eq!(sorted("_sort=last_modified").await, order, "in the order of their making");
    let newest = ["m", "o", "a", "empty", "true", "five", "n", "s", "null"];
    for query in ["", "_sort=x-y", "_sort=unknown", "_sort=-last_modified", "_sort=%00"] {
        assert_eq!(sorted(query).await, newest, "{query}");
    }
    assert_eq!(sorted("_sort=-n.x,id").await[..3], ["a", "empty", "five"]);
    assert_eq!(sorted("_sort=n.x,+id").await[..2], ["o", "a"]);
}

#[tokio::test]
async fn texts_compare_by_code_point_and_match_without_case() {
    let harness = Harness::with_collection().await;
    for (id, text) in [("1", "a"), ("2", "B"), ("3", "É_x"), ("4", "100%"), ("5", "\u{1F600}")] {
        harness.alice.put(&format!("{RECORDS}/{id}"), json!({"s": text})).await.expect(201);
    }

    let reply = get(&harness.alice, "_sort=s").await.expect(200);
    assert_eq!(ids(&reply.json), ["4", "2", "1", "3", "5"]);
    for (query, expected) in [
        ("like_s=%C3%A9", vec!["3"]),
        ("like_s=_", vec!["3"]),
        ("like_s=%25", vec!["4"]),
        ("like_s=%5C", vec![]),
        ("like_s=b*", vec!["2"]),
        ("like_s=*X", vec!["3"]),
        ("like_s=", vec!["1", "2", "3", "4", "5"]),
        ("s=%F0%9F%98%80", vec!["5"]),
    ] {
        assert_eq!(found(&harness.alice, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn tombstones_obey_filters_and_are_never_counted() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    for (id, n) in [("a", 1), ("b", 2), ("gone", 1)] {
        alice.put(&format!("{RECORDS}/{id}"), json!({"n": n})).await.expect(201);
    }
    alice.delete(&format!("{RECORDS}/gone")).await.expect(200);

    for (query, expected) in [
        ("deleted=true", vec![]),
        ("_since=0", vec!["a", "b", "gone"]),
        ("_since=null", vec!["a", "b", "gone"]),
        ("_since=0&deleted=true", vec!["gone"]),
        ("_since=0&has_deleted=false", vec!["a", "b"]),
        ("_since=0&n=1", vec!["a"]),
        ("_since=0&not_n=1", vec!["b", "gone"]),
        ("gt_last_modified=0&gt_n=1", vec!["b", "gone"]),
        ("_before=1", vec![]),
    ] {
        assert_eq!(found(alice, query).await, expected, "{query}");
    }
    for (query, total) in [("", "2"), ("_since=0", "2"), ("n=1", "1"), ("_since=0&not_n=1", "1")] {
        let head = alice.raw("HEAD", &format!("{RECORDS}?{query}"), &[], "").await.expect(200);
        assert_eq!(head.header("total-objects"), total, "{query}");
        assert_eq!(head.header("total-records"), total, "{query}");
        assert_eq!(head.header("content-length"), "11");
    }
    assert_eq!(get(alice, "").await.header("total-objects"), "", "GET does not count");
    let reduced = get(alice, "_since=0&deleted=true&_fields=n").await.expect(200);
    assert_eq!(reduced.json["data"][0].as_object().unwrap().len(), 2, "{}", reduced.json);
}

#[tokio::test]
async fn bounds_on_timestamps_are_strict() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let mut times = Vec::new();
    for id in ["a", "b", "c"] {
        let reply = alice.put(&format!("{RECORDS}/{id}"), json!({})).await.expect(201);
        times.push(reply.json["data"]["last_modified"].as_i64().unwrap());
    }
    let b = times[1];

    for (query, expected) in [
        (format!("_since={b}"), vec!["c"]),
        (format!("_since=%22{b}%22"), vec!["c"]),
        (format!("_before={b}"), vec!["a"]),
        (format!("_to={b}"), vec!["a"]),
        (format!("last_modified={b}"), vec!["b"]),
        (format!("last_modified=%22{b}%22"), vec!["b"]),
        (format!("min_last_modified={b}"), vec!["b", "c"]),
        (format!("lt_last_modified=%22{b}%22"), vec!["a"]),
        (format!("not_last_modified={b}"), vec!["a", "c"]),
    ] {
        assert_eq!(found(alice, &query).await, expected, "{query}");
    }
    let alert = get(alice, "_to=5").await.header("alert").to_owned();
    let alert: Value = serde_json::from_str(&alert).unwrap();
    assert_eq!(alert["code"], "soft-eol");
    assert_eq!(alert["message"], "_to is now deprecated, you should use _before instead");
    assert_eq!(get(alice, "_before=5").await.header("alert"), "");
}

#[tokio::test]
async fn what_is_wrong_is_told_after_preconditions_and_all_at_once() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let etag = get(alice, "").await.header("etag").to_owned();
    let future = etag.trim_matches('"').parse::<i64>().unwrap() + 48 * 3_600 * 1_000;

    for (query, text) in [
        ("id=42".to_owned(), "42 is not a string: {'id': ''}"),
        ("in_id=1,2".to_owned(), "Invalid value for in_id"),
        ("like_s=10".to_owned(), "Invalid value for like_s"),
        ("_since=true".to_owned(), "_since in querystring: \"true\" is not a number"),
        ("_limit=true".to_owned(), "_limit in querystring: \"true\" is not a number"),
        (format!("_since={future}"), "Invalid value for _since"),
        ("_token=123".to_owned(), "123 is not a string: {'_token': ''}"),
        ("_token=abc".to_owned(), "querystring: _token has invalid content"),
        ("s=%00".to_owned(), "s in querystring: Invalid character 0x00"),
    ] {
        assert_eq!(message(alice, &query).await, text, "{query}");
    }
    let path = format!("{RECORDS}?_limit=z&_since=x");
    let both = alice.raw("GET", &path, &[("if-match", "abc")], "").await.expect(400);
    assert_eq!(both.json["details"].as_array().unwrap().len(), 3, "{}", both.json);
    let path = format!("{RECORDS}?in_id=1&_token=abc");
    alice.raw("GET", &path, &[("if-none-match", &etag)], "").await.expect(304);
    alice.raw("GET", &path, &[("if-match", "\"1\"")], "").await.expect(412);
    alice.raw("GET", RECORDS, &[("if-none-match", "*")], "").await.expect(412);
}

#[tokio::test]
async fn names_and_values_are_never_code() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let hostile = [
        "'; drop table record; --",
        "\" or 1=1 --",
        "$1",
        "\\",
        "\\'",
        "{a,b}",
        "/* */",
        "' || (select 1) || '",
        "a' union select * from ace --",
        "é\u{2028}\u{1F600}",
    ];
    for (number, text) in hostile.iter().enumerate() {
        let data = json!({"s": text, *text: number});
        alice.put(&format!("{RECORDS}/r{number}"), data).await.expect(201);
    }
    let encode =
        |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();

    for (number, text) in hostile.iter().enumerate() {
        let value = encode(&json!(text).to_string());
        let id = vec![format!("r{number}")];
        for operator in ["", "eq_", "in_", "like_"] {
            // The items of a list cannot hold commas.
            if operator == "in_" && text.contains(',') {
                continue;
            }
            let query = format!("{operator}s={value}");
            let found = found(alice, &query).await;
            assert!(found == id || operator == "like_" && found.contains(&id[0]), "{query}");
        }
        if !text.contains('.') {
            let query = format!("{}={number}", encode(text));
            assert_eq!(found(alice, &query).await, id, "{query}");
        }
        for query in ["_sort=", "_fields=", "_token=", "_limit=", "_since=", "id=", "gt_id="] {
            let reply = get(alice, &format!("{query}{value}")).await;
            assert!([200, 400].contains(&reply.status), "{query}{value}: {}", reply.json);
        }
        for operator in ["gt_", "contains_", "contains_any_", "has_", "exclude_"] {
            get(alice, &format!("{operator}{}={value}", encode(text))).await.expect(200);
        }
    }
    assert_eq!(found(alice, "").await.len(), hostile.len(), "all are still there");
}

#[tokio::test]
async fn selected_fields_leave_out_the_rest() {
    let harness = Harness::with_collection().await;
    let alice = &harness.alice;
    let record = format!("{RECORDS}/r");
    let data = json!({"a": {"b": 1, "c": 2}, "s": "x", "n": 1});
    alice.put(&record, data).await.expect(201);
    let whole = alice.get(&record).await.expect(200);
    let time = &whole.json["data"]["last_modified"];

    for (fields, expected) in [
        ("n", json!({"n": 1})),
        ("a.b", json!({"a": {"b": 1}})),
        ("s.x", json!({"s": "x"})),
        ("n,,a.c", json!({"n": 1, "a": {"c": 2}})),
        ("unknown", json!({})),
        ("id", json!({})),
    ] {
        let mut expected = expected;
        expected["id"] = json!("r");
        expected["last_modified"] = time.clone();
        let one = alice.get(&format!("{record}?_fields={fields}")).await.expect(200);
        assert_eq!(one.json, json!({"data": expected}), "{fields}: no permissions either");
        assert_eq!(one.header("etag"), whole.header("etag"));
        let list = get(alice, &format!("_fields={fields}")).await.expect(200);
        assert_eq!(list.json, json!({"data": [expected]}), "{fields}");
    }
    for nothing in ["_fields=", "_fields=,"] {
        let one = alice.get(&format!("{record}?{nothing}")).await.expect(200);
        assert_eq!(one.json, whole.json, "{nothing}");
    }
}

#[tokio::test]
async fn shared_lists_are_filtered_counted_and_paginated() {
    let harness = Harness::with_collection().await;
    let (alice, bob) = (&harness.alice, &harness.bob);
    let reader = user_id(bob).await;
    for (id, shared) in [("a", true), ("b", false), ("c", true), ("d", true), ("gone", true)] {
        let read: &[&str] = if shared { &[&reader] } else { &[] };
        let body = json!({"data": {"n": id}, "permissions": {"read": read}});
        alice.send("PUT", &format!("{RECORDS}/{id}"), body).await.expect(201);
    }
    alice.delete(&format!("{RECORDS}/gone")).await.expect(200);

    assert_eq!(found(bob, "").await, ["a", "c", "d"]);
    assert_eq!(found(bob, "_since=0").await, ["a", "c", "d"], "no tombstones");
    assert_eq!(found(bob, "in_id=a,b").await, ["a"]);
    assert_eq!(found(bob, "exclude_id=a").await, ["c", "d"]);
    assert_eq!(found(bob, "id=b").await, Vec::<String>::new());
    assert_eq!(found(bob, "not_n=c").await, ["a", "d"]);
    let head = bob.raw("HEAD", &format!("{RECORDS}?gt_n=a"), &[], "").await.expect(200);
    assert_eq!(head.header("total-objects"), "2");
    let first = get(bob, "_limit=2&_sort=n").await.expect(200);
    assert_eq!(ids(&first.json), ["a", "c"]);
    let next = first.header("next-page").split_once("/v1").unwrap().1.to_owned();
    let second = bob.get(&next).await.expect(200);
    assert_eq!((ids(&second.json), second.header("next-page")), (vec!["d"], ""));
    assert_eq!(first.header("etag"), get(alice, "").await.header("etag"), "of the whole list");
    bob.delete(RECORDS).await.expect(403);
}

#[tokio::test]
async fn every_list_can_be_filtered_and_sorted() {
    let harness = Harness::start().await;
    let alice = &harness.alice;
    for id in ["b1", "b2", "b3"] {
        alice.put(&format!("/buckets/{id}"), json!({"n": id})).await.expect(201);
        alice.put(&format!("/buckets/b1/collections/{id}"), json!({"n": id})).await.expect(201);
        alice.put(&format!("/buckets/b1/groups/{id}"), json!({"n": id})).await.expect(201);
    }
    for list in ["/buckets", "/buckets/b1/collections", "/buckets/b1/groups"] {
        let reply = alice.get(&format!("{list}?not_n=b2&_sort=-id&_fields=n")).await.expect(200);
        assert_eq!(ids(&reply.json), ["b3", "b1"], "{list}");
        let by_id = alice.get(&format!("{list}?id=b2")).await.expect(200);
        assert_eq!(ids(&by_id.json), ["b2"], "{list}");
        let first = alice.get(&format!("{list}?_limit=2")).await.expect(200);
        assert_eq!(ids(&first.json), ["b3", "b2"], "{list}");
        let next = first.header("next-page").split_once("/v1").unwrap().1.to_owned();
        assert_eq!(ids(&alice.get(&next).await.expect(200).json), ["b1"], "{list}");
        let deleted = alice.delete(&format!("{list}?in_n=b2")).await.expect(200);
        assert_eq!(ids(&deleted.json), ["b2"], "{list}");
    }
}
