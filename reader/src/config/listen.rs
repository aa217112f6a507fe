//! Where and how connections come in.

use std::{net::SocketAddr, time::Duration};

use shared::config::{Layers, Listen};

use crate::server::{Files, Limits};

/// `http.*`, as far as writers have no such settings.
pub(super) fn limits(layers: &mut Layers, listen: &Listen) -> Limits {
    let http2 = listen.limits.clone();
    let time = |layers: &mut Layers, key: &str, least: u64| {
        Duration::from_secs(layers.number(key, least, 3_600))
    };
    Limits {
        max_connections: http2.max_connections,
        requests_per_connection: layers.number("http.requests_per_connection", 1, u64::MAX),
        head_timeout: http2.head_timeout,
        idle_timeout: time(layers, "http.idle_timeout_seconds", 1),
        stall_timeout: time(layers, "http.stall_timeout_seconds", 1),
        drain: time(layers, "http.drain_seconds", 0),
        grace: http2.grace,
        has_proxy_header: layers.flag("http.proxy_protocol"),
        log: http2.log,
        http2,
    }
}

/// Both files, or none.
pub(super) fn tls(layers: &mut Layers) -> Option<Files> {
    match (layers.optional("tls.certificate"), layers.optional("tls.key")) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(Files { certificate, key }),
        _ => {
            layers.problem("tls.certificate and tls.key belong together");
            None
        }
    }
}

pub(super) fn operators(layers: &mut Layers) -> Option<SocketAddr> {
    let text = layers.optional("metrics.listen")?;
    let address = text.parse().ok();
    if address.is_none() {
        layers.problem("metrics.listen should be ADDRESS:PORT, as 127.0.0.1:9090");
    }
    address
}
