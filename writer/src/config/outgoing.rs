//! Requests that the service itself makes: `outgoing.*`.

use std::{collections::BTreeSet, time::Duration};

use shared::config::Layers;

/// Whom the service may call, and for how long it waits.
#[derive(Debug, Clone)]
pub struct OutgoingSettings {
    /// Whether loopback, private and link-local addresses may be called, and http.
    pub allow_private: bool,
    /// Hosts that may be called wherever they are, also by http: names or addresses.
    pub allowed_hosts: BTreeSet<String>,
    /// Longest time for one answer, its body included.
    pub timeout: Duration,
}

impl OutgoingSettings {
    /// Reads the section.
    pub fn read(layers: &mut Layers) -> Self {
        let hosts = layers.words("outgoing.allowed_hosts");
        Self {
            allowed_hosts: hosts.iter().map(|host| host.to_lowercase()).collect(),
            allow_private: layers.flag("outgoing.allow_private"),
            timeout: Duration::from_secs(layers.number("outgoing.timeout_seconds", 1, 300)),
        }
    }

    /// Whether a host may be called wherever it is.
    pub fn trusts(&self, host: &str) -> bool {
        self.allow_private || self.allowed_hosts.contains(&host.to_lowercase())
    }
}
