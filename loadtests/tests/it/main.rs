//! Writer and reader on one database: what they answer alike.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod agreement;
mod pair;
