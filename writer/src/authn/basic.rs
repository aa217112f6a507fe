//! HTTP Basic credentials, and the policy `basicauth`, which takes any (§5.2).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;
use zeroize::Zeroizing;

use super::hash;

/// A user's name and password as sent.
pub struct Credentials {
    /// The name; never empty.
    pub user: String,
    /// The password; may be empty, and hold colons.
    pub password: Zeroizing<String>,
}

/// Splits `Scheme rest`.
pub(super) fn split_scheme(authorization: &HeaderValue) -> Option<(&str, &str)> {
    authorization.to_str().ok()?.split_once(' ')
}

impl Credentials {
    /// Reads `Basic …`; unusable credentials are none (§5.1.4).
    pub fn parse(authorization: &HeaderValue) -> Option<Self> {
        let (scheme, token) = split_scheme(authorization)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = STANDARD.decode(token.trim()).ok()?;
        // UTF-8, or Latin-1, whose bytes are the first 256 characters (§5.1.5).
        let text = Zeroizing::new(
            String::from_utf8(decoded)
                .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect()),
        );
        let (user, password) = text.split_once(':')?;
        (!user.is_empty())
            .then(|| Self { user: user.to_owned(), password: password.to_owned().into() })
    }

    /// The id that the policy `basicauth` makes of them.
    pub(super) fn keyed_hash(&self, secret: &str) -> String {
        let text = Zeroizing::new(format!("{}:{}", self.user, self.password.as_str()));
        hash::hex(secret, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &[u8]) -> Option<Credentials> {
        let header = format!("bAsIc {}", STANDARD.encode(text));
        Credentials::parse(&HeaderValue::from_str(&header).unwrap())
    }

    #[test]
    fn ids_are_the_reference_s() {
        for (credentials, id) in [
            ("mat:secret", "1acf66711624a550fce894b050abb3e9270a7c3fdd5e99bb8e5b9f8c8143c813"),
            ("alice:secret", "2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7"),
            ("mat:", "88c731a2778aeae9a6ab1c5a2bbdee4d97ff5d8331ca6983adfcefaa8acccbd2"),
        ] {
            assert_eq!(parse(credentials.as_bytes()).unwrap().keyed_hash("some-secret"), id);
        }
    }

    #[test]
    fn a_password_may_hold_colons_and_any_bytes() {
        let sent = parse(b"mat:a:b").unwrap();
        assert_eq!((sent.user.as_str(), sent.password.as_str()), ("mat", "a:b"));
        let latin = parse(b"mat:\xe9").unwrap();
        assert_eq!(latin.password.as_str(), "é");
    }

    #[test]
    fn unusable_credentials_are_none() {
        for text in [&b"mat"[..], b":secret", b""] {
            assert!(parse(text).is_none(), "{text:?}");
        }
        for header in ["Basic", "Basic !", "Bearer bWF0OnNlY3JldA==", "BasicbWF0OnNlY3JldA=="] {
            assert!(Credentials::parse(&HeaderValue::from_static(header)).is_none(), "{header}");
        }
    }
}
