//! Which tokens of an OpenID provider are taken (`kinto-http-api.md` §5.4.2).

use std::sync::atomic::Ordering;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use shared::model::Timestamp;

use crate::{
    openid::{AUDIENCE, start, user_of},
    provider::{Key, Provider},
};

#[tokio::test]
async fn a_token_of_each_algorithm_is_taken() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[AUDIENCE]).await;

    for key in ["ec", "ed", "rsa", "pss"] {
        let user = user_of(&harness, &provider.token(key, &provider.claims("jane"))).await;
        assert_eq!(user["id"], "idp:jane", "{key}");
        assert_eq!(user["profile"]["email"], "jane@example.com");
    }
    let mut claims = provider.claims("jane");
    claims["aud"] = json!(["others", "countersign"]);
    assert_eq!(user_of(&harness, &provider.token("ec", &claims)).await["id"], "idp:jane");
    assert_eq!(provider.counts.keys.load(Ordering::SeqCst), 1);
}

/// Claims that are wrong, each in a token that is signed as it should be.
fn wrong_claims(provider: &Provider) -> Vec<(&'static str, String)> {
    let now = Timestamp::now().as_millis() / 1_000;
    let issuer = &provider.issuer;
    let changes = [
        ("another issuer", "iss", json!("https://evil.example")),
        ("the issuer with a slash", "iss", json!(format!("{issuer}/"))),
        ("the issuer and more", "iss", json!(format!("{issuer}.evil.example"))),
        ("no issuer", "iss", Value::Null),
        ("another audience", "aud", json!("others")),
        ("other audiences", "aud", json!(["others", "countersign2"])),
        ("an empty audience", "aud", json!([])),
        ("the audience as a part", "aud", json!("countersign-not")),
        ("no audience", "aud", Value::Null),
        ("expired", "exp", json!(now - 3_600)),
        ("expired a minute ago", "exp", json!(now - 60)),
        ("expired in milliseconds", "exp", json!(-1)),
        ("no expiry", "exp", Value::Null),
        ("an expiry that is no number", "exp", json!("tomorrow")),
        ("not yet valid", "nbf", json!(now + 3_600)),
        ("another user's", "sub", json!("joe")),
    ];
    changes
        .into_iter()
        .map(|(what, name, value)| {
            let mut claims = provider.claims("jane");
            claims[name] = value;
            if claims[name].is_null() {
                claims.as_object_mut().unwrap().remove(name);
            }
            (what, provider.token("ec", &claims))
        })
        .collect()
}

/// Good claims, in tokens that are signed as they should not be.
fn wrong_signatures(provider: &Provider) -> Vec<(&'static str, String)> {
    let claims = provider.claims("jane");
    let ec = &provider.keys["ec"];
    let named = |kid: Option<&str>, algorithm| Header {
        kid: kid.map(str::to_owned),
        ..Header::new(algorithm)
    };
    let es256 = |kid| named(kid, Algorithm::ES256);
    let sign = |header: &Header, key: &EncodingKey| encode(header, &claims, key).unwrap();
    let forger = Key::ec();
    let jwk = ec.jwk();
    let coordinates: Vec<u8> = ["x", "y"]
        .iter()
        .flat_map(|part| URL_SAFE_NO_PAD.decode(jwk[part].as_str().unwrap()).unwrap())
        .collect();
    let point = [&[4][..], &coordinates].concat();
    let secret = EncodingKey::from_secret;
    let hs256 = named(Some("ec"), Algorithm::HS256);
    let mut embedded = es256(Some("ec"));
    embedded.jwk = Some(serde_json::from_value(forger.jwk()).unwrap());
    let mut elsewhere = es256(Some("ec"));
    elsewhere.jku = Some("http://127.0.0.1:1/jwks".to_owned());
    elsewhere.x5u = elsewhere.jku.clone();
    let mut critical = es256(Some("ec"));
    critical.crit = Some(vec!["exp".to_owned()]);
    vec![
        ("the public key as a secret", sign(&hs256, &secret(&point))),
        ("the public key's text as a secret", sign(&hs256, &secret(jwk.to_string().as_bytes()))),
        ("a coordinate as a secret", sign(&hs256, &secret(jwk["x"].as_str().unwrap().as_bytes()))),
        ("an empty secret", sign(&hs256, &secret(b""))),
        (
            "a secret of the key set",
            sign(&named(Some("oct"), Algorithm::HS256), &secret(b"secret")),
        ),
        ("a key for encryption", sign(&es256(Some("enc")), &ec.private)),
        ("another key", sign(&es256(Some("ec")), &forger.private)),
        ("a key of another kind", sign(&es256(Some("rsa")), &ec.private)),
        (
            "another algorithm of the key",
            sign(&named(Some("rsa"), Algorithm::RS512), &provider.keys["rsa"].private),
        ),
        (
            "another padding than the key's",
            sign(&named(Some("rsa"), Algorithm::PS256), &provider.keys["rsa"].private),
        ),
        ("a key of its own", sign(&embedded, &forger.private)),
        ("a key elsewhere", sign(&elsewhere, &forger.private)),
        ("a critical extension", sign(&critical, &ec.private)),
        ("no key id", sign(&es256(None), &ec.private)),
        ("an empty key id", sign(&es256(Some("")), &ec.private)),
        ("an unknown key id", sign(&es256(Some("nobody")), &ec.private)),
        ("a key id in another case", sign(&es256(Some("EC")), &ec.private)),
        ("a path as key id", sign(&es256(Some("../../dev/null")), &ec.private)),
        ("SQL as key id", sign(&es256(Some("x' union select 'y")), &ec.private)),
        ("a URL as key id", sign(&es256(Some("http://127.0.0.1:1/")), &ec.private)),
        ("a long key id", sign(&es256(Some(&"k".repeat(2_000))), &ec.private)),
    ]
}

/// Texts that are hardly tokens.
fn wrong_texts(provider: &Provider) -> Vec<(&'static str, String)> {
    let good = provider.token("ec", &provider.claims("jane"));
    let [header, payload, signature] =
        <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned =
        |alg: &str| format!("{}.{payload}.", part(json!({"alg": alg, "typ": "JWT", "kid": "ec"})));
    let eve = part(provider.claims("eve"));
    let none_signed = format!("{}{signature}", unsigned("none"));
    vec![
        ("no algorithm", unsigned("none")),
        ("no algorithm, capital", unsigned("None")),
        ("no algorithm, mixed", unsigned("nOnE")),
        ("no algorithm, signed", none_signed),
        ("an unknown algorithm", unsigned("ES257")),
        ("an empty algorithm", unsigned("")),
        ("without algorithm", format!("{}.{payload}.{signature}", part(json!({"kid": "ec"})))),
        ("another payload", format!("{header}.{eve}.{signature}")),
        ("no signature", format!("{header}.{payload}.")),
        ("two parts", format!("{header}.{payload}")),
        ("four parts", format!("{good}.{signature}")),
        ("one part", header.to_owned()),
        ("a truncated signature", good[..good.len() - 8].to_owned()),
        ("a doubled signature", format!("{good}{signature}")),
        ("a signature of zeros", format!("{header}.{payload}.{}", "A".repeat(86))),
        ("a signature of another form", format!("{header}.{payload}.{}", "+/".repeat(43))),
        ("a truncated payload", format!("{header}.{}.{signature}", &payload[..20])),
        ("a header that is no JSON", format!("{}.{payload}.{signature}", part(json!("x")))),
        ("dots", "..".to_owned()),
        ("garbage", "garbage".to_owned()),
        ("a long text", "x".repeat(20_000)),
        ("a tail", format!("{good} x")),
        ("an other character", format!("{good}\u{e9}")),
    ]
}

#[tokio::test]
async fn no_forged_stale_or_foreign_token_is_taken() {
    let provider = Provider::start().await;
    let harness = start(&provider, &[AUDIENCE]).await;
    let tokens: Vec<_> =
        [wrong_claims(&provider), wrong_signatures(&provider), wrong_texts(&provider)].concat();
    assert!(tokens.len() >= 60, "{}", tokens.len());

    for (what, token) in &tokens {
        // A client refuses to send some of them: then there is nothing to be taken.
        if http::HeaderValue::from_str(token).is_ok() {
            assert_eq!(user_of(&harness, token).await, Value::Null, "{what}");
        }
    }

    let good = provider.token("ec", &provider.claims("jane"));
    assert_eq!(user_of(&harness, &good).await["id"], "idp:jane");
    assert_eq!(provider.counts.keys.load(Ordering::SeqCst), 1, "unknown keys are no flood");
    assert_eq!(provider.user_info_count(), 2, "asked for joe's token and for the good one only");
}
