//! Who asks: HTTP Basic credentials become a user id (`kinto-http-api.md` §5.2).

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header::AUTHORIZATION};

use crate::config::Config;

/// The prefixed id of whoever sent these headers. Unusable credentials are ignored: the request
/// is anonymous (§5.1.4).
pub fn user_id(config: &Config, headers: &HeaderMap) -> Option<String> {
    if !config.basicauth {
        return None;
    }
    let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = STANDARD.decode(token.trim()).ok()?;
    // UTF-8, or Latin-1, whose bytes are the first 256 characters (§5.1.5).
    let credentials = String::from_utf8(decoded)
        .unwrap_or_else(|error| error.into_bytes().into_iter().map(char::from).collect());
    let (user, _password) = credentials.split_once(':')?;
    if user.is_empty() {
        return None;
    }
    let id = keyed_hash(&config.userid_hmac_secret.0, &credentials);
    Some(format!("basicauth:{id}"))
}

/// HMAC-SHA256 in lower-case hexadecimal.
fn keyed_hash(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    tag.as_ref().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_the_reference_s() {
        for (credentials, id) in [
            ("mat:secret", "1acf66711624a550fce894b050abb3e9270a7c3fdd5e99bb8e5b9f8c8143c813"),
            ("alice:secret", "2381f1d3ad5dc94b906b5bbcdb1fba17c37cd7f3947bf9451be8cd3f071bf0b7"),
            ("mat:", "88c731a2778aeae9a6ab1c5a2bbdee4d97ff5d8331ca6983adfcefaa8acccbd2"),
        ] {
            assert_eq!(keyed_hash("some-secret", credentials), id);
        }
    }
}
