//! Kinto's plug-ins that are small enough for one file each, and what the hello view tells of
//! them.

pub mod default_bucket;

use serde_json::{Value, json};

use crate::config::{Config, Plugin};

/// The capabilities of this directory's plug-ins, and of the endpoints that settings switch on
/// (`kinto-http-api.md` §1.1.4).
pub fn capabilities(config: &Config) -> Vec<(&'static str, Value)> {
    let docs = |page: &str| format!("https://docs.kinto-storage.org/en/latest/{page}");
    let mut known = Vec::new();
    if config.plugins.has(Plugin::DefaultBucket) {
        let value = json!({
            "description": "The default bucket is an alias for a personal bucket where \
                            collections are created implicitly.",
            "url": docs("api/1.x/buckets.html#personal-bucket-default"),
        });
        known.push(("default_bucket", value));
    }
    if config.plugins.has(Plugin::Flush) {
        let value = json!({
            "description": "The __flush__ endpoint can be used to remove all data from all \
                            backends.",
            "url": docs("api/1.x/flush.html"),
        });
        known.push(("flush_endpoint", value));
    }
    if config.plugins.has(Plugin::Counters) {
        let value = json!({
            "description": "The __counters__ endpoint exposes how many objects are stored.",
            "url": docs("api/1.x/counters.html"),
        });
        known.push(("counters_endpoint", value));
    }
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
