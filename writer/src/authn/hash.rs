//! Keyed hashes: names of users, and keys of what is remembered about their secrets.

use std::fmt::Write as _;

use aws_lc_rs::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

/// HMAC-SHA256 in lower-case hexadecimal.
pub(super) fn hex(secret: &str, message: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    to_hex(tag.as_ref())
}

/// Lower-case hexadecimal.
pub(super) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Random bytes.
///
/// # Errors
///
/// When the system has none.
pub(super) fn random(count: usize) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
    let mut bytes = vec![0; count];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(bytes)
}

/// A key that this process alone knows: what it remembers under tags cannot be looked for by
/// guessing secrets, in memory or by timing.
#[derive(Debug)]
pub(super) struct Tagger(hmac::Key);

/// A message's tag.
pub(super) type Tag = [u8; 32];

impl Tagger {
    /// With a new key.
    pub(super) fn new() -> Self {
        let random = random(32).unwrap_or_default();
        Self(hmac::Key::new(hmac::HMAC_SHA256, &random))
    }

    /// The tag of some parts; parts of other lengths have other tags.
    pub(super) fn tag(&self, parts: &[&str]) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = Tag::default();
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_knows_where_its_parts_end() {
        let tagger = Tagger::new();

        assert_eq!(tagger.tag(&["ab", "c"]), tagger.tag(&["ab", "c"]));
        assert_ne!(tagger.tag(&["ab", "c"]), tagger.tag(&["a", "bc"]));
        assert_ne!(tagger.tag(&["ab", "c"]), Tagger::new().tag(&["ab", "c"]));
    }
}
