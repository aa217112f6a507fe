//! Whether a collection's content is what was signed.

use serde_json::{Map, Value};
use shared::{
    chain::{Role, expected_host},
    model::Timestamp,
    signature::{ContentSignature, PublicKey},
};

use super::{Chains, Reason};
use crate::config::SignatureRules;

/// The signatures in a collection's metadata: `signatures`, or the older `signature`. An entry that
/// is none is left out: it verifies nothing.
pub fn entries(metadata: &Map<String, Value>) -> Vec<ContentSignature> {
    let several = metadata.get("signatures").and_then(Value::as_array);
    let single = metadata.get("signature");
    several
        .filter(|entries| !entries.is_empty())
        .map_or_else(|| single.into_iter().collect::<Vec<_>>(), |entries| entries.iter().collect())
        .into_iter()
        .filter_map(|entry| serde_json::from_value(entry.clone()).ok())
        .collect()
}

/// The key beside a signature, which could be anybody's: it finds damage, and no forgery.
pub fn own_key(entry: &ContentSignature) -> Vec<PublicKey> {
    let key = entry.public_key.as_deref().map(PublicKey::from_base64);
    key.into_iter().filter_map(Result::ok).collect()
}

/// The keys that count for a signature: those that are configured, and that of its chain where the
/// chain ends in a pinned root; without either, the key beside it.
///
/// A chain that has ended counts as on its last day: clients refuse it, operators are told of it
/// long before, and a reader that goes dark over it would help nobody.
pub fn trusted_keys(
    rules: &SignatureRules,
    chains: &Chains,
    bucket: &str,
    entry: &ContentSignature,
    now: Timestamp,
) -> Vec<PublicKey> {
    if rules.keys.is_empty() && rules.roots.is_empty() {
        return own_key(entry);
    }
    let host = expected_host(bucket, &rules.domain);
    let vouched = chains.of(&entry.x5u).and_then(|chain| {
        let (_, end) = chain.validity(Role::Leaf);
        chain.verify(&rules.roots, &host, now.min(end)).ok()
    });
    rules.keys.iter().cloned().chain(vouched).collect()
}

/// Whether some signature verifies with some of the keys that count for it.
///
/// # Errors
///
/// [`Reason::Unsigned`] when the metadata has no signature at all, else [`Reason::Signature`].
pub fn check(
    metadata: &Map<String, Value>,
    document: &[u8],
    keys: impl Fn(&ContentSignature) -> Vec<PublicKey>,
) -> Result<(), Reason> {
    let is_null = |name| metadata.get(name).is_none_or(Value::is_null);
    if is_null("signature") && is_null("signatures") {
        return Err(Reason::Unsigned);
    }
    let verifies = |entry: &ContentSignature| {
        keys(entry).iter().any(|key| entry.verify(key, document).is_ok())
    };
    if entries(metadata).iter().any(verifies) { Ok(()) } else { Err(Reason::Signature) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metadata(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn nothing_is_unsigned_and_rubbish_is_wrong() {
        assert_eq!(check(&metadata(json!({})), b"", own_key), Err(Reason::Unsigned));
        assert_eq!(
            check(&metadata(json!({"signature": null})), b"", own_key),
            Err(Reason::Unsigned)
        );
        for rubbish in [json!(1), json!("x"), json!({}), json!({"signature": "x", "mode": "y"})] {
            let metadata = metadata(json!({"signature": rubbish}));
            assert_eq!(check(&metadata, b"", own_key), Err(Reason::Signature));
        }
        let empty = metadata(json!({"signatures": []}));
        assert_eq!(check(&empty, b"", own_key), Err(Reason::Signature));
    }
}
