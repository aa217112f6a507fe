//! Whether a collection's content is what was signed.

use serde_json::{Map, Value};
use shared::signature::{ContentSignature, PublicKey};

use super::Reason;

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

/// Whether some signature verifies with some key of `keys`, or with the key beside it when `keys`
/// is empty.
///
/// # Errors
///
/// [`Reason::Unsigned`] when the metadata has no signature at all, else [`Reason::Signature`].
pub fn check(
    metadata: &Map<String, Value>,
    document: &[u8],
    keys: &[PublicKey],
) -> Result<(), Reason> {
    let is_null = |name| metadata.get(name).is_none_or(Value::is_null);
    if is_null("signature") && is_null("signatures") {
        return Err(Reason::Unsigned);
    }
    let verifies = |entry: &ContentSignature| {
        if keys.is_empty() {
            let own = entry.public_key.as_deref().map(PublicKey::from_base64);
            matches!(own, Some(Ok(key)) if entry.verify(&key, document).is_ok())
        } else {
            keys.iter().any(|key| entry.verify(key, document).is_ok())
        }
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
        assert_eq!(check(&metadata(json!({})), b"", &[]), Err(Reason::Unsigned));
        assert_eq!(check(&metadata(json!({"signature": null})), b"", &[]), Err(Reason::Unsigned));
        for rubbish in [json!(1), json!("x"), json!({}), json!({"signature": "x", "mode": "y"})] {
            let metadata = metadata(json!({"signature": rubbish}));
            assert_eq!(check(&metadata, b"", &[]), Err(Reason::Signature));
        }
        let empty = metadata(json!({"signatures": []}));
        assert_eq!(check(&empty, b"", &[]), Err(Reason::Signature));
    }
}
