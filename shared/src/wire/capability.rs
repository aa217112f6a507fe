//! The capability `changes` (`remote-settings.md` §3.1).

use serde_json::{Value, json};

use crate::config::Changes;

/// What the hello view says of the published collections.
pub fn capability(settings: &Changes) -> Value {
    json!({
        "description": "Track modifications of records in Kinto and store the collection \
                        timestamps into a specific bucket and collection.",
        "url": "http://kinto.readthedocs.io/en/latest/tutorials/synchronisation.html\
                #polling-for-remote-changes",
        "version": env!("CARGO_PKG_VERSION"),
        "collections": settings.monitored.uris(),
    })
}
