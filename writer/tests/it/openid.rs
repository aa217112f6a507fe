//! Users of an OpenID provider (`kinto-http-api.md` §5.4), with a provider of our own.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use shared::{http::Query, testing::TestReply};
use tokio::net::TcpListener;

use crate::{harness::Harness, provider::Provider};

const CALLBACK: &str = "http%3A%2F%2Flocalhost%3A3000%2F%23tokens%3D";

/// A writer that knows the provider as `idp`.
pub(crate) async fn start(provider: &Provider, settings: &[(&str, &str)]) -> Harness {
    let mut all = vec![
        ("includes", "kinto.plugins.openid"),
        ("multiauth.policies", "idp"),
        ("outgoing.allow_private", "true"),
        ("multiauth.policy.idp.use", "kinto.plugins.openid.OpenIDConnectPolicy"),
        ("multiauth.policy.idp.issuer", provider.issuer.as_str()),
        ("multiauth.policy.idp.client_id", "countersign-client"),
        ("multiauth.policy.idp.client_secret", "s3cret"),
    ];
    all.extend(settings);
    Harness::with(&all).await
}

pub(crate) async fn user_of(harness: &Harness, token: &str) -> Value {
    let client = harness.anonymous.with_authorization(&format!("Bearer {token}"));
    client.get("/").await.expect(200).json["user"].clone()
}

pub(crate) const AUDIENCE: (&str, &str) = ("multiauth.policy.idp.audience", "countersign");

#[tokio::test]
async fn a_token_is_good_for_whoever_the_provider_says() {
    let provider = Provider::start().await;
    let email = [
        ("multiauth.policy.idp.userid_field", "email"),
        ("multiauth.policy.idp.required_claims", "hd=example.com"),
    ];
    let (by_sub, by_email) = (start(&provider, &[]).await, start(&provider, &email).await);

    assert_eq!(user_of(&by_sub, "opaque").await["id"], "idp:jane");
    assert_eq!(user_of(&by_email, "opaque").await["id"], "idp:jane@example.com");
    assert_eq!(user_of(&by_email, "other-domain").await, Value::Null);
    for refused in
        ["refused", "redirected", "no-json", "a-list", "no-sub", "empty-sub", "mirrored", "huge"]
    {
        assert_eq!(user_of(&by_sub, refused).await, Value::Null, "{refused}");
    }
}

#[tokio::test]
async fn a_verified_token_is_remembered() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[]).await;

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let client = harness.anonymous.with_authorization("bEARER opaque");
        tasks.spawn(async move { client.get("/").await.json["user"]["id"].clone() });
    }

    assert_eq!(tasks.join_all().await, vec![json!("idp:jane"); 20]);
    assert_eq!(provider.user_info_count(), 1);
    let client = harness.anonymous.with_authorization("Bearer opaque");
    client.put("/buckets/b", json!({})).await.expect(201);
    let bucket = client.get("/buckets/b").await.expect(200);
    assert_eq!(bucket.json["permissions"], json!({"write": ["idp:jane"]}));
}

#[tokio::test]
async fn the_claims_of_a_token_may_be_the_profile() {
    let provider = Provider::start().await;
    let local = [AUDIENCE, ("multiauth.policy.idp.local_validation", "true")];
    let harness = start(&provider, &local).await;

    let token = provider.token("ed", &provider.claims("joe"));

    assert_eq!(user_of(&harness, &token).await["id"], "idp:joe");
    assert_eq!(user_of(&harness, "opaque").await, Value::Null);
    assert_eq!(provider.user_info_count(), 0);
}

/// `groups_claim`: what the provider says of a user's groups is as good as being named oneself, in
/// access control lists, in settings, and among the members of groups.
#[tokio::test]
async fn groups_of_the_provider_are_principals() {
    let provider = Provider::start().await;
    let local = ("multiauth.policy.idp.local_validation", "true");
    let claim = ("multiauth.policy.idp.groups_claim", "roles");
    let create = ("bucket_create_principals", "group:idp:admins");
    let harness = start(&provider, &[AUDIENCE, local, claim, create]).await;
    let user = |sub: &str, roles: Value| {
        let mut claims = provider.claims(sub);
        claims["roles"] = roles;
        harness.anonymous.with_authorization(&format!("Bearer {}", provider.token("ed", &claims)))
    };
    let jane = user("jane", json!(["admins", "editors", "zero\u{200b}width", "", 5]));
    let (joe, joan) = (user("joe", json!("editors")), user("joan", json!(["reviewers"])));
    let (none, forger) =
        (user("none", json!({"editors": 1})), user("group:idp:editors", json!([])));

    joe.put("/buckets/b", json!({})).await.expect(403);
    jane.put("/buckets/b", json!({})).await.expect(201);
    let group = json!({"data": {"members": ["group:idp:reviewers"]}});
    jane.send("PUT", "/buckets/b/groups/g", group).await.expect(201);
    let rights = json!({"read": ["group:idp:editors"], "write": ["/buckets/b/groups/g"]});
    jane.send("PUT", "/buckets/b/collections/c", json!({"permissions": rights})).await.expect(201);

    let path = "/buckets/b/collections/c";
    joe.get(path).await.expect(200);
    joe.patch(path, json!({"a": 1})).await.expect(403);
    joan.patch(path, json!({"a": 1})).await.expect(200);
    for stranger in [&none, &forger] {
        stranger.get(path).await.expect(403);
    }
    let hello = joan.get("/").await.expect(200).json;
    let principals = hello["user"]["principals"].as_array().unwrap();
    for principal in ["idp:joan", "group:idp:reviewers", "/buckets/b/groups/g"] {
        assert!(principals.contains(&json!(principal)), "{principal}: {hello}");
    }
    // Each request of a batch has the groups of its own token, and who has written by a group's right
    // is a writer of their own from then on (§2.10.6).
    let as_reviewer = user("joe", json!("reviewers")).authorization().unwrap().to_owned();
    let edit = json!({"method": "PATCH", "path": path, "body": {"data": {"a": 2}}});
    let mut review = edit.clone();
    review["headers"] = json!({"Authorization": as_reviewer});
    let batch = json!({"requests": [edit, review, edit]});
    let reply = joe.send("POST", "/batch", batch).await.expect(200);
    let answers = reply.json["responses"].as_array().unwrap();
    let statuses: Vec<_> = answers.iter().map(|one| &one["status"]).collect();
    assert_eq!(statuses, [403, 200, 200]);
}

#[tokio::test]
async fn groups_of_the_provider_count_where_a_setting_says_so() {
    let provider = Provider::start().await;
    let local = ("multiauth.policy.idp.local_validation", "true");
    let create = ("bucket_create_principals", "group:idp:admins");
    let harness = start(&provider, &[AUDIENCE, local, create]).await;
    let mut claims = provider.claims("jane");
    claims["roles"] = json!(["admins"]);
    claims["groups"] = json!(["admins"]);
    let token = format!("Bearer {}", provider.token("ed", &claims));

    let jane = harness.anonymous.with_authorization(&token);

    jane.put("/buckets/b", json!({})).await.expect(403);
}

#[tokio::test]
async fn the_policy_is_shown_to_clients() {
    let provider = Provider::start().await;
    let settings = [AUDIENCE, ("multiauth.policy.idp.header_type", "Bearer+IdP")];
    let harness = start(&provider, &settings).await;

    let shown = harness.anonymous.get("/").await.json["capabilities"]["openid"].clone();
    let refused = harness.anonymous.get("/buckets/b").await.expect(401);

    assert_eq!(
        shown["providers"],
        json!([{
            "name": "idp",
            "issuer": provider.issuer,
            "auth_path": "/openid/idp/login",
            "client_id": "countersign-client",
            "audience": "countersign",
            "header_type": "Bearer+IdP",
            "userinfo_endpoint": format!("{}/userinfo", provider.issuer),
        }])
    );
    assert_eq!(refused.header("www-authenticate"), "Bearer+IdP realm=\"Realm\"");
}

/// The query of a redirect.
fn location(reply: &TestReply) -> (String, Query) {
    let (path, query) = reply.header("location").split_once('?').unwrap();
    (path.to_owned(), Query::parse(query).unwrap())
}

async fn begin(harness: &Harness, provider: &str) -> TestReply {
    let path = format!("/openid/{provider}/login?callback={CALLBACK}&scope=openid+email");
    harness.anonymous.get(&path).await.expect(307)
}

#[tokio::test]
async fn a_login_ends_where_it_began_with_tokens() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[]).await;

    let reply = begin(&harness, "idp").await;
    let (endpoint, asked) = location(&reply);
    let state = asked.get("state").unwrap();
    let path = format!("/openid/idp/token?code=c%26de&state={state}");
    let back = harness.anonymous.get(&path).await.expect(307);
    let again = harness.anonymous.get(&path).await.expect(400);

    assert_eq!(endpoint, format!("{}/auth", provider.issuer));
    let redirect_uri = format!("http://{}/v1/openid/idp/token", harness.anonymous.address());
    for (name, value) in [
        ("tenant", "1"),
        ("client_id", "countersign-client"),
        ("response_type", "code"),
        ("scope", "openid email"),
        ("redirect_uri", &redirect_uri),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked.get(name), Some(value), "{name}");
    }
    assert_eq!(state.len(), 64);
    let form = Query::parse(&provider.counts.form.lock().unwrap()).unwrap();
    assert_eq!(form.get("code"), Some("c&de"));
    assert_eq!(form.get("client_secret"), Some("s3cret"));
    assert_eq!(form.get("redirect_uri"), Some(redirect_uri.as_str()));
    let verifier = form.get("code_verifier").unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    assert_eq!(asked.get("code_challenge"), Some(challenge.as_str()));
    let tokens = back.header("location").strip_prefix("http://localhost:3000/#tokens=").unwrap();
    let tokens = STANDARD.decode(tokens.replace("%2B", "+").replace("%3D", "=")).unwrap();
    let tokens: Value = serde_json::from_slice(&tokens).unwrap();
    assert_eq!(tokens["access_token"], "opaque-c&de?>");
    assert_eq!(back.header("referrer-policy"), "no-referrer");
    assert_eq!(back.header("cache-control"), "no-cache, no-store");
    let detail = json!([{"location": "body", "name": "state", "description": "Invalid state",
                         "errno": 105}]);
    assert_eq!(
        (&again.json["details"], &again.json["message"]),
        (&detail, &"Invalid state".into())
    );
}

#[tokio::test]
async fn a_refusal_of_the_provider_is_passed_on() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[]).await;
    let (_, asked) = location(&begin(&harness, "idp").await);
    let state = asked.get("state").unwrap();

    let path =
        format!("/openid/idp/token?error=access_denied&error_description=no+way%26x&state={state}");
    let back = harness.anonymous.get(&path).await.expect(307);

    let expected = "http://localhost:3000/#tokens=error=access_denied&error_description=no+way%26x";
    assert_eq!(back.header("location"), expected);
    harness.anonymous.get(&path).await.expect(400);
}

#[tokio::test]
async fn of_two_that_end_a_login_one_gets_the_tokens() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[]).await;

    for _ in 0..5 {
        let (_, asked) = location(&begin(&harness, "idp").await);
        let path = format!("/openid/idp/token?code=x&state={}", asked.get("state").unwrap());
        let (one, other) = tokio::join!(harness.anonymous.get(&path), harness.anonymous.get(&path));
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [307, 400]);
    }
}

#[tokio::test]
async fn a_state_belongs_to_its_provider() {
    let provider = Provider::start().await;
    let second = [
        ("multiauth.policies", "idp other"),
        ("multiauth.policy.other.use", "kinto.plugins.openid.OpenIDConnectPolicy"),
        ("multiauth.policy.other.issuer", provider.issuer.as_str()),
        ("multiauth.policy.other.client_id", "x"),
    ];
    let harness = start(&provider, &second).await;
    let (_, asked) = location(&begin(&harness, "other").await);

    let path = format!("/openid/idp/token?code=x&state={}", asked.get("state").unwrap());

    let reply = harness.anonymous.get(&path).await.expect(400);
    assert_eq!(reply.json["message"], "Invalid state");
}

/// What follows `/openid/`, and the message.
const REFUSED: [(&str, &str); 15] = [
    ("idp/login", "callback in querystring: Required"),
    ("idp/login?callback=CALLBACK", "scope in querystring: Required"),
    ("idp/login?callback=x&scope=openid", "callback in querystring: Must be a URL"),
    ("nobody/login?callback=CALLBACK&scope=openid", "Unknown provider 'nobody'"),
    (
        "idp/login?callback=CALLBACK&scope=openid+zzz+abc",
        "scope in body: Scopes not allowed: abc, zzz",
    ),
    ("idp/login?callback=http%3A%2F%2Fevil.com%2F&scope=email", "Untrusted callback URL"),
    (
        "idp/login?callback=http%3A%2F%2Flocalhost%40evil.com%2F&scope=email",
        "Untrusted callback URL",
    ),
    ("idp/login?callback=javascript%3Aalert(1)&scope=email", "Untrusted callback URL"),
    ("idp/login?callback=CALLBACK&scope=openid", "Provider idp requires 'email' scope"),
    (
        "idp/login?callback=CALLBACK&scope=email&prompt=login",
        "prompt in querystring: String does not match expected pattern",
    ),
    ("idp/token?code=x", "state in querystring: Required"),
    (
        "idp/token?state=x",
        "Provide either 'state' and 'code', or 'error' and 'error_description', but not both.",
    ),
    (
        "idp/token?state=x&code=x&error=x",
        "Provide either 'state' and 'code', or 'error' and 'error_description', but not both.",
    ),
    ("idp/token?state=x&code=x", "Invalid state"),
    ("nobody/token?state=x&code=x", "Unknown provider 'nobody'"),
];

#[tokio::test]
async fn what_is_wrong_with_a_login_is_told() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[("multiauth.policy.idp.userid_field", "email")]).await;

    for (path, message) in REFUSED {
        let path = format!("/openid/{}", path.replace("CALLBACK", CALLBACK));
        let reply = harness.anonymous.get(&path).await.expect(400);
        assert_eq!(reply.json["message"], message, "{path}");
    }
    let reply = harness.anonymous.send("POST", "/openid/idp/login", json!({})).await.expect(405);
    assert_eq!(reply.header("allow"), "GET, HEAD, OPTIONS");
}

#[tokio::test]
async fn the_options_of_a_policy_have_their_effect() {
    let provider = Provider::start().await;
    let options = [
        ("multiauth.policies", "IdP"),
        ("multiauth.policy.IdP.use", "kinto.plugins.openid.OpenIDConnectPolicy"),
        ("multiauth.policy.IdP.issuer", provider.issuer.as_str()),
        ("multiauth.policy.IdP.client_id", "x"),
        ("multiauth.policy.IdP.audience", "countersign"),
        ("multiauth.policy.IdP.realm", "Settings"),
        ("multiauth.policy.IdP.algorithms", "EdDSA"),
        ("multiauth.policy.IdP.state_length", "16"),
        ("multiauth.policy.IdP.state_ttl_seconds", "60"),
        ("multiauth.policy.IdP.allowed_scopes", "openid groups"),
        ("multiauth.policy.IdP.trusted_callback_urls", "https://*.example.com/app/*"),
    ];
    let harness = start(&provider, &options).await;
    let login = |callback, scope| format!("/openid/IdP/login?callback={callback}&scope={scope}");
    let app = "https%3A%2F%2Fa.example.com%2Fapp%2F";

    let reply = harness.anonymous.get(&login(app, "openid+groups")).await.expect(307);
    harness.anonymous.get(&login(CALLBACK, "openid")).await.expect(400);
    harness.anonymous.get(&login(app, "email")).await.expect(400);
    let refused = harness.anonymous.get("/buckets/b").await.expect(401);

    assert_eq!(refused.header("www-authenticate"), "Bearer realm=\"Settings\"");
    let (_, asked) = location(&reply);
    assert_eq!(asked.get("audience"), Some("countersign"));
    let state = asked.get("state").unwrap();
    assert_eq!(state.len(), 32);
    let claims = provider.claims("jane");
    assert_eq!(user_of(&harness, &provider.token("ed", &claims)).await["id"], "idp:jane");
    assert_eq!(user_of(&harness, &provider.token("ec", &claims)).await, Value::Null);
    let owner = harness.database.owner().await;
    let left = "select extract(epoch from expires_at - now())::float8 from cache where key = $1";
    let key = format!("openid:state:{state}");
    let left: f64 = owner.query_one(left, &[&key]).await.unwrap().get(0);
    assert!((50.0..=60.0).contains(&left), "{left}");
    owner.execute("update cache set expires_at = now()", &[]).await.unwrap();
    let late = format!("/openid/IdP/token?code=x&state={state}");
    assert_eq!(harness.anonymous.get(&late).await.expect(400).json["message"], "Invalid state");
}

/// Counts the connections to an address where nobody answers.
async fn canary() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

#[tokio::test]
async fn a_provider_that_is_away_stops_logins_and_nothing_else() {
    let provider = Provider::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let issuer = format!("http://{closed}");
    let harness = start(&provider, &[("multiauth.policy.idp.issuer", &issuer)]).await;

    assert_eq!(user_of(&harness, "opaque").await, Value::Null);
    let path = format!("/openid/idp/login?callback={CALLBACK}&scope=openid");
    let reply = harness.anonymous.get(&path).await.expect(503);

    assert_eq!(reply.header("retry-after"), "3");
    let shown = harness.anonymous.get("/").await.json["capabilities"]["openid"].clone();
    assert_eq!(shown["providers"][0]["issuer"], issuer.as_str());
}

#[tokio::test]
async fn a_provider_is_who_the_settings_say() {
    let provider = Provider::start().await;
    // The same server under another name: its document names the first.
    let other = provider.issuer.replace("127.0.0.1", "localhost");
    let harness = start(&provider, &[("multiauth.policy.idp.issuer", &other)]).await;

    assert_eq!(user_of(&harness, "opaque").await, Value::Null);
    assert_eq!(provider.user_info_count(), 0);
}

#[tokio::test]
async fn nothing_is_fetched_from_the_own_network() {
    let provider = Provider::start().await;
    let (address, count) = canary().await;
    let port = address.rsplit(':').next().unwrap();

    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let issuer = format!("https://{host}:{port}");
        let private =
            [("outgoing.allow_private", "false"), ("multiauth.policy.idp.issuer", issuer.as_str())];
        let harness = start(&provider, &private).await;
        assert_eq!(user_of(&harness, "opaque").await, Value::Null);
        let path = format!("/openid/idp/login?callback={CALLBACK}&scope=openid");
        harness.anonymous.get(&path).await.expect(503);
    }

    assert_eq!(count.load(Ordering::SeqCst), 0);
    let allowed = [("multiauth.policy.idp.issuer", &*format!("https://{address}"))];
    let harness = start(&provider, &allowed).await;
    assert_eq!(user_of(&harness, "opaque").await, Value::Null);
    assert!(count.load(Ordering::SeqCst) > 0, "the canary sings");
}

#[tokio::test]
async fn without_the_plug_in_nobody_logs_in() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[("includes", "")]).await;

    harness.anonymous.get("/openid/idp/login").await.expect(404);
    assert_eq!(user_of(&harness, "opaque").await["id"], "idp:jane", "tokens are taken still");
}
