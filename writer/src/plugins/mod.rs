//! What Kinto adds as plug-ins and what follows from every change: history and quotas. They do
//! nothing, and cost nothing, where `includes` does not name them.

pub mod history;
pub mod ledger;
pub mod quotas;
pub mod rebuild;
pub mod size;

use shared::model::ObjectPath;

use crate::config::Config;

/// Whether anybody wants to know how the object was, and is, when it changes.
pub fn watch(config: &Config, path: &ObjectPath) -> bool {
    config.history.records(path) || config.quotas.counts(path)
}
