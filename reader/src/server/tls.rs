//! TLS for those who have no proxy in front: rustls, with HTTP/2 for clients that ask for it.

use std::{fs, path::Path, sync::Arc};

use arc_swap::ArcSwap;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use tokio::{
    net::TcpStream,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};

use super::Transport;

/// Where the certificate and its key lie, as PEM.
#[derive(Debug, Clone)]
pub struct Files {
    /// The chain, the server's own certificate first.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

/// What speaks TLS. Its certificate can be renewed while it does.
#[derive(Debug)]
pub struct Tls {
    files: Files,
    config: ArcSwap<ServerConfig>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// What is wrong with them, as text.
    pub fn new(files: Files) -> Result<Self, String> {
        Ok(Self { config: ArcSwap::new(read(&files)?), files })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again at each SIGHUP, for ever. Files that are no good change nothing.
    pub async fn reload(self: Arc<Self>, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            match read(&self.files) {
                Ok(config) => {
                    self.config.store(config);
                    tracing::info!("the certificate was read again");
                }
                Err(problem) => tracing::error!(problem, "the certificate stays as it was"),
            }
        }
    }
}

/// SIGHUPs from now on: none ends the process any more.
///
/// # Errors
///
/// What the system says.
pub fn hangups() -> std::io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Without TLS there is nothing to read again at SIGHUP, which would end the process otherwise.
pub async fn ignore_hangups(mut hangups: Signal) {
    while hangups.recv().await.is_some() {
        tracing::info!("SIGHUP: there is no certificate to read again; settings need a restart");
    }
}

fn read(files: &Files) -> Result<Arc<ServerConfig>, String> {
    let pem = |path: &str| fs::read(Path::new(path)).map_err(|error| format!("{path}: {error}"));
    let chain: Vec<CertificateDer<'_>> = CertificateDer::pem_slice_iter(&pem(&files.certificate)?)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{}: {error}", files.certificate))?;
    let key = PrivateKeyDer::from_pem_slice(&pem(&files.key)?)
        .map_err(|error| format!("{}: {error}", files.key))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| format!("{} and {}: {error}", files.certificate, files.key))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl Transport for TlsStream<TcpStream> {
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}
