//! What ends a command, and with which exit code.

use std::fmt;

/// Why a command did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// A server refused, or a promise was broken.
    Failed(String),
    /// An argument makes no sense.
    Usage(String),
    /// Nobody answers.
    Unavailable(String),
}

impl Failure {
    /// As in sysexits.h, where it has one.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unavailable(_) => 69,
        }
    }

    /// A promise was broken.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self::Failed(text.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(text) | Self::Usage(text) | Self::Unavailable(text) => f.write_str(text),
        }
    }
}
