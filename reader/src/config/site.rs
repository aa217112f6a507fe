//! What the service says about itself.

use shared::config::{EndOfService, Layers, absolute};

/// What the service says about itself.
#[derive(Debug, Clone)]
pub struct Site {
    /// Shown in the hello view.
    pub project_name: String,
    /// Shown in the hello view.
    pub project_docs: String,
    /// `scheme://host` of the service, or empty.
    pub root: String,
    /// Seconds of the `Backoff` header.
    pub backoff: Option<u64>,
    /// Seconds of the `Retry-After` header.
    pub retry_after: u64,
    /// Lifetime of the hello view; 0 where none is set.
    pub root_ttl: u32,
    /// When the service ends, if it does.
    pub end: Option<EndOfService>,
}

impl Site {
    pub(super) fn read(layers: &mut Layers) -> Self {
        let (scheme, host) = (layers.text("http_scheme"), layers.text("http_host"));
        let project_docs = layers.text("project_docs");
        Self {
            end: EndOfService::read(layers, &project_docs),
            project_name: layers.text("project_name"),
            project_docs,
            root: absolute(&scheme, &host),
            backoff: layers.optional_number("backoff", 0, u64::from(u32::MAX)),
            retry_after: layers.number("retry_after_seconds", 0, u64::from(u32::MAX)),
            root_ttl: layers.lifetime("root_cache_expires_seconds").unwrap_or(0),
        }
    }
}
