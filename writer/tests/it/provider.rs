//! A small OpenID provider, which signs what it is asked to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der},
    rand::SystemRandom,
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{StatusCode, header, request::Parts};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};
use serde_json::{Value, json};
use shared::{
    http::{Answer, Limits, Query, Reply, RequestLog, Service, serve},
    model::Timestamp,
    telemetry::{self, HttpMetrics},
};
use tokio::net::TcpListener;

/// A key pair with its algorithm.
pub(crate) struct Key {
    pub(crate) algorithm: Algorithm,
    pub(crate) private: EncodingKey,
}

impl Key {
    pub(crate) fn ec() -> Self {
        let random = SystemRandom::new();
        let der = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let private = EncodingKey::from_ec_der(der.as_ref());
        Self { algorithm: Algorithm::ES256, private }
    }

    fn ed() -> Self {
        let der = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
        Self { algorithm: Algorithm::EdDSA, private: EncodingKey::from_ed_der(der.as_ref()) }
    }

    fn rsa(algorithm: Algorithm) -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let der = STANDARD.encode(der.as_ref());
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
        Self { algorithm, private: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap() }
    }

    pub(crate) fn jwk(&self) -> Value {
        serde_json::to_value(Jwk::from_encoding_key(&self.private, self.algorithm).unwrap())
            .unwrap()
    }
}

/// The provider: its keys by name, and what it was asked.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    pub(crate) keys: BTreeMap<&'static str, Key>,
    pub(crate) counts: Arc<Counts>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) keys: AtomicUsize,
    pub(crate) user_info: AtomicUsize,
    /// The last form that asked for tokens.
    pub(crate) form: Mutex<String>,
}

/// Its HTTP side.
#[derive(Clone)]
struct Pages {
    metadata: Value,
    jwks: Value,
    counts: Arc<Counts>,
}

impl Provider {
    /// A provider with a key of each kind.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let keys = BTreeMap::from([
            ("ec", Key::ec()),
            ("ed", Key::ed()),
            ("rsa", Key::rsa(Algorithm::RS256)),
            ("pss", Key::rsa(Algorithm::PS256)),
        ]);
        let counts = Arc::new(Counts::default());
        let pages =
            Pages { metadata: metadata(&issuer), jwks: jwks(&keys), counts: counts.clone() };
        let limits = Limits {
            max_body_bytes: 1 << 20,
            max_connections: 100,
            head_timeout: std::time::Duration::from_secs(5),
            body_timeout: std::time::Duration::from_secs(5),
            grace: std::time::Duration::from_secs(1),
            log: RequestLog::Errors,
        };
        let metrics = Arc::new(HttpMetrics::new(&telemetry::registry()).unwrap());
        tokio::spawn(serve(listener, pages, limits, metrics, std::future::pending()));
        Self { issuer, keys, counts }
    }

    /// The claims of a token that is good for `sub`.
    pub(crate) fn claims(&self, sub: &str) -> Value {
        let now = Timestamp::now().as_millis() / 1_000;
        json!({"iss": self.issuer, "aud": "countersign", "sub": sub, "exp": now + 600, "nbf": now})
    }

    /// A token signed with the key `name`.
    pub(crate) fn token(&self, name: &str, claims: &Value) -> String {
        let key = &self.keys[name];
        let header = Header { kid: Some(name.to_owned()), ..Header::new(key.algorithm) };
        encode(&header, claims, &key.private).unwrap()
    }

    pub(crate) fn user_info_count(&self) -> usize {
        self.counts.user_info.load(Ordering::SeqCst)
    }
}

fn metadata(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/auth?tenant=1"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "code_challenge_methods_supported": ["plain", "S256"],
    })
}

fn jwks(keys: &BTreeMap<&'static str, Key>) -> Value {
    let mut all: Vec<Value> = keys
        .iter()
        .map(|(name, key)| {
            let mut jwk = key.jwk();
            jwk["kid"] = (*name).into();
            jwk["use"] = "sig".into();
            jwk
        })
        .collect();
    // What must not be used: a secret that is public, a key for encryption, an unknown kind.
    all.push(json!({"kty": "oct", "kid": "oct", "k": "c2VjcmV0"}));
    let mut encryption = keys["ec"].jwk();
    encryption["kid"] = "enc".into();
    encryption["use"] = "enc".into();
    all.push(encryption);
    all.push(json!({"kty": "new", "kid": "new", "alg": "X9"}));
    json!({"keys": all})
}

impl Service for Pages {
    async fn call(&self, head: Parts, body: Bytes) -> Answer {
        let ok = |body: &Value| Reply::json(StatusCode::OK, body);
        let reply = match head.uri.path() {
            "/.well-known/openid-configuration" => ok(&self.metadata),
            "/jwks" => {
                self.counts.keys.fetch_add(1, Ordering::SeqCst);
                ok(&self.jwks)
            }
            "/userinfo" => {
                self.counts.user_info.fetch_add(1, Ordering::SeqCst);
                let sent = head.headers[header::AUTHORIZATION].to_str().unwrap();
                user_info(sent.strip_prefix("Bearer ").unwrap())
            }
            "/token" => {
                let form = String::from_utf8(body.to_vec()).unwrap();
                self.counts.form.lock().unwrap().clone_from(&form);
                let code = Query::parse(&form).unwrap().get("code").unwrap_or_default().to_owned();
                ok(&json!({"token_type": "Bearer", "access_token": format!("opaque-{code}?>")}))
            }
            _ => Reply::empty(StatusCode::NOT_FOUND),
        };
        Answer::new("provider", reply)
    }
}

/// Opaque tokens say themselves what is answered; any other belongs to jane.
fn user_info(token: &str) -> Reply {
    let jane = json!({"sub": "jane", "email": "jane@example.com", "hd": "example.com"});
    match token {
        "refused" => Reply::empty(StatusCode::UNAUTHORIZED),
        "redirected" => Reply::redirect("/userinfo-elsewhere"),
        "no-json" => Reply::text(StatusCode::OK, "jane"),
        "a-list" => Reply::json(StatusCode::OK, &json!([jane])),
        "no-sub" => Reply::json(StatusCode::OK, &json!({"email": "x@example.com"})),
        "empty-sub" => Reply::json(StatusCode::OK, &json!({"sub": ""})),
        "mirrored" => Reply::json(StatusCode::OK, &json!({"sub": "\u{202e}enaj"})),
        "huge" => Reply::json(StatusCode::OK, &json!({"sub": "jane", "x": "x".repeat(2 << 20)})),
        "other-domain" => Reply::json(StatusCode::OK, &json!({"sub": "eve", "hd": "evil.com"})),
        _ => Reply::json(StatusCode::OK, &jane),
    }
}
