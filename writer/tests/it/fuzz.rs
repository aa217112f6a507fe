//! Arbitrary input at the front door: every answer is a client's error or a success, never ours.
//!
//! Each test runs for a moment; `COUNTERSIGN_FUZZ_SECONDS=600` makes it that long.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::harness::Harness;

const RECORD: &str = "/buckets/b/collections/c/records/r";
const OTHERS: [&str; 5] = ["/", "/buckets", "/permissions", "/__heartbeat__", "/buckets/b/history"];
const OBJECTS: [&str; 4] =
    ["/buckets/b", "/buckets/b/groups/g", "/buckets/b/collections/c", RECORD];

/// One request.
#[derive(Debug)]
struct Shot {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

impl Shot {
    fn new(method: &'static str, path: &str, kind: &str, body: String) -> Self {
        let headers = vec![("content-type", format!("application/{kind}"))];
        Self { method, path: path.to_owned(), headers, body }
    }
}

/// How long to go on, where somebody asks for more than a moment.
#[expect(clippy::disallowed_methods, reason = "the duration of a test is no setting")]
fn seconds() -> Option<u64> {
    std::env::var("COUNTERSIGN_FUZZ_SECONDS").ok()?.parse().ok()
}

/// Sends what the strategy makes until the time is over.
async fn fire(shots: impl Strategy<Value = Shot>) {
    let harness = Harness::with(&[
        ("experimental_collection_schema_validation", "true"),
        ("experimental_permissions_endpoint", "true"),
        ("includes", "kinto.plugins.default_bucket kinto.plugins.history"),
    ])
    .await;
    for path in OBJECTS {
        harness.alice.put(path, json!({})).await.expect(201);
    }
    for (n, value) in [json!(1), json!("a"), json!(["a", 1]), json!({"b": null})].iter().enumerate()
    {
        let path = format!("/buckets/b/collections/c/records/seed-{n}");
        harness.alice.put(&path, json!({"a": value, "n": n})).await.expect(201);
    }
    let seconds = seconds();
    let duration = seconds.map_or(Duration::from_millis(300), Duration::from_secs);
    // Short runs always try the same; long ones never.
    let mut runner = if seconds.is_some() {
        TestRunner::new(Config::default())
    } else {
        TestRunner::deterministic()
    };
    let start = Instant::now();
    let (mut answers, mut within) = (BTreeMap::<u16, u64>::new(), BTreeMap::<u64, u64>::new());
    while start.elapsed() < duration {
        let shot = shots.new_tree(&mut runner).unwrap().current();
        let headers: Vec<_> =
            shot.headers.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let reply = harness.alice.raw(shot.method, &shot.path, &headers, shot.body.clone()).await;
        assert!(reply.status < 500, "{} {} {shot:?}", reply.status, reply.json);
        for inner in reply.json["responses"].as_array().into_iter().flatten() {
            let status = inner["status"].as_u64().unwrap();
            assert!(status < 500, "{inner} {shot:?}");
            *within.entry(status).or_default() += 1;
        }
        *answers.entry(reply.status).or_default() += 1;
    }
    println!("{} requests; by status: {answers:?}", answers.values().sum::<u64>());
    if !within.is_empty() {
        println!("{} in batches: {within:?}", within.values().sum::<u64>());
    }
    harness.alice.get(RECORD).await;
    harness.alice.get("/__heartbeat__").await.expect(200);
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = "(data|permissions|read|write|members|schema|type|required|properties|items|anyOf|\
                integer|string|pattern|\\$ref|#|cache_expires|last_modified|id|status|/data/a|\\PC{0,6})";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(word, inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_object() -> impl Strategy<Value = &'static str> {
    prop::sample::select(OBJECTS.to_vec())
}

#[tokio::test]
async fn bodies() {
    let whole = any_json().prop_map(|body| body.to_string());
    let data = any_json().prop_map(|data| json!({"data": data}).to_string());
    let member = (prop::sample::select(vec!["schema", "record:schema", "members"]), any_json())
        .prop_map(|(name, value)| json!({"data": {name: value}}).to_string());
    let rights = any_json().prop_map(|rights| json!({"permissions": rights}).to_string());
    let text = "\\PC{0,40}";
    let body = prop_oneof![whole, data, member, rights, text];
    // Without its bucket, everything is forbidden.
    let method = prop_oneof![
        40 => prop::sample::select(vec!["PUT", "PATCH", "POST"]),
        1 => prop::sample::select(vec!["GET", "DELETE"]),
    ];
    let kind = prop::sample::select(vec!["json", "merge-patch+json", "json-patch+json", "x"]);

    fire(
        (method, any_object(), kind, body)
            .prop_map(|(method, path, kind, body)| Shot::new(method, path, kind, body)),
    )
    .await;
}

#[tokio::test]
async fn json_patches() {
    let op = prop::sample::select(vec!["add", "remove", "replace", "move", "copy", "test", "x"]);
    let path = prop_oneof![
        "/(data|permissions)(/(a|b|id|read|write|schema|members|status))?",
        "/data/(a|members)/(-|0|9|x)",
        "/permissions/(read|write|bogus)/(\\PC{0,5})",
        "\\PC{0,10}",
    ];
    let operation = (op, path.clone(), path, any_json()).prop_map(
        |(op, path, from, value)| json!({"op": op, "path": path, "from": from, "value": value}),
    );

    fire((any_object(), prop::collection::vec(operation, 0..8)).prop_map(|(path, operations)| {
        Shot::new("PATCH", path, "json-patch+json", Value::from(operations).to_string())
    }))
    .await;
}

#[tokio::test]
async fn headers() {
    let name = prop::sample::select(vec![
        "if-match",
        "if-none-match",
        "accept",
        "content-type",
        "response-behavior",
        "authorization",
        "origin",
    ]);
    let text = prop_oneof![
        "\"[0-9]{1,25}\"",
        "(W/)?\"?[0-9*]{0,5}\"?",
        "[a-z*]{0,5}/[a-z*+]{0,5}(;q=[0-9.]{0,4})?",
        "[ -~]{0,30}",
    ];
    let method = prop::sample::select(vec!["GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"]);

    fire((method, any_object(), prop::collection::vec((name, text), 0..4)).prop_map(
        |(method, path, headers)| Shot { headers, ..Shot::new(method, path, "json", "{}".into()) },
    ))
    .await;
}

/// A request of a batch that is done, or refused by itself.
fn well_formed() -> impl Strategy<Value = Value> {
    // Without its bucket, everything is forbidden.
    let method = prop_oneof![
        40 => prop::sample::select(vec!["GET", "HEAD", "PUT", "PUT", "PATCH", "PATCH"]),
        5 => Just("POST"),
        1 => Just("DELETE"),
    ];
    let place = prop_oneof![
        12 => any_object().prop_map(str::to_owned),
        4 => Just("/buckets/b/collections/c/records".to_owned()),
        1 => prop::sample::select(OTHERS.to_vec()).prop_map(str::to_owned),
        2 => "/[ -~]{0,20}",
    ];
    let query = prop_oneof![
        4 => Just(String::new()),
        1 => "\\?(_since|_limit|_sort|gt_n|id)=[a-z0-9%\",]{0,6}",
    ];
    let header =
        prop::sample::select(vec!["If-Match", "If-None-Match", "Response-Behavior", "Accept"]);
    let text = prop_oneof!["\"[0-9]{1,15}\"", "[*]", "(light|diff|full)", "[ -~]{0,12}"];
    let body = (prop::sample::select(vec!["data", "data", "data", "permissions"]), any_json());
    (method, place, query, prop::collection::btree_map(header, text, 0..2), body).prop_map(
        |(method, place, query, headers, (member, value))| {
            json!({"method": method, "path": format!("{place}{query}"), "headers": headers,
                   "body": {member: value}})
        },
    )
}

#[tokio::test]
async fn batches() {
    let path = prop_oneof![any_object().prop_map(str::to_owned), "/[ -~]{0,20}"];
    let method = prop::sample::select(vec!["GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "X"]);
    let odd = (method, path, any_json(), any_json()).prop_map(|(method, path, headers, body)| {
        json!({"method": method, "path": path, "headers": headers, "body": body})
    });
    // One that is malformed is told for the whole batch: most are well-formed.
    let requests = prop::collection::vec(prop_oneof![19 => well_formed(), 1 => odd], 0..5);
    let defaults = prop_oneof![9 => Just(json!({})), 1 => any_json()];

    fire((requests, defaults).prop_map(|(requests, defaults)| {
        let body = json!({"requests": requests, "defaults": defaults});
        Shot::new("POST", "/batch", "json", body.to_string())
    }))
    .await;
}

#[tokio::test]
async fn ids() {
    let id = prop_oneof!["[a-zA-Z0-9_-]{0,40}", "(%[0-9A-F]{2}){1,6}", "[a-z.~!*'();:@&=+$,]{0,9}"];
    let list =
        prop::sample::select(vec!["/buckets", "/buckets/b/groups", "/buckets/b/collections"]);
    let method = prop::sample::select(vec!["GET", "PUT", "PATCH", "DELETE"]);

    fire((method, list, id).prop_map(|(method, list, id)| {
        Shot::new(method, &format!("{list}/{id}"), "json", "{}".to_owned())
    }))
    .await;
}

#[tokio::test]
async fn queries() {
    let name = prop_oneof![
        "_(since|before|to|sort|limit|token|fields|expected|x)",
        "(min_|max_|gt_|lt_|not_|in_|exclude_|like_|has_|contains_|contains_any_)?\
         (a|a\\.b|n|id|last_modified|deleted|members|uri|permissions|resource_name|\\PC{0,3})",
    ];
    let value = prop_oneof![
        any_json().prop_map(|value| value.to_string()),
        "-?[0-9]{1,25}(\\.[0-9]{1,3})?(e[0-9]{1,4})?",
        "\"[0-9]{1,20}\"",
        "-?(a|a\\.b|n|id|last_modified)(,-?(a|n|id|\\PC{0,3})){0,4}",
        "\\PC{0,8}(,\\PC{0,8}){0,3}",
        "(%[0-9A-F]{2}){1,6}",
        Just("\0".to_owned()),
    ];
    // Some go out as they are, as far as a request's line can hold them.
    let parameter = (name, value, prop::bool::weighted(0.9)).prop_map(|(name, value, encoded)| {
        if encoded {
            form_urlencoded::Serializer::new(String::new()).append_pair(&name, &value).finish()
        } else {
            let raw = |c: &char| c.is_ascii_alphanumeric() || "%&'()*+,-./:;=@_~".contains(*c);
            format!("{name}={value}").chars().filter(raw).collect()
        }
    });
    let list = prop::sample::select(vec![
        "/buckets",
        "/buckets/b/groups",
        "/buckets/b/collections",
        "/buckets/b/collections/c/records",
        "/buckets/b/history",
        "/buckets/default/collections",
        "/permissions",
        RECORD,
    ]);
    // Deletions leave little to find.
    let method = prop::sample::select(vec!["GET", "GET", "GET", "GET", "HEAD", "HEAD", "PATCH"]);
    let deletion = (Just("DELETE"), Just("/buckets/b/collections/c/records"));
    let place = prop_oneof![40 => (method, list), 1 => deletion];

    fire((place, prop::collection::vec(parameter, 0..4)).prop_map(
        |((method, path), parameters)| {
            let target = format!("{path}?{}", parameters.join("&"));
            Shot::new(method, &target, "json", json!({"data": {"a": 1}}).to_string())
        },
    ))
    .await;
}
