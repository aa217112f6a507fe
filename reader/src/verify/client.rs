//! Fetching over http and https, within limits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode, Uri, header::USER_AGENT};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::TokioExecutor,
};
use shared::{error::with_causes, http::tls};
use tokio::time::timeout;

/// Largest body, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// Longest time for one answer, its body included.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);

/// Why something could not be fetched.
#[derive(Debug)]
pub(super) enum FetchError {
    /// Another status than 200.
    Status(u16),
    /// No connection, or it broke.
    Transport(String),
    /// Too late.
    Late,
    /// An answer that is not what it should be.
    Content(String),
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(code) => write!(f, "the server answered {code}"),
            Self::Transport(text) | Self::Content(text) => f.write_str(text),
            Self::Late => write!(f, "no answer within {} s", PATIENCE.as_secs()),
        }
    }
}

/// A client; clones share its connections, and the chains that it fetched.
#[derive(Debug, Clone)]
pub(super) struct Client {
    http: HyperClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    chains: Arc<Mutex<HashMap<String, Bytes>>>,
}

impl Client {
    /// Trusts the system's certificates; without any, plain http works still.
    pub(super) fn new() -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let http = HyperClient::builder(TokioExecutor::new()).build(connector);
        Self { http, chains: Arc::default() }
    }

    /// The body of a 200.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, FetchError> {
        let content = |error: http::Error| FetchError::Content(error.to_string());
        let uri: Uri = url.parse().map_err(|error| content(http::Error::from(error)))?;
        let agent = concat!("countersign-reader/", env!("CARGO_PKG_VERSION"));
        let request =
            Request::get(uri).header(USER_AGENT, agent).body(Empty::new()).map_err(content)?;
        timeout(PATIENCE, self.fetch(request)).await.map_err(|_| FetchError::Late)?
    }

    async fn fetch(&self, request: Request<Empty<Bytes>>) -> Result<Bytes, FetchError> {
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| FetchError::Transport(with_causes(&error)))?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        Limited::new(response.into_body(), MAX_BYTES)
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes)
            .map_err(|error| FetchError::Transport(with_causes(&*error)))
    }

    /// A certificate chain; fetched once.
    pub(super) async fn chain(&self, url: &str) -> Result<Bytes, FetchError> {
        let known = self.chains.lock().ok().and_then(|chains| chains.get(url).cloned());
        if let Some(chain) = known {
            return Ok(chain);
        }
        let chain = self.get(url).await?;
        if let Ok(mut chains) = self.chains.lock() {
            chains.insert(url.to_owned(), chain.clone());
        }
        Ok(chain)
    }
}
