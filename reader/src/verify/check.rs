//! Whether one changeset is what it says, and who says so.

use serde_json::{Map, Value};
use shared::{
    canonical,
    chain::{self, RootHash},
    model::Timestamp,
    signature::{ContentSignature, PublicKey, SignatureError},
};

use super::{Client, Entry, report::Verdict};
use crate::snapshot::{check as check_own, entries};

/// Whom to believe.
#[derive(Debug)]
pub(super) struct Trust {
    /// When there are any, only these.
    pub(super) keys: Vec<PublicKey>,
    /// Otherwise chains that end here,
    pub(super) roots: Vec<RootHash>,
    /// and begin with a certificate for this name.
    pub(super) host: String,
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

/// Checks that the changeset is the one that the monitor lists, and its signatures.
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
    let document = canonical::document(&changeset.changes, changeset.timestamp);
    if !trust.keys.is_empty() {
        return match check_own(metadata, &document, &trust.keys) {
            Ok(()) => Verdict::Verified("public key"),
            Err(_) => Verdict::Failed("no signature is good by a given public key".to_owned()),
        };
    }
    let mut problems = Vec::new();
    let mut has_chain = false;
    for signature in entries(metadata).iter().filter(|signature| !signature.x5u.is_empty()) {
        has_chain = true;
        match by_chain(client, signature, &document, trust).await {
            Ok(()) => return Verdict::Verified("chain"),
            Err(problem) => problems.push(problem),
        }
    }
    if has_chain {
        return Verdict::Failed(problems.join("; "));
    }
    match check_own(metadata, &document, &[]) {
        Ok(()) => Verdict::SelfConsistent,
        Err(_) => Verdict::Failed(SignatureError::Mismatch.to_string()),
    }
}

fn identity(entry: &Entry, changeset: &Changeset) -> Result<(), String> {
    let text = |name| changeset.metadata.get(name).and_then(Value::as_str);
    if text("bucket") != Some(&entry.bucket) || text("id") != Some(&entry.collection) {
        return Err("the metadata is that of another collection".to_owned());
    }
    if changeset.timestamp < entry.last_modified {
        let (served, listed) = (changeset.timestamp, entry.last_modified);
        return Err(format!("stale: {served} was served, the monitor lists {listed}"));
    }
    Ok(())
}

async fn by_chain(
    client: &Client,
    signature: &ContentSignature,
    document: &[u8],
    trust: &Trust,
) -> Result<(), String> {
    let url = &signature.x5u;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(format!("{url} is neither http nor https"));
    }
    let pem = client.chain(url).await.map_err(|error| format!("{url}: {error}"))?;
    let key = chain::verify(&pem, &trust.roots, &trust.host, Timestamp::now())
        .map_err(|error| error.to_string())?;
    signature.verify(&key, document).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
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
                r#"{{"metadata":{{"bucket":"main","id":"{id}"}},"timestamp":{timestamp},"changes":[]}}"#
            );
            Changeset::parse(body.as_bytes()).unwrap()
        };

        assert_eq!(identity(&entry, &changeset("cfr", 7)), Ok(()));
        assert!(identity(&entry, &changeset("cfr", 6)).unwrap_err().starts_with("stale"));
        assert!(identity(&entry, &changeset("other", 7)).unwrap_err().contains("another"));
    }
}
