//! Where the next page begins (§3.5.3): opaque, signed, and bound to what it was made for, so that
//! a token says nothing about any other list, user, filter or order.

use crate::error::{ApiError, Detail, Location};
use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// Bytes of the signature, which come first.
const TAG: usize = 32;

/// The values of an order's criteria in one object, as JSON texts; `None` for missing members.
pub type Cursor = Vec<Option<String>>;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// The page begins after this object.
    pub after: Cursor,
    /// Makes the token valid for one DELETE (§2.12.3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// What a token was made for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Binding<'a> {
    /// Who asks.
    pub user_id: Option<&'a str>,
    /// The list's URI.
    pub list: &'a str,
    /// The parameters that decide which objects come in which order.
    pub parameters: &'a [(String, String)],
}

/// The key of tokens, made from a secret that all writers share. It is not the secret itself:
/// with that one, basicauth shows everybody the hash of a text of his choice.
pub fn key(secret: &str) -> hmac::Key {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let derived = hmac::sign(&secret, b"countersign pagination token");
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

impl Token {
    /// The page after an object.
    pub const fn after(after: Cursor) -> Self {
        Self { after, nonce: None }
    }

    /// The token as text that fits a URL.
    pub fn seal(&self, key: &hmac::Key, binding: Binding<'_>) -> String {
        let payload = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = hmac::sign(key, &signed(&payload, binding)).as_ref().to_vec();
        bytes.extend(payload);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that was made for the same.
    ///
    /// # Errors
    ///
    /// 400 when it was forged, changed, or made for something else.
    pub fn open(text: &str, key: &hmac::Key, binding: Binding<'_>) -> Result<Self, ApiError> {
        Self::verified(text, key, binding).ok_or_else(|| refusal("_token has invalid content"))
    }

    fn verified(text: &str, key: &hmac::Key, binding: Binding<'_>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (tag, payload) = bytes.split_at_checked(TAG)?;
        hmac::verify(key, &signed(payload, binding), tag).ok()?;
        serde_json::from_slice(payload).ok()
    }
}

/// 400 about the token as a whole.
pub fn refusal(text: &str) -> ApiError {
    ApiError::Invalid(vec![Detail::whole(Location::QueryString, text)])
}

/// JSON keeps the parts apart.
fn signed(payload: &[u8], binding: Binding<'_>) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&binding).unwrap_or_default();
    bytes.push(b'\n');
    bytes.extend_from_slice(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = "/buckets/b/collections/c/records";

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn a_token_is_for_one_user_list_and_query() {
        let token = Token { after: vec![Some("1".to_owned()), None], nonce: None };
        let parameters = pairs(&[("_sort", "a"), ("n", "1")]);
        let binding = Binding { user_id: Some("alice"), list: LIST, parameters: &parameters };
        let text = token.seal(&key("secret"), binding);
        assert_eq!(Token::open(&text, &key("secret"), binding).unwrap(), token);

        let (none, other) = (pairs(&[]), pairs(&[("_sort", "a"), ("n", "2")]));
        for foreign in [
            Binding { user_id: Some("bob"), ..binding },
            Binding { user_id: None, ..binding },
            Binding { list: "/buckets/b/collections/d/records", ..binding },
            Binding { parameters: &none, ..binding },
            Binding { parameters: &other, ..binding },
        ] {
            assert!(Token::open(&text, &key("secret"), foreign).is_err(), "{foreign:?}");
        }
        assert!(Token::open(&text, &key("other"), binding).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_token_is_refused(at in 0_usize..100, bit in 0_u8..8, text in ".{0,60}") {
            let key = key("secret");
            let binding = Binding { user_id: None, list: LIST, parameters: &[] };
            let token = Token { after: vec![Some("12345".to_owned())], nonce: None };
            let mut bytes = URL_SAFE_NO_PAD.decode(token.seal(&key, binding)).unwrap();
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;

            prop_assert!(Token::open(&URL_SAFE_NO_PAD.encode(bytes), &key, binding).is_err());
            prop_assert!(Token::open(&text, &key, binding).is_err());
        }
    }
}
