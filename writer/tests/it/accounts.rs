//! Accounts and their passwords (`kinto-http-api.md` §5.1, §5.3).

use serde_json::{Value, json};
use shared::{
    config::Layers,
    model::Id,
    testing::{TestClient, TestReply},
};
use writer::{
    app::App,
    config::{Config, DEFAULTS},
    operations,
};

use crate::harness::{Harness, ids, user_id};

/// Accounts as they are tried, with cheap hashes.
pub(crate) const ACCOUNTS: [(&str, &str); 6] = [
    ("includes", "kinto.plugins.accounts"),
    ("multiauth.policies", "account basicauth"),
    (
        "multiauth.policy.account.use",
        "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
    ),
    ("account_create_principals", "system.Everyone"),
    ("account_write_principals", "account:admin"),
    ("account_bcrypt_cost", "4"),
];

/// A writer where people sign up, with the accounts alice, bob and admin.
pub(crate) async fn start(settings: &[(&str, &str)]) -> (Harness, [TestClient; 3]) {
    let settings: Vec<_> = ACCOUNTS.iter().chain(settings).copied().collect();
    let harness = Harness::with(&settings).await;
    let clients = ["alice", "bob", "admin"].map(|name| {
        // Not the password of the harness's basicauth users.
        harness.anonymous.with_password(name, "s3cret")
    });
    for name in ["alice", "bob", "admin"] {
        sign_up(&harness.anonymous, name).await.expect(201);
    }
    (harness, clients)
}

pub(crate) async fn sign_up(client: &TestClient, name: &str) -> TestReply {
    client.put(&format!("/accounts/{name}"), json!({"password": "s3cret"})).await
}

/// Who asks, for what, with what body; what comes back. `{}` stands for a body without meaning.
type Row = (&'static str, &'static str, &'static str, &'static str, u16);

const ALICE: &str = "{\"data\": {\"id\": \"alice\", \"password\": \"s3cret\"}}";
const NEW: &str = "{\"data\": {\"id\": \"new\", \"password\": \"s3cret\"}}";
const CHANGE: &str = "{\"data\": {\"x\": 1}}";

/// §5.3.5, with trap T111. The order matters: it is one story.
const STORY: [Row; 29] = [
    ("nobody", "PUT", "/accounts/alice", ALICE, 401),
    ("nobody", "POST", "/accounts", ALICE, 401),
    ("nobody", "POST", "/accounts", NEW, 201),
    ("admin", "DELETE", "/accounts/new", "{}", 200),
    ("bob", "PUT", "/accounts/alice", ALICE, 400),
    ("bob", "PUT", "/accounts/new", NEW, 400),
    ("bob", "POST", "/accounts", ALICE, 400),
    ("bob", "POST", "/accounts", NEW, 400),
    ("carol", "PUT", "/accounts/new", NEW, 400),
    ("alice", "PUT", "/accounts/alice", ALICE, 200),
    ("alice", "POST", "/accounts", ALICE, 200),
    ("admin", "PUT", "/accounts/new", NEW, 201),
    ("admin", "POST", "/accounts", NEW, 200),
    ("admin", "PUT", "/accounts/alice", ALICE, 200),
    ("nobody", "GET", "/accounts/alice", "", 401),
    ("bob", "GET", "/accounts/alice", "", 403),
    ("alice", "GET", "/accounts/alice", "", 200),
    ("admin", "GET", "/accounts/alice", "", 200),
    ("bob", "GET", "/accounts/none", "", 403),
    ("admin", "GET", "/accounts/none", "", 404),
    ("nobody", "PATCH", "/accounts/alice", CHANGE, 401),
    ("bob", "PATCH", "/accounts/alice", CHANGE, 403),
    ("alice", "PATCH", "/accounts/alice", CHANGE, 200),
    ("admin", "PATCH", "/accounts/alice", CHANGE, 200),
    ("nobody", "DELETE", "/accounts/alice", "{}", 401),
    ("bob", "DELETE", "/accounts/alice", "{}", 403),
    ("admin", "DELETE", "/accounts/none", "{}", 404),
    ("alice", "DELETE", "/accounts/alice", "{}", 200),
    ("nobody", "PUT", "/accounts/alice", ALICE, 201),
];

#[tokio::test]
async fn users_write_their_own_account_and_administrators_write_all() {
    let (harness, [alice, bob, admin]) = start(&[]).await;
    let carol = harness.anonymous.as_user("carol");

    for (who, method, path, body, status) in STORY {
        let client = match who {
            "alice" => &alice,
            "bob" => &bob,
            "admin" => &admin,
            "carol" => &carol,
            _ => &harness.anonymous,
        };
        let json = [("content-type", "application/json")];
        let reply = client.raw(method, path, &json, body).await;
        assert_eq!(reply.status, status, "{who}: {method} {path}: {}", reply.json);
        if status == 400 {
            let mismatch = "data.id in body: Username and account ID do not match.";
            assert_eq!(reply.json["message"], mismatch);
        }
    }
}

#[tokio::test]
async fn an_account_belongs_to_its_name_whoever_made_it() {
    let (harness, [alice, _, admin]) = start(&[]).await;

    let made = admin.put("/accounts/new@example.com", json!({"password": "x"})).await.expect(201);
    let signed_up = harness.anonymous.put("/accounts/dora", json!({"password": "x"})).await;

    assert_eq!(made.json["permissions"], json!({"write": ["account:new@example.com"]}));
    assert_eq!(signed_up.json["permissions"], json!({"write": ["account:dora"]}));
    let new = harness.anonymous.with_password("new@example.com", "x");
    assert_eq!(user_id(&new).await, "account:new@example.com");
    assert_eq!(user_id(&alice).await, "account:alice");
}

#[tokio::test]
async fn a_list_shows_ones_own_account() {
    let (harness, [alice, bob, admin]) = start(&[]).await;
    let carol = harness.anonymous.as_user("carol");
    let shared = json!({"permissions": {"read": ["system.Everyone"]}});
    alice.send("PATCH", "/accounts/alice", shared).await.expect(200);

    for (client, expected) in [
        (&alice, vec!["alice"]),
        (&bob, vec!["bob"]),
        (&carol, vec![]),
        (&admin, vec!["alice", "admin"]),
    ] {
        let list = client.get("/accounts").await.expect(200);
        assert_eq!(ids(&list.json), expected);
        let head = client.raw("HEAD", "/accounts", &[], "").await.expect(200);
        assert_eq!(head.header("total-objects"), expected.len().to_string());
    }
    let gone = bob.delete("/accounts").await.expect(200);
    assert_eq!(ids(&gone.json), ["bob"]);
    let gone = admin.delete("/accounts").await.expect(200);
    assert_eq!(gone.json["data"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_administrator_who_may_read_accounts_sees_all() {
    let all = [("account_read_principals", "account:admin")];
    let (_harness, [alice, _, admin]) = start(&all).await;

    let list = admin.get("/accounts").await.expect(200);

    assert_eq!(ids(&list.json), ["admin", "bob", "alice"]);
    assert_eq!(ids(&alice.get("/accounts").await.json), ["alice"]);
}

/// Trap T112.
#[tokio::test]
async fn accounts_are_not_listed_to_everybody() {
    let (harness, _) = start(&[]).await;

    for method in ["GET", "DELETE", "HEAD"] {
        let reply = harness.anonymous.raw(method, "/accounts", &[], "").await.expect(401);
        assert!(!reply.headers.contains_key("www-authenticate"));
        if method != "HEAD" {
            let expected = json!({"code": 401, "errno": 999, "error": "Cannot read accounts."});
            assert_eq!(reply.json, expected);
        }
    }
}

/// Who asks, for what, with what data; what the message is.
const LACKING: [(&str, &str, &str, &str, &str); 10] = [
    ("alice", "PUT", "/accounts/alice", "{}", "data.password in body: Required"),
    ("alice", "PUT", "/accounts/alice", r#"{"password": ""}"#, "data.password in body: Required"),
    ("alice", "PUT", "/accounts/alice", r#"{"password": []}"#, "data.password in body: Required"),
    (
        "alice",
        "PUT",
        "/accounts/alice",
        r#"{"password": 5}"#,
        "data.password in body: 5 is not a string: {'password': ''}",
    ),
    ("alice", "PATCH", "/accounts/alice", r#"{"password": null}"#, "password in body: Required"),
    ("nobody", "POST", "/accounts", r#"{"password": "x"}"#, "data.id in body: Required"),
    ("admin", "POST", "/accounts", r#"{"password": "x"}"#, "data.id in body: Required"),
    (
        "alice",
        "POST",
        "/accounts",
        r#"{"password": "x"}"#,
        "data.id in body: Accounts must have an ID.",
    ),
    ("nobody", "POST", "/accounts", r#"{"id": "a*", "password": "x"}"#, "path: Invalid object id"),
    ("nobody", "PUT", "/accounts/a%0A", r#"{"password": "x"}"#, "path: Invalid object id"),
];

#[tokio::test]
async fn what_a_body_lacks_is_told() {
    let (harness, [alice, _, admin]) = start(&[]).await;

    for (who, method, path, data, message) in LACKING {
        let client = match who {
            "alice" => &alice,
            "admin" => &admin,
            _ => &harness.anonymous,
        };
        let body = json!({"data": serde_json::from_str::<Value>(data).unwrap()});
        let reply = client.send(method, path, body).await.expect(400);
        assert_eq!(reply.json["message"], message, "{who}: {method} {path} {data}");
    }
    let reply = alice.send("PUT", "/accounts/alice", json!({})).await.expect(400);
    assert_eq!(reply.json["message"], "data in body: Required");
    let long = json!({"password": "x".repeat(73)});
    let reply = alice.patch("/accounts/alice", long).await.expect(400);
    assert_eq!(reply.json["message"], "password in body: Longer than maximum length 72");
    alice.patch("/accounts/alice", json!({"password": "x".repeat(72)})).await.expect(200);
}

/// §5.1.1-4, traps T72 and T73.
#[tokio::test]
async fn policies_are_asked_in_order_and_unusable_credentials_ignored() {
    let (harness, [alice, ..]) = start(&[]).await;
    let wrong = harness.anonymous.with_password("alice", "wrong");

    assert_eq!(user_id(&alice).await, "account:alice");
    assert!(user_id(&wrong).await.starts_with("basicauth:"), "the next policy takes it");
    let refused = harness.anonymous.get("/buckets/x").await.expect(401);
    let challenges: Vec<_> = refused.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["Basic realm=\"Realm\"", "Basic realm=\"Realm\""]);
    for garbage in ["garbage", "Basic", "Basic !!", "Basic bWF0", "Basic OnNlY3JldA==", "Digest x"]
    {
        let reply = harness.anonymous.with_authorization(garbage).get("/").await.expect(200);
        assert!(reply.json.get("user").is_none(), "{garbage}");
    }
    let capability = &harness.anonymous.get("/").await.json["capabilities"]["accounts"];
    assert_eq!(capability["validation_enabled"], false);
}

#[tokio::test]
async fn a_batch_makes_accounts_too_and_each_request_has_its_user() {
    let (harness, [alice, ..]) = start(&[]).await;
    let alice_s = "Basic YWxpY2U6czNjcmV0";
    let new = json!({"data": {"password": "x"}});

    let reply = harness
        .anonymous
        .send(
            "POST",
            "/batch",
            json!({"requests": [
                {"method": "PUT", "path": "/accounts/dora", "body": new},
                {"method": "PUT", "path": "/accounts/alice", "body": new},
                {"method": "PUT", "path": "/accounts/alice", "body": new,
                 "headers": {"Authorization": alice_s}},
            ]}),
        )
        .await
        .expect(200);

    let statuses: Vec<_> =
        reply.json["responses"].as_array().unwrap().iter().map(|r| r["status"].clone()).collect();
    assert_eq!(statuses, [201, 401, 200]);
    let hash = &reply.json["responses"][0]["body"]["data"]["password"];
    assert!(hash.as_str().unwrap().starts_with("$2b$"));
    alice.get("/accounts/alice").await.expect(403);
    let dora = harness.anonymous.with_password("dora", "x");
    assert_eq!(user_id(&dora).await, "account:dora");
}

#[tokio::test]
async fn without_the_plug_in_there_are_no_accounts() {
    let harness = Harness::start().await;

    for path in ["/accounts", "/accounts/alice"] {
        let reply = harness.alice.get(path).await.expect(404);
        assert_eq!(reply.json["errno"], 111);
    }
    assert!(harness.alice.get("/").await.json["capabilities"].get("accounts").is_none());
}

#[tokio::test]
async fn nobody_signs_up_where_the_settings_do_not_let_them() {
    let closed = [("account_create_principals", "")];
    let harness = Harness::with(&[&ACCOUNTS[..], &closed[..]].concat()).await;

    sign_up(&harness.anonymous, "alice").await.expect(401);
    sign_up(&harness.alice, "alice").await.expect(403);
}

/// §5.3.10.
#[tokio::test]
async fn an_operator_makes_the_first_account() {
    let (harness, [alice, ..]) = start(&[]).await;
    let mut layers = Layers::new(DEFAULTS);
    layers.set("storage_url", harness.database.url("countersign_writer"));
    layers.set("account_bcrypt_cost", "4");
    let app = App::new(Config::read(&mut layers).unwrap()).unwrap();

    for (name, password) in [("root", "first"), ("root", "second"), ("alice", "forgot")] {
        operations::create_user(&app, Id::account(name).unwrap(), password).await.unwrap();
    }

    let root = harness.anonymous.with_password("root", "second");
    let account = root.get("/accounts/root").await.expect(200);
    assert_eq!(account.json["permissions"], json!({"write": ["account:root"]}));
    alice.get("/accounts/alice").await.expect(403);
    let alice = harness.anonymous.with_password("alice", "forgot");
    assert_eq!(user_id(&alice).await, "account:alice");
}

#[tokio::test]
async fn the_data_of_a_user_is_the_account_and_what_it_owns() {
    let settings = [
        ("includes", "kinto.plugins.accounts"),
        ("user-data_delete_principals", "account:admin"),
        ("multiauth.policies", "account"),
    ];
    let (harness, [alice, bob, admin]) = start(&settings).await;
    alice.put("/buckets/a", json!({})).await.expect(201);
    bob.put("/buckets/b", json!({})).await.expect(201);

    admin.delete("/__user_data__/account:alice").await.expect(200);

    alice.get("/buckets/a").await.expect(401);
    admin.get("/accounts/alice").await.expect(404);
    bob.get("/buckets/b").await.expect(200);
    sign_up(&harness.anonymous, "alice").await.expect(201);
    alice.put("/buckets/a", json!({})).await.expect(201);
}

/// §5.3.5: whatever access control entries say. A POST of what exists reads it.
#[tokio::test]
async fn nobody_takes_over_the_account_of_another() {
    let (harness, [alice, bob, admin]) = start(&[]).await;
    let everybody = json!({"write": ["system.Authenticated", "system.Everyone"]});
    let shared = json!({"data": {"password": "s3cret"}, "permissions": everybody});
    alice.send("PUT", "/accounts/alice", shared).await.expect(200);
    let stolen = json!({"data": {"id": "alice", "password": "stolen"}});
    let to_bob = json!({"permissions": {"write": ["account:bob"]}});

    for (client, [patch, put, post, delete]) in
        [(&bob, [403, 400, 400, 403]), (&harness.anonymous, [401, 401, 200, 401])]
    {
        client.send("PATCH", "/accounts/alice", stolen.clone()).await.expect(patch);
        client.send("PATCH", "/accounts/alice", to_bob.clone()).await.expect(patch);
        client.send("PUT", "/accounts/alice", stolen.clone()).await.expect(put);
        client.send("POST", "/accounts", stolen.clone()).await.expect(post);
        client.delete("/accounts/alice").await.expect(delete);
    }

    alice.patch("/accounts/alice", json!({"x": 1})).await.expect(200);
    admin.patch("/accounts/alice", json!({"password": "reset"})).await.expect(200);
    harness.anonymous.with_password("alice", "reset").delete("/accounts/alice").await.expect(200);
}
