//! SQL that only the writer runs: one file per table.

pub mod accounts;
pub mod aces;
pub mod clocks;
pub mod memberships;
pub mod objects;
