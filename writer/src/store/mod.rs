//! SQL that only the writer runs: one file per table.

pub mod accounts;
pub mod aces;
pub mod advisory;
pub mod broadcasts;
pub mod cache;
pub mod chains;
pub mod changes;
mod clock_rows;
pub mod clocks;
pub mod history;
pub mod job_runs;
pub mod list_sql;
pub mod logins;
pub mod lookup;
pub mod maintenance;
pub mod measure;
pub mod memberships;
pub mod objects;
pub mod outbox;
pub mod permissions;
pub mod quotas;
pub mod tombstones;
