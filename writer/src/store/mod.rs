//! SQL that only the writer runs: one file per table.

pub mod aces;
pub mod clocks;
pub mod history;
pub mod memberships;
pub mod objects;
pub mod quotas;
