//! `primitives`: what signing and verifying cost by themselves, without a server.

use std::{hint::black_box, path::Path, time::Instant};

use aws_lc_rs::digest::{SHA384, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use p384::{
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    pkcs8::DecodePrivateKey as _,
};
use serde_json::{Value, json};
use shared::{
    canonical::{self, PREFIX},
    chain::Chain,
    model::Timestamp,
    signature::PublicKey,
};

use crate::{cli::PrimitivesArguments, failure::Failure};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Prints a line for each step: its name, and its median in microseconds.
///
/// # Errors
///
/// When a file is not what it should be, or a signature does not verify.
pub(crate) fn run(arguments: &PrimitivesArguments) -> Result<(), Failure> {
    let pem = text(&arguments.key)?;
    let key = SigningKey::from_pkcs8_pem(&pem)
        .map_err(|error| problem(&arguments.key, &error.to_string()))?;
    let pem = text(&arguments.chain)?;
    let chain = Chain::parse(pem.as_bytes())
        .map_err(|error| problem(&arguments.chain, &error.to_string()))?;
    let (public, host) = (chain.public_key().map_err(wrong)?, chain.host().unwrap_or_default());

    let records: Vec<Value> = (0..arguments.records).map(record).collect();
    let document = canonical::document(&records, NOW);
    if let Some(directory) = &arguments.save {
        save(directory, "records.json", &json!(records).to_string())?;
        save(directory, "document.json", &String::from_utf8_lossy(&document))?;
    }
    let rounds = arguments.rounds;
    println!("bytes {}", document.len());
    let signature = sign(&key, &document);
    verify(&public, &document, &signature)?;
    for (name, micros) in [
        ("canonical", median(rounds, || canonical::document(&records, NOW))),
        ("digest", median(rounds, || digest(&SHA384, &document))),
        ("sign", median(rounds, || sign(&key, &document))),
        ("verify", median(rounds, || verify(&public, &document, &signature))),
        ("sign-little", median(rounds, || sign(&key, b"{}"))),
        ("chain", {
            let (root, now) = ([chain.root_hash()], Timestamp::now());
            chain.verify(&root, &host, now).map_err(|error| Failure::failed(error.to_string()))?;
            median(rounds, || {
                Chain::parse(pem.as_bytes()).and_then(|chain| chain.verify(&root, &host, now))
            })
        }),
    ] {
        println!("{name} {micros}");
    }
    Ok(())
}

/// 250 bytes, as those that `make bench` publishes.
fn record(n: u32) -> Value {
    let title = "x".repeat(200);
    let modified = NOW.as_millis() - i64::from(n);
    json!({"id": format!("r{n}"), "last_modified": modified, "rank": n * 7, "title": title})
}

/// As the writer's own keys do, with RustCrypto.
fn sign(key: &SigningKey, document: &[u8]) -> String {
    let signature: Signature = key.sign(&[PREFIX, document].concat());
    URL_SAFE_NO_PAD.encode(signature.to_bytes())
}

/// As writers and readers do, with aws-lc.
fn verify(key: &PublicKey, document: &[u8], signature: &str) -> Result<(), Failure> {
    key.verify(document, signature).map_err(wrong)
}

/// In microseconds.
fn median<T>(rounds: u32, mut step: impl FnMut() -> T) -> u128 {
    let mut times: Vec<u128> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            black_box(step());
            start.elapsed().as_micros()
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn text(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| problem(path, &error.to_string()))
}

fn save(directory: &Path, name: &str, text: &str) -> Result<(), Failure> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(|error| problem(&path, &error.to_string()))
}

fn problem(path: &Path, text: &str) -> Failure {
    Failure::Usage(format!("{}: {text}", path.display()))
}

fn wrong(error: impl std::fmt::Display) -> Failure {
    Failure::failed(error.to_string())
}
