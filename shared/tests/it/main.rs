//! What clients rely on, against the shared test vectors; and the shape of the code.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod architecture;
mod vectors;
mod wycheproof;
