//! Behaviour that clients rely on, against the shared test vectors.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod vectors;
