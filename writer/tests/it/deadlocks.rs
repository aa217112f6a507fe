//! Under load, whatever is missing, made, deleted and made again: no deadlock in the database, and
//! so no transaction that runs again, and no 5xx (`docs/adr/0005-a-unit-of-work.md`).

use std::sync::Arc;

use serde_json::{Value, json};
use shared::testing::TestClient;
use tokio::task::JoinSet;

use crate::harness::{Harness, user_id};

const ADMIN: &str = "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7";
const DEFAULT: &str = "/buckets/default";

async fn harness() -> Harness {
    let includes = "kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.quotas";
    let settings = [("includes", includes), ("user-data_delete_principals", ADMIN)];
    let harness = Harness::with(&settings).await;
    let open = json!({"permissions": {"write": ["system.Authenticated"]}});
    harness.alice.send("PUT", "/buckets/x", open).await.expect(201);
    harness
}

/// One request.
struct Ask {
    client: TestClient,
    method: &'static str,
    path: String,
    body: Value,
}

fn ask(client: &TestClient, method: &'static str, path: impl Into<String>, body: Value) -> Ask {
    Ask { client: client.clone(), method, path: path.into(), body }
}

fn batch(client: &TestClient, puts: &[&str]) -> Ask {
    let requests: Vec<Value> = puts.iter().map(|path| json!({"path": path})).collect();
    ask(client, "POST", "/batch", json!({"defaults": {"method": "PUT"}, "requests": requests}))
}

/// Runs `requests` of each of `clients` at once, by the number of the client and of the request;
/// then none may have been answered with 5xx, and the database has seen no deadlock.
async fn load(
    harness: &Harness,
    (clients, requests): (usize, usize),
    request: impl Fn(usize, usize) -> Ask + Send + Sync + 'static,
) {
    let request = Arc::new(request);
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let request = request.clone();
        tasks.spawn(async move {
            let mut failures = Vec::new();
            for number in 0..requests {
                let Ask { client, method, path, body } = request(client, number);
                let reply = client.send(method, &path, body).await;
                let responses = reply.json["responses"].as_array();
                let failed = |response: &Value| response["status"].as_u64() >= Some(500);
                if reply.status >= 500 || responses.is_some_and(|all| all.iter().any(failed)) {
                    failures.push(format!("{method} {path}: {} {}", reply.status, reply.json));
                }
            }
            failures
        });
    }
    let failures = tasks.join_all().await.concat();

    assert!(failures.is_empty(), "{} failures, as {}", failures.len(), failures[0]);
    let metrics = harness.anonymous.get("/__metrics__").await.bytes;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    assert!(metrics.contains("countersign_transaction_retries_total 0"), "locks, not retries");
    assert_eq!(deadlocks(harness).await, 0);
}

/// How many deadlocks there were in the test's database. Its servers tell when they end.
async fn deadlocks(harness: &Harness) -> i64 {
    const END: &str = "
        select count(pg_terminate_backend(pid)) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and backend_type = 'client backend'";
    const COUNT: &str = "
        select deadlocks from pg_stat_database where datname = current_database()";

    let owner = harness.database.owner().await;
    while owner.query_one(END, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    owner.query_one(COUNT, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_users_make_their_buckets_beside_writers_of_another_one() {
    let harness = harness().await;
    let alice = harness.alice.clone();

    load(&harness, (8, 20), move |client, number| {
        if client % 2 == 0 {
            return ask(&alice, "PATCH", "/buckets/x", json!({"data": {"k": number}}));
        }
        let user = alice.as_user(&format!("user-{client}-{number}"));
        let own = format!("{DEFAULT}/collections/a/records/1");
        let mut puts = [own.as_str(), "/buckets/x/collections/q1"];
        puts.rotate_left(number % 2);
        batch(&user, &puts)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn new_users_write_a_shared_collection_in_the_same_batch() {
    let harness = harness().await;
    harness.alice.put("/buckets/x/collections/c", json!({})).await.expect(201);
    let alice = harness.alice.clone();

    load(&harness, (8, 20), move |client, number| {
        let above = ["/buckets/x", "/buckets/x/collections/c"];
        if client % 2 == 0 {
            return ask(&alice, "PATCH", above[number % 2], json!({"data": {"k": number}}));
        }
        let user = alice.as_user(&format!("user-{client}-{number}"));
        let own = format!("{DEFAULT}/collections/a/records/1");
        batch(&user, &[&own, &format!("/buckets/x/collections/c/records/{number}")])
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_s_own_collection_goes_and_comes_back() {
    let harness = harness().await;
    let alice = harness.alice.clone();

    load(&harness, (8, 40), move |client, number| {
        let collection = format!("{DEFAULT}/collections/a");
        let record = format!("{collection}/records/{}", number % 7);
        match (client * 3 + number) % 20 {
            0 => ask(&alice, "DELETE", collection, json!({})),
            even if even % 2 == 0 => ask(&alice, "PUT", record, json!({"data": {"n": number}})),
            _ => ask(&alice, "GET", record, json!({})),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_user_s_own_bucket_goes_and_comes_back() {
    let harness = harness().await;
    let alice = harness.alice.clone();

    load(&harness, (32, 12), move |client, number| {
        let record = format!("{DEFAULT}/collections/a/records/{}", number % 7);
        match (client * 7 + number) % 20 {
            0 => ask(&alice, "DELETE", DEFAULT, json!({})),
            even if even % 2 == 0 => ask(&alice, "PUT", record, json!({"data": {"n": number}})),
            _ => ask(&alice, "GET", record, json!({})),
        }
    })
    .await;
    harness.check_live_counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_buckets_are_written_at_every_level_and_deleted() {
    let harness = harness().await;
    let alice = harness.alice.clone();

    load(&harness, (16, 40), move |client, number| {
        let draw = client * 13 + number * 7;
        let bucket = format!("/buckets/b{}", draw % 3);
        let other = format!("/buckets/b{}", (draw / 3 + 1) % 3);
        let (collection, group) =
            (format!("{bucket}/collections/c{}", draw % 2), format!("{bucket}/groups/g"));
        let record = format!("{collection}/records/{}", draw % 5);
        let data = json!({"data": {"n": number}});
        match draw % 19 {
            0 => ask(&alice, "DELETE", bucket, json!({})),
            1 => ask(&alice, "DELETE", "/buckets?_limit=2", json!({})),
            2 => ask(&alice, "DELETE", format!("{bucket}/collections"), json!({})),
            3 => ask(&alice, "DELETE", collection, json!({})),
            4 => ask(&alice, "DELETE", format!("{bucket}/groups"), json!({})),
            5 => ask(&alice, "POST", format!("{bucket}/collections"), data),
            6 => ask(&alice, "POST", "/buckets", data),
            7 => ask(&alice, "PATCH", bucket, data),
            8 => ask(&alice, "PUT", group, json!({"data": {"members": [ADMIN]}})),
            9 | 10 => batch(&alice, &[&bucket, &group, &collection, &record, &other]),
            11 => batch(&alice, &[&other, &format!("{other}/collections/c0"), &record]),
            12 => ask(&alice, "DELETE", format!("{bucket}/history"), json!({})),
            13 => ask(&alice, "POST", format!("{collection}/records"), data),
            14 => ask(&alice, "PUT", collection, data),
            15 => ask(&alice, "PUT", bucket, data),
            _ => ask(&alice, "PUT", record, data),
        }
    })
    .await;
    harness.check_live_counts().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn users_are_forgotten_while_others_name_them() {
    let harness = harness().await;
    let (alice, bob) = (harness.alice.clone(), user_id(&harness.bob).await);
    for path in ["/buckets/b", "/buckets/b/collections/c", "/buckets/b/collections/d"] {
        alice.put(path, json!({})).await.expect(201);
    }
    assert_eq!(user_id(&alice).await, ADMIN);

    load(&harness, (12, 20), move |client, number| {
        let others = format!("basicauth:{client}");
        let acl = json!({"read": [bob, others], "write": [ADMIN, bob]});
        match client % 3 {
            0 if number % 2 == 0 => {
                ask(&alice, "DELETE", format!("/__user_data__/{bob}"), json!({}))
            }
            0 => {
                let forget = json!({"method": "DELETE", "path": format!("/__user_data__/{bob}")});
                let write = json!({"method": "PUT", "path": "/buckets/b/collections/c/records/0"});
                ask(&alice, "POST", "/batch", json!({"requests": [write, forget]}))
            }
            1 => {
                let group = format!("/buckets/b/groups/g{}", number % 6);
                let body = json!({"data": {"members": [bob, others]}, "permissions": acl});
                ask(&alice, "PUT", group, body)
            }
            _ => {
                let path = |n: usize| {
                    let collection = if (client + n).is_multiple_of(2) { "c" } else { "d" };
                    json!({"path": format!("/buckets/b/collections/{collection}/records/{n}")})
                };
                let requests: Vec<Value> = (0..10).map(path).collect();
                let defaults = json!({"method": "PUT", "body": {"permissions": acl}});
                ask(&alice, "POST", "/batch", json!({"defaults": defaults, "requests": requests}))
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn histories_are_deleted_in_any_order_beside_writers() {
    let harness = harness().await;
    let alice = harness.alice.clone();
    for bucket in ["a", "z"] {
        alice.put(&format!("/buckets/{bucket}"), json!({})).await.expect(201);
        alice.put(&format!("/buckets/{bucket}/collections/c"), json!({})).await.expect(201);
    }

    load(&harness, (8, 30), move |client, number| {
        let record = |bucket: &str| format!("/buckets/{bucket}/collections/c/records/{client}");
        let put = |bucket: &str| json!({"method": "PUT", "path": record(bucket)});
        let shorten = |bucket: &str| {
            json!({"method": "DELETE", "path": format!("/buckets/{bucket}/history")})
        };
        let requests = match (client + number) % 4 {
            0 => json!([shorten("a"), shorten("z")]),
            1 => json!([shorten("z"), put("a"), shorten("a")]),
            2 => json!([put("z"), shorten("z"), put("a")]),
            _ => json!([put("a"), put("z")]),
        };
        ask(&alice, "POST", "/batch", json!({"requests": requests}))
    })
    .await;
    harness.check_live_counts().await;
}
