//! Signatures that a certificate chain vouches for.

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::{StatusCode, request::Parts};
use prometheus::Registry;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384,
};
use shared::{
    config::{Layers, Listen},
    http::{Answer, Reply, Service, serve},
    telemetry::HttpMetrics,
};
use tokio::net::TcpListener;

use crate::{
    fixture::{Database, Reader, Signer},
    verify::verify,
};

const HOST: &str = "remote-settings.content-signature.mozilla.org";
const T: i64 = 1_700_000_000_000;

/// Answers everything with one text.
struct Text(String);

impl Service for Text {
    async fn call(&self, _head: Parts, _body: Bytes) -> Answer {
        Answer::new("text", Reply::text(StatusCode::OK, self.0.clone()))
    }
}

/// Serves `text`, and returns a URL of it.
async fn publish(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/chain", listener.local_addr().unwrap());
    let mut layers = Layers::new(reader::config::DEFAULTS);
    let limits = Listen::read(&mut layers).limits;
    let metrics = HttpMetrics::new(&Registry::new()).unwrap().into();
    tokio::spawn(serve(listener, Text(text), limits, metrics, std::future::pending()));
    url
}

/// A chain in PEM, its root's hash, and the end entity's key.
fn chain() -> (String, String, KeyPair) {
    let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let params = |names: &[&str], is_authority: bool| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        if is_authority {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params
    };
    let (root_key, middle_key, leaf_key) = (key(), key(), key());
    let named = |mut params: CertificateParams, name: &str| {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let root_params = named(params(&[], true), "root");
    let root = root_params.self_signed(&root_key).unwrap();
    let root_issuer = Issuer::new(root_params, root_key);
    let middle_params = named(params(&[], true), "intermediate");
    let middle = middle_params.signed_by(&middle_key, &root_issuer).unwrap();
    let middle_issuer = Issuer::new(middle_params, middle_key);
    let leaf = named(params(&[HOST], false), HOST).signed_by(&leaf_key, &middle_issuer).unwrap();
    let pem = [leaf.pem(), middle.pem(), root.pem()].concat();
    let hash = digest(&SHA256, root.der());
    let hash = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>();
    (pem, hash.join(":"), leaf_key)
}

#[tokio::test]
async fn a_chain_counts_when_its_root_is_pinned() {
    let (pem, hash, key) = chain();
    let signer = Signer::certified(&key.serialize_der(), publish(pem).await);
    let database = Database::create().await;
    database.signed("cfr", &signer, "ours", T).await;
    database.publish(T).await;
    let reader = Reader::of(&database, &[]).await;
    let url = format!("http://{}/v1/", reader.address);

    assert_eq!(verify(&[&url, "--root-hash", &hash]).await, 0);
    assert_eq!(verify(&[&url]).await, 1, "the root is not one of Mozilla's");
    assert_eq!(verify(&[&url, "--allow-unpinned"]).await, 1, "a chain that fails is a failure");
    assert_eq!(verify(&[&url, "--root-hash", &hash, "--host", "other"]).await, 1);
}
