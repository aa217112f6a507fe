//! The identifier of an object.

use std::{fmt, ops::Deref, sync::Arc};

/// A checked identifier: `[a-zA-Z0-9][a-zA-Z0-9_-]*`, case-sensitive, at most 512 bytes.
///
/// Cheap to clone. Kinto has no maximum, but PostgreSQL refuses index entries above 2,700 bytes,
/// and a record's key holds three ids.
///
/// # Source
///
/// `kinto-http-api.md` §2.3.1. Kinto also lets one trailing newline through; we do not.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id(Arc<str>);

/// The text is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Invalid object id")]
pub struct InvalidId;

impl Id {
    /// Longest identifier, in bytes.
    pub const MAX_BYTES: usize = 512;

    /// Checks `text` and makes it an identifier.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when it is empty, too long, or has a character outside the pattern.
    pub fn new(text: &str) -> Result<Self, InvalidId> {
        Self::checked(text, b"_-")
    }

    /// Checks `text` as the name of an account, which may be an e-mail address:
    /// `[a-zA-Z0-9][a-zA-Z0-9+.@_-]*` (`kinto-http-api.md` §5.3.7).
    ///
    /// # Errors
    ///
    /// [`InvalidId`] as above.
    pub fn account(text: &str) -> Result<Self, InvalidId> {
        Self::checked(text, b"_-+.@")
    }

    fn checked(text: &str, punctuation: &[u8]) -> Result<Self, InvalidId> {
        let mut bytes = text.bytes();
        let first_is_good = bytes.next().is_some_and(|b| b.is_ascii_alphanumeric());
        let rest_is_good = bytes.all(|b| b.is_ascii_alphanumeric() || punctuation.contains(&b));
        if first_is_good && rest_is_good && text.len() <= Self::MAX_BYTES {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId)
        }
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Id {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Id {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_is_anchored_at_both_ends() {
        for good in ["a", "0", "abc-DEF_9", "A-", "a_"] {
            assert!(Id::new(good).is_ok(), "{good:?}");
        }
        for bad in ["", "-a", "_a", "a\n", "a b", "a/b", "a*", "é", "a.b", "a\0"] {
            assert_eq!(Id::new(bad), Err(InvalidId), "{bad:?}");
        }
        assert!(Id::new(&"x".repeat(512)).is_ok());
        assert!(Id::new(&"x".repeat(513)).is_err());
    }

    #[test]
    fn an_account_may_be_named_like_an_address() {
        for good in ["alice", "alice@example.com", "a+b.c_d-e"] {
            assert!(Id::account(good).is_ok(), "{good:?}");
        }
        for bad in ["", "@a", "+a", "a*", "a:b", "a/b", "a\n", "a b", "é"] {
            assert_eq!(Id::account(bad), Err(InvalidId), "{bad:?}");
        }
    }
}
