//! What Kinto has as plug-ins, where `includes` names them: history and quotas, which follow from
//! every change, and what is small enough for one file.

pub mod default_bucket;
pub mod history;
pub mod ledger;
pub mod quotas;
pub mod rebuild;
pub mod size;

use serde_json::{Value, json};
use shared::model::ObjectPath;

use crate::config::{Config, Quotas};

/// Whether anybody wants to know how the object was, and is, when it changes.
pub fn watch(config: &Config, path: &ObjectPath) -> bool {
    config.history.records(path) || config.quotas.counts(path)
}

/// The capabilities that are more than a plug-in's name
/// (`kinto-http-api.md` §1.1.4).
pub fn capabilities(config: &Config) -> Vec<(&'static str, Value)> {
    let docs = |page: &str| format!("https://docs.kinto-storage.org/en/latest/{page}");
    let mut known = Vec::new();
    if config.extras.permissions_endpoint {
        let value = json!({
            "description": "The permissions endpoint can be used to list all user objects \
                            permissions.",
            "url": docs("configuration/settings.html#activating-the-permissions-endpoint"),
        });
        known.push(("permissions_endpoint", value));
    }
    if let Some(console) = &config.extras.console {
        let value = json!({
            "description": "Serves the admin console.",
            "url": "https://github.com/Kinto/kinto-admin/",
            "version": console.version(),
        });
        known.push(("admin", value));
    }
    if let Some(prometheus) = &config.extras.prometheus {
        let value = json!({
            "description": "Prometheus metrics.",
            "url": "https://github.com/Kinto/kinto/",
            "prefix": prometheus.prefix,
            "disabled_metrics": prometheus.disabled_as_given,
        });
        known.push(("prometheus", value));
    }
    if config.notifications.slack.is_some() {
        let value = json!({
            "description": "Slack notifications plugin for Kinto",
            "url": "https://github.com/mozilla/remote-settings/blob/main/kinto-slack/",
        });
        known.push(("slack", value));
    }
    if config.notifications.mail.is_some() {
        let value = json!({
            "description": "Provide emailing capabilities to the server.",
            "url": "https://github.com/Kinto/kinto-emailer/",
        });
        known.push(("emailer", value));
    }
    if config.history.enabled {
        known.push(("history", config.history.capability()));
    }
    if config.quotas.enabled {
        known.push(("quotas", Quotas::capability()));
    }
    known
}
