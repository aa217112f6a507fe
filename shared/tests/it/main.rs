//! Behaviour that clients rely on, against the shared test vectors.

mod vectors;
