//! Project Wycheproof's vectors for ECDSA on P-384 with SHA-384, against the verifier of content
//! signatures.

use serde_json::Value;
use shared::signature::{PublicKey, SignatureError};

use crate::vectors::{list, load, text};

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn key(group: &Value) -> PublicKey {
    let key = PublicKey::from_spki_der(&bytes(text(group, "publicKeyDer"))).unwrap();
    let pem = text(group, "publicKeyPem").as_bytes();
    assert_eq!(key, PublicKey::from_pem(pem).unwrap());
    key
}

#[test]
fn every_case_has_its_verdict() {
    let vectors = load("wycheproof/ecdsa_secp384r1_sha384_p1363_test.json");
    let mut count = 0;
    for group in list(&vectors, "testGroups") {
        let key = key(group);
        for case in list(group, "tests") {
            let (message, signature) = (bytes(text(case, "msg")), bytes(text(case, "sig")));
            let verdict = key.verify_raw(&message, &signature);
            let what = format!("{} {}: {verdict:?}", case["tcId"], case["comment"]);
            match text(case, "result") {
                "valid" => assert_eq!(verdict, Ok(()), "{what}"),
                "invalid" if signature.len() == 96 => {
                    assert_eq!(verdict, Err(SignatureError::Mismatch), "{what}");
                }
                "invalid" => assert_eq!(verdict, Err(SignatureError::Encoding), "{what}"),
                other => unreachable!("{other}: {what}"),
            }
            count += 1;
        }
    }
    assert_eq!(Some(count), vectors["numberOfTests"].as_u64());
}
