//! The two tables of `kinto-http-api.md` that say who may do what: one entry each (§4.5), and one
//! setting each (§4.8).

use std::fmt::Write as _;

use serde_json::{Value, json};
use shared::testing::{TestClient, TestReply};

use crate::harness::{Harness, user_id};

/// A user who holds nothing but the entry of the column; `[n]` is the number of objects returned,
/// `P` says that permissions are shown, `-` that they are not.
const BY_ENTRY: &str = "
Request                   | B:r    | B:w    | B:cc   | B:gc   | C:r    | C:w    | C:rc   | G:r    | G:w    | R:r    | R:w    | none
GET /                     | 200[1] | 200[1] | 200[1] | 200[1] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0]
GET B                     | 200-   | 200P   | 200-   | 200-   | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
PATCH B                   | 403    | 200P   | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
DELETE /                  | 200[0] | 200[1] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0] | 200[0]
GET B/collections         | 200[1] | 200[1] | 200[0] | 403    | 200[1] | 200[1] | 200[1] | 403    | 403    | 403    | 403    | 403
PUT B/collections/new     | 403    | 201P   | 201P   | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
DELETE B/collections/none | 404    | 404    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
GET C                     | 200-   | 200-   | 403    | 403    | 200-   | 200P   | 200-   | 403    | 403    | 403    | 403    | 403
GET B/collections/none    | 404    | 404    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
PATCH C                   | 403    | 200P   | 403    | 403    | 403    | 200P   | 403    | 403    | 403    | 403    | 403    | 403
GET B/groups              | 200[1] | 200[1] | 403    | 200[0] | 403    | 403    | 403    | 200[1] | 200[1] | 403    | 403    | 403
GET G                     | 200-   | 200-   | 403    | 403    | 403    | 403    | 403    | 200-   | 200P   | 403    | 403    | 403
PATCH G                   | 403    | 200P   | 403    | 403    | 403    | 403    | 403    | 403    | 200P   | 403    | 403    | 403
POST B/groups             | 403    | 201P   | 403    | 201P   | 403    | 403    | 403    | 403    | 403    | 403    | 403    | 403
GET C/records             | 200[1] | 200[1] | 403    | 403    | 200[1] | 200[1] | 200[0] | 403    | 403    | 200[1] | 200[1] | 403
POST C/records            | 403    | 201P   | 403    | 403    | 403    | 201P   | 201P   | 403    | 403    | 403    | 403    | 403
GET R                     | 200-   | 200-   | 403    | 403    | 200-   | 200-   | 403    | 403    | 403    | 200-   | 200P   | 403
GET C/records/none        | 404    | 404    | 403    | 403    | 404    | 404    | 403    | 403    | 403    | 403    | 403    | 403
PUT C/records/new         | 403    | 201P   | 403    | 403    | 403    | 201P   | 201P   | 403    | 403    | 403    | 403    | 403
PATCH R                   | 403    | 200P   | 403    | 403    | 403    | 200P   | 403    | 403    | 403    | 403    | 200P   | 403
PATCH C/records/none      | 404    | 404    | 403    | 403    | 404    | 404    | 403    | 403    | 403    | 403    | 403    | 403
DELETE C/records          | 403    | 200[1] | 403    | 403    | 403    | 200[1] | 200[0] | 403    | 403    | 403    | 200[1] | 403";

/// A user who holds nothing but the setting of the column: `B:c` is `bucket_create_principals`. A
/// point is a 403.
const BY_SETTING: &str = "
Request                   | none | B:c    | B:r    | B:w    | G:c    | G:r    | G:w    | C:c    | C:r    | C:w    | R:c    | R:r    | R:w
GET /                     | .    | 200[0] | 200[1] | .      | .      | .      | .      | .      | .      | .      | .      | .      | .
POST /                    | .    | 201P   | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | .
PUT /buckets/new          | .    | 201P   | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | .
DELETE /                  | .    | 200[0] | .      | 200[1] | .      | .      | .      | .      | .      | .      | .      | .      | .
GET B                     | .    | .      | 200-   | 200-   | .      | .      | .      | .      | .      | .      | .      | .      | .
GET /buckets/none         | .    | .      | 404    | 404    | .      | .      | .      | .      | .      | .      | .      | .      | .
PATCH B                   | .    | .      | .      | 200P   | .      | .      | .      | .      | .      | .      | .      | .      | .
PATCH /buckets/none       | .    | .      | .      | 404    | .      | .      | .      | .      | .      | .      | .      | .      | .
DELETE B                  | .    | .      | .      | 200    | .      | .      | .      | .      | .      | .      | .      | .      | .
GET B/collections         | .    | .      | .      | .      | .      | .      | .      | 200[0] | 200[1] | 200[1] | .      | .      | .
POST B/collections        | .    | .      | .      | .      | .      | .      | .      | 201P   | .      | 201P   | .      | .      | .
GET C                     | .    | .      | .      | .      | .      | .      | .      | .      | 200-   | 200-   | .      | .      | .
GET B/collections/none    | .    | .      | .      | .      | .      | .      | .      | .      | 404    | 404    | .      | .      | .
PATCH C                   | .    | .      | .      | .      | .      | .      | .      | .      | .      | 200P   | .      | .      | .
DELETE B/collections/none | .    | .      | .      | .      | .      | .      | .      | .      | 404    | 404    | .      | .      | .
DELETE B/collections      | .    | .      | .      | .      | .      | .      | .      | 200[0] | .      | 200[1] | .      | .      | .
GET B/groups              | .    | .      | .      | .      | 200[0] | 200[1] | 200[1] | .      | .      | .      | .      | .      | .
POST B/groups             | .    | .      | .      | .      | 201P   | .      | 201P   | .      | .      | .      | .      | .      | .
GET G                     | .    | .      | .      | .      | .      | 200-   | 200-   | .      | .      | .      | .      | .      | .
PATCH G                   | .    | .      | .      | .      | .      | .      | 200P   | .      | .      | .      | .      | .      | .
DELETE B/groups           | .    | .      | .      | .      | 200[0] | .      | 200[1] | .      | .      | .      | .      | .      | .
GET C/records             | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | 200[0] | 200[1] | 200[1]
POST C/records            | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | 201P   | .      | 201P
POST C/records+           | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | 200-   | 200-
GET R                     | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | 200-   | 200-
GET C/records/none        | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | 404    | 404
PATCH R                   | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | 200P
PATCH C/records/none      | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | .      | 404    | 404
DELETE C/records          | .    | .      | .      | .      | .      | .      | .      | .      | .      | .      | 200[0] | .      | 200[1]";

/// Rows of a table: their first cell, and the others.
fn rows(table: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = table.trim().lines().map(|line| line.split('|').map(str::trim));
    lines.map(|mut cells| (cells.next().unwrap(), cells.collect())).collect()
}

/// `C` and what follows is short for `/buckets/{bucket}/collections/c…`.
fn path(bucket: &str, short: &str) -> String {
    let root = format!("/buckets/{bucket}");
    let (object, below) = short.split_at(short.find('/').unwrap_or(short.len()));
    match object {
        "" if below == "/" => "/buckets".to_owned(),
        "B" => format!("{root}{below}"),
        "G" => format!("{root}/groups/g{below}"),
        "C" => format!("{root}/collections/c{below}"),
        "R" => format!("{root}/collections/c/records/r{below}"),
        _ => short.to_owned(),
    }
}

/// The request of a row, with a body that every kind of object takes.
async fn ask(client: &TestClient, bucket: &str, request: &str) -> TestReply {
    let (method, short) = request.split_once(' ').unwrap();
    let body = match method {
        "PATCH" | "PUT" => json!({"data": {"x": 1}}),
        "POST" if short.ends_with('+') => json!({"data": {"id": "r"}}),
        "POST" => json!({"data": {"id": "posted"}}),
        _ => return client.raw(method, &path(bucket, short), &[], "").await,
    };
    client.send(method, &path(bucket, short.trim_end_matches('+')), body).await
}

/// What came back, as the tables write it.
fn shown(reply: &TestReply) -> String {
    let mut text = reply.status.to_string();
    if reply.status < 300 {
        let objects = reply.json["data"].as_array();
        let permissions = reply.json["permissions"].as_object();
        match (objects, permissions) {
            (Some(objects), _) => write!(text, "[{}]", objects.len()).unwrap(),
            (None, Some(permissions)) => text.push(if permissions.is_empty() { '-' } else { 'P' }),
            (None, None) => {}
        }
    }
    text
}

/// Makes a bucket with a group, a collection and a record, and gives `user` one entry.
async fn world(owner: &TestClient, bucket: &str, entry: &str, user: &str) {
    let (object, right) = entry.split_once(':').unwrap_or((entry, ""));
    let right = match right {
        "r" => "read",
        "w" => "write",
        "cc" => "collection:create",
        "gc" => "group:create",
        _ => "record:create",
    };
    let put = |short: &str| -> Value {
        let shared = if short == object { json!({right: [user]}) } else { json!({}) };
        let path = path(bucket, short);
        json!({"path": path, "body": {"data": {}, "permissions": shared}})
    };
    let requests: Vec<Value> = ["B", "G", "C", "R"].into_iter().map(put).collect();
    let batch = json!({"defaults": {"method": "PUT"}, "requests": requests});
    let made = owner.send("POST", "/batch", batch).await.expect(200);
    for response in made.json["responses"].as_array().unwrap() {
        assert_eq!(response["status"], 201, "{response}");
    }
}

#[tokio::test]
async fn one_entry_gives_exactly_the_rights_of_the_golden_matrix() {
    let harness = Harness::start().await;
    let table = rows(BY_ENTRY);
    let (_, entries) = &table[0];
    let mut wrong = Vec::new();

    for (row, (request, cells)) in table[1..].iter().enumerate() {
        assert_eq!(cells.len(), entries.len(), "{request}");
        for (column, (entry, expected)) in entries.iter().zip(cells).enumerate() {
            // A bucket and a user of their own for each cell: none sees another's.
            let bucket = format!("b{row}-{column}");
            let user = harness.anonymous.as_user(&bucket);
            world(&harness.alice, &bucket, entry, &user_id(&user).await).await;
            let got = shown(&ask(&user, &bucket, request).await);
            if got != *expected {
                wrong.push(format!("{request} with {entry}: {got}, not {expected}"));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test]
async fn a_setting_gives_rights_on_its_own_kind_of_object_only() {
    let table = rows(BY_SETTING);
    let (_, settings) = &table[0];
    let mut wrong = Vec::new();

    for (column, setting) in settings.iter().enumerate() {
        let alice = "basicauth:2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7";
        let bob = "basicauth:f029ff2ac40b1c5bf0df525be86cc3bc06d026e7913a423b15591fb1e0c95ae1";
        let name = name_of(setting);
        let both = format!("{alice} {bob}");
        let given = if name == "bucket_create_principals" { &both } else { bob };
        let harness = Harness::with(&[
            ("includes", "kinto.plugins.flush"),
            ("bucket_create_principals", alice),
            (&name, given),
        ])
        .await;
        let mut is_touched = true;
        for (request, cells) in &table[1..] {
            assert_eq!(cells.len(), settings.len(), "{request}");
            if is_touched {
                harness.anonymous.send("POST", "/__flush__", json!({})).await.expect(202);
                world(&harness.alice, "b", "", "").await;
            }
            let reply = ask(&harness.bob, "b", request).await;
            is_touched = reply.status < 300 && !request.starts_with("GET");
            let got = shown(&reply);
            let expected = cells[column].replace('.', "403");
            if got != expected {
                wrong.push(format!("{request} with {name}: {got}, not {expected}"));
            }
        }
    }

    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// A column's setting; one that grants nothing here for `none`.
fn name_of(column: &str) -> String {
    let Some((resource, right)) = column.split_once(':') else {
        return "permissions_read_principals".to_owned();
    };
    let resource = match resource {
        "B" => "bucket",
        "G" => "group",
        "C" => "collection",
        _ => "record",
    };
    let right = match right {
        "c" => "create",
        "r" => "read",
        _ => "write",
    };
    format!("{resource}_{right}_principals")
}
