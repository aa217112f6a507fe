//! Encryption between us and PostgreSQL.

use std::{io, path::Path, time::Duration};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::timeout,
};
use tokio_postgres::{Client, Config, Connection, Error, NoTls, config::SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{config::Database, error::ApiError, http::tls::client_config};

/// How a session with a server is opened.
///
/// With `sslmode=require` in the URL it is encrypted, and the server's certificate is verified, for
/// the host's name: what libpq calls `verify-full`. Otherwise it is not encrypted, as on the sockets
/// of one machine.
#[derive(Clone)]
pub struct Opener {
    tls: Option<MakeRustlsConnect>,
    patience: Duration,
}

impl Opener {
    /// For the servers of `config`, which is that of `settings.url` or another one of the same place.
    ///
    /// # Errors
    ///
    /// When the authorities' file cannot be read.
    pub fn new(config: &Config, settings: &Database) -> Result<Self, ApiError> {
        let tls = (config.get_ssl_mode() == SslMode::Require)
            .then(|| trust(settings.authorities.as_deref()).map(MakeRustlsConnect::new))
            .transpose()?;
        Ok(Self { tls, patience: settings.connect_timeout })
    }

    /// Opens a session, and runs it until its client is dropped. A server that accepts and says
    /// nothing is given up in time, too.
    ///
    /// # Errors
    ///
    /// The driver's.
    pub async fn open(&self, config: &Config) -> Result<(Client, JoinHandle<()>), Error> {
        let opening = async {
            match &self.tls {
                Some(tls) => config.connect(tls.clone()).await.map(run),
                None => config.connect(NoTls).await.map(run),
            }
        };
        // The only error of the driver's that others may make.
        timeout(self.patience, opening).await.map_err(|_| Error::__private_api_timeout())?
    }
}

fn run<S, T>((client, connection): (Client, Connection<S, T>)) -> (Client, JoinHandle<()>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let task = tokio::spawn(async move {
        // Whoever uses the session is told as well, and says so.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to PostgreSQL ended");
        }
    });
    (client, task)
}

/// Trusts the authorities in a PEM file, or those of the system.
fn trust(authorities: Option<&Path>) -> Result<ClientConfig, ApiError> {
    let Some(file) = authorities else { return Ok(client_config()) };
    let wrong = |problem: &dyn std::fmt::Display| {
        ApiError::backend(format!("storage_tls_ca: {}: {problem}", file.display()))
    };
    let pem = std::fs::read(file).map_err(|error| wrong(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| wrong(&error))?;
        roots.add(certificate).map_err(|error| wrong(&error))?;
    }
    if roots.is_empty() {
        return Err(wrong(&io::Error::other("no certificate in it")));
    }
    // The same library and protocols as everywhere.
    let provider = client_config().crypto_provider().clone();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("is_encrypted", &self.tls.is_some()).finish_non_exhaustive()
    }
}
