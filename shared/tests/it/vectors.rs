//! The vectors of `tests/vectors`: made with the reference's own serialiser and signer.

use serde_json::Value;
use shared::{
    canonical,
    chain::{self, RootHash},
    json,
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
};

pub(crate) fn load(name: &str) -> Value {
    let path = format!("{}/tests/vectors/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

pub(crate) fn list<'a>(vectors: &'a Value, name: &str) -> &'a Vec<Value> {
    let list = vectors[name].as_array().unwrap();
    assert!(!list.is_empty());
    list
}

pub(crate) fn text<'a>(vector: &'a Value, name: &str) -> &'a str {
    vector[name].as_str().unwrap()
}

#[test]
fn every_value_has_its_canonical_form() {
    let vectors = load("canonical-json.json");
    for vector in list(&vectors, "values") {
        let value = json::parse(text(vector, "input").as_bytes());
        if text(vector, "input").contains("\\u0000") {
            assert_eq!(value, Err(json::JsonError::Nul), "cannot be stored, so never signed");
            let value: Value = serde_json::from_str(text(vector, "input")).unwrap();
            assert_eq!(canonical::to_vec(&value), text(vector, "canonical").as_bytes());
            continue;
        }
        let canonical = String::from_utf8(canonical::to_vec(&value.unwrap())).unwrap();
        assert_eq!(canonical, text(vector, "canonical"), "{}", vector["name"]);
    }
}

#[test]
fn every_payload_is_the_signed_document() {
    let vectors = load("canonical-json.json");
    for vector in list(&vectors, "payloads") {
        let records = vector["records"].as_array().unwrap();
        let timestamp = Timestamp::from_millis(vector["last_modified"].as_i64().unwrap());
        let document = String::from_utf8(canonical::document(records, timestamp)).unwrap();
        assert_eq!(document, text(vector, "canonical"), "{}", vector["name"]);
    }
}

#[test]
fn what_the_reference_cannot_parse_is_refused() {
    let vectors = load("canonical-json.json");
    for vector in list(&vectors, "parse_errors") {
        assert!(json::parse(text(vector, "input").as_bytes()).is_err(), "{}", vector["name"]);
    }
}

#[test]
fn good_signatures_verify_and_bad_ones_do_not() {
    let vectors = load("signatures.json");
    let key = |vector: &Value| {
        let key = &vectors["keys"][text(vector, "key")];
        let public = PublicKey::from_pem(text(key, "public_key_pem").as_bytes()).unwrap();
        assert_eq!(public, PublicKey::from_base64(text(key, "public_key_b64")).unwrap());
        public
    };
    for vector in list(&vectors, "signatures") {
        let document = text(vector, "canonical").as_bytes();
        for field in ["signature", "signature_rfc6979"] {
            let verdict = key(vector).verify(document, text(vector, field));
            assert_eq!(verdict, Ok(()), "{}", vector["name"]);
        }
    }
    for vector in list(&vectors, "invalid") {
        let document = text(vector, "canonical").as_bytes();
        let verdict = key(vector).verify(document, text(vector, "signature"));
        assert!(verdict.is_err(), "{}", vector["name"]);
    }
}

#[test]
fn chains_are_judged_as_the_clients_judge() {
    let vectors = load("signatures.json");
    for vector in list(&vectors, "chains") {
        let root = RootHash::parse(text(vector, "root_sha256")).unwrap();
        let now = Timestamp::from_millis(vector["verify_at_epoch"].as_i64().unwrap() * 1_000);
        let pem = text(vector, "chain_pem").as_bytes();
        let signature = ContentSignature {
            signature: text(vector, "signature").to_owned(),
            x5u: String::new(),
            mode: "p384ecdsa".to_owned(),
            public_key: None,
            kind: None,
            signer_id: None,
            reference: None,
        };
        let valid = chain::verify(pem, &[root], text(vector, "hostname"), now)
            .is_ok_and(|key| signature.verify(&key, text(vector, "canonical").as_bytes()).is_ok());
        assert_eq!(Some(valid), vector["valid"].as_bool(), "{}", vector["name"]);
    }
}
