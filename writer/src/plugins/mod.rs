//! Kinto's plug-ins that are small enough for one file each, and what the hello view tells of
//! them.

pub mod default_bucket;

use serde_json::{Value, json};

use crate::config::Config;

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
    if let Some(prometheus) = &config.extras.prometheus {
        let value = json!({
            "description": "Prometheus metrics.",
            "url": "https://github.com/Kinto/kinto/",
            "prefix": prometheus.prefix,
            "disabled_metrics": prometheus.disabled_as_given,
        });
        known.push(("prometheus", value));
    }
    known
}
