//! TLS of requests that our programs make.

use hyper_rustls::ConfigBuilderExt as _;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs::default_provider};

/// Trusts the system's certificates; without any, plain http works still, and https fails.
pub fn client_config() -> ClientConfig {
    // Another part of the process may have installed it before.
    let _ = default_provider().install_default();
    let builder = ClientConfig::builder;
    builder()
        .with_native_roots()
        .unwrap_or_else(|_| builder().with_root_certificates(RootCertStore::empty()))
        .with_no_client_auth()
}
