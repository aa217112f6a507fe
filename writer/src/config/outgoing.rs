//! Requests that the service itself makes: `outgoing.*`.

use std::time::Duration;

use shared::config::Layers;

/// Whom the service may call, and for how long it waits.
#[derive(Debug, Clone)]
pub struct OutgoingSettings {
    /// Whether loopback, private and link-local addresses may be called, and http.
    pub allow_private: bool,
    /// Longest time for one answer, its body included.
    pub timeout: Duration,
}

impl OutgoingSettings {
    /// Reads the section.
    pub fn read(layers: &mut Layers) -> Self {
        Self {
            allow_private: layers.flag("outgoing.allow_private"),
            timeout: Duration::from_secs(layers.number("outgoing.timeout_seconds", 1, 300)),
        }
    }
}
