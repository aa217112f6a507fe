//! SQL that only the writer runs: one file per table.

pub mod accounts;
pub mod aces;
pub mod cache;
pub mod clocks;
pub mod logins;
pub mod memberships;
pub mod objects;
