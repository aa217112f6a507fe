//! Whether one changeset is what it says, and who says so.

use bytes::Bytes;
use serde_json::{Map, Value};
use shared::{
    canonical,
    chain::{self, RootHash, expected_host},
    model::Timestamp,
    signature::{ContentSignature, PublicKey, SignatureError},
    verifiable::{self, Floats},
};

use super::{Client, Entry, report::Verdict};
use crate::snapshot::{check as check_own, own_key};

/// Whom to believe.
#[derive(Debug)]
pub(super) struct Trust {
    /// When there are any, only these.
    pub(super) keys: Vec<PublicKey>,
    /// Otherwise chains that end here,
    pub(super) roots: Vec<RootHash>,
    /// and begin with a certificate for this name; by default, for the bucket's,
    pub(super) host: Option<String>,
    /// below this domain.
    pub(super) domain: String,
    /// At this time.
    pub(super) now: Timestamp,
    /// Whether chains may come over http.
    pub(super) http: bool,
}

impl Trust {
    fn host(&self, bucket: &str) -> String {
        self.host.clone().unwrap_or_else(|| expected_host(bucket, &self.domain))
    }
}

/// A changeset as received.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Changeset {
    /// The collection's attributes.
    metadata: Map<String, Value>,
    /// The records timestamp.
    pub(super) timestamp: Timestamp,
    /// The records.
    pub(super) changes: Vec<Value>,
}

impl Changeset {
    /// Reads a body.
    pub(super) fn parse(body: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(body).map_err(|error| format!("not a changeset: {error}"))
    }
}

/// Checks that the changeset is the one that the monitor lists, that every client can read it, and
/// its signatures.
pub(super) async fn check(
    client: &Client,
    entry: &Entry,
    changeset: &Changeset,
    trust: &Trust,
) -> Verdict {
    if let Err(problem) = identity(entry, changeset) {
        return Verdict::Failed(problem);
    }
    let metadata = &changeset.metadata;
    if ["signature", "signatures"].iter().all(|name| metadata.get(*name).is_none_or(Value::is_null))
    {
        return Verdict::Unsigned;
    }
    match signed(client, entry, changeset, trust).await {
        Ok(verdict) => verdict,
        Err(problem) => Verdict::Failed(problem),
    }
}

async fn signed(
    client: &Client,
    entry: &Entry,
    changeset: &Changeset,
    trust: &Trust,
) -> Result<Verdict, String> {
    let metadata = &changeset.metadata;
    verifiable::check(&changeset.changes, changeset.timestamp, Floats::Refused).map_err(told)?;
    let signatures = signatures(metadata)?;
    let document = canonical::document(&changeset.changes, changeset.timestamp);
    if !trust.keys.is_empty() {
        return check_own(metadata, &document, |_| trust.keys.clone())
            .map(|()| Verdict::Verified("public key"))
            .map_err(|_| "no signature is good by a given public key".to_owned());
    }
    if signatures.iter().all(|signature| signature.x5u.is_empty()) {
        return check_own(metadata, &document, own_key)
            .map(|()| Verdict::SelfConsistent)
            .map_err(|_| SignatureError::Mismatch.to_string());
    }
    let host = trust.host(&entry.bucket);
    let mut chains = Vec::with_capacity(signatures.len());
    // The Rust client gives up when one of them cannot be fetched, whatever the others are.
    for signature in &signatures {
        chains.push(fetch(client, &signature.x5u, trust).await?);
    }
    // Those of a second root may be there already for clients to come; older ones read the first.
    let (first, chain) = signatures.first().zip(chains.first()).ok_or("there is no signature")?;
    let key = chain::verify(chain, &trust.roots, &host, trust.now).map_err(told)?;
    first.verify(&key, &document).map_err(told)?;
    Ok(Verdict::Verified("chain"))
}

fn identity(entry: &Entry, changeset: &Changeset) -> Result<(), String> {
    let text = |name| changeset.metadata.get(name).and_then(Value::as_str);
    if text("bucket") != Some(&entry.bucket) || text("id") != Some(&entry.collection) {
        return Err("the metadata is that of another collection".to_owned());
    }
    let modified = changeset.metadata.get("last_modified").and_then(Value::as_i64);
    let is_time = |millis| (1..=verifiable::LATEST.as_millis()).contains(&millis);
    if !is_time(changeset.timestamp.as_millis()) || !modified.is_some_and(is_time) {
        return Err("a timestamp is no time in milliseconds".to_owned());
    }
    if changeset.timestamp < entry.last_modified {
        let (served, listed) = (changeset.timestamp, entry.last_modified);
        return Err(format!("stale: {served} was served, the monitor lists {listed}"));
    }
    Ok(())
}

/// `signatures` as the Rust client needs it, with the `signature` of older clients.
fn signatures(metadata: &Map<String, Value>) -> Result<Vec<ContentSignature>, String> {
    let entries = metadata.get("signatures").and_then(Value::as_array);
    let entries = entries.filter(|entries| !entries.is_empty());
    let entries =
        entries.ok_or("`signatures` is not a list of signatures: the Rust client fails")?;
    for name in ["signature", "x5u", "mode"] {
        if !entries.iter().all(|entry| entry.get(name).is_some_and(Value::is_string)) {
            return Err(format!("a signature has no `{name}`: the Rust client fails"));
        }
    }
    if entries.first() != metadata.get("signature") {
        return Err("`signature` is not the first of `signatures`: older clients fail".to_owned());
    }
    entries
        .iter()
        .map(|entry| serde_json::from_value(entry.clone()))
        .collect::<Result<_, _>>()
        .map_err(told)
}

async fn fetch(client: &Client, x5u: &str, trust: &Trust) -> Result<Bytes, String> {
    let is_allowed = x5u.starts_with("https://") || trust.http && x5u.starts_with("http://");
    if !is_allowed {
        return Err(format!("x5u `{x5u}` is not an https URL (see --allow-http)"));
    }
    client.chain(x5u).await.map_err(|error| format!("{x5u}: {error}"))
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_older_or_another_collection_is_told() {
        let entry = Entry {
            bucket: "main".to_owned(),
            collection: "cfr".to_owned(),
            last_modified: Timestamp::from_millis(7),
        };
        let changeset = |id: &str, timestamp: u32| {
            let body = format!(
                r#"{{"metadata":{{"bucket":"main","id":"{id}","last_modified":9}},"timestamp":{timestamp},"changes":[]}}"#
            );
            Changeset::parse(body.as_bytes()).unwrap()
        };

        assert_eq!(identity(&entry, &changeset("cfr", 7)), Ok(()));
        assert!(identity(&entry, &changeset("cfr", 6)).unwrap_err().starts_with("stale"));
        assert!(identity(&entry, &changeset("other", 7)).unwrap_err().contains("another"));
        assert!(identity(&entry, &changeset("cfr", 0)).unwrap_err().contains("no time"));
    }

    #[test]
    fn signatures_are_as_the_clients_read_them() {
        let of = |metadata: Value| signatures(metadata.as_object().unwrap());
        let one = json!({"signature": "s", "x5u": "", "mode": "p384ecdsa"});
        let two = json!({"signature": "t", "x5u": "", "mode": "p384ecdsa", "ref": "r"});

        let good = of(json!({"signature": one, "signatures": [one, two]})).unwrap();
        assert_eq!(good.len(), 2);
        for wrong in [
            json!({"signature": one}),
            json!({"signature": one, "signatures": []}),
            json!({"signature": one, "signatures": one}),
            json!({"signatures": [one]}),
            json!({"signature": two, "signatures": [one, two]}),
            json!({"signature": one, "signatures": [one, {"signature": "t", "mode": "p384ecdsa"}]}),
            json!({"signature": one, "signatures": [one, 1]}),
        ] {
            assert!(of(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
