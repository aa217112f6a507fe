//! One keep-alive connection of a virtual client.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request,
    client::conn::http1::{self, SendRequest},
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HOST, HeaderValue, USER_AGENT},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};

use super::{plan::Call, server::Server};

/// As every client of the fleet.
const GZIP: HeaderValue = HeaderValue::from_static("gzip");
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("countersign-load/", env!("CARGO_PKG_VERSION")));
/// Largest answer that is looked at, in bytes; larger ones are counted only.
const MAX_KEPT: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trouble {
    /// No connection.
    Connect,
    /// It broke before the end of the answer.
    Broken,
    /// Nothing, or not all of it, within the client's patience.
    Timeout,
}

impl Trouble {
    /// As people read it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Broken => "broken",
            Self::Timeout => "timeout",
        }
    }
}

/// What came.
#[derive(Debug)]
pub(crate) struct Received {
    /// The status.
    pub(crate) status: u16,
    /// Bytes of the body, as sent.
    pub(crate) bytes: u64,
    /// The body, if it was wanted.
    pub(crate) body: Option<Bytes>,
    /// It is compressed.
    pub(crate) is_gzip: bool,
}

/// A connection; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`Trouble::Connect`], or [`Trouble::Timeout`] after `patience`.
    pub(crate) async fn open(server: &Server, patience: Duration) -> Result<Self, Trouble> {
        timeout(patience, Self::connect(server)).await.map_err(|_| Trouble::Timeout)?
    }

    async fn connect(server: &Server) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(server.address).await.map_err(|_| Trouble::Connect)?;
        stream.set_nodelay(true).map_err(|_| Trouble::Connect)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| Trouble::Connect)?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer is told the same error.
            let _ = connection.await;
        });
        Ok(Self { sender, driver })
    }

    /// Whether another request can be sent.
    pub(crate) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Sends a call, and reads the answer to its end.
    ///
    /// # Errors
    ///
    /// [`Trouble`]; the connection is of no use then.
    pub(crate) async fn ask(
        &mut self,
        server: &Server,
        call: &Call,
        is_kept: bool,
        patience: Duration,
    ) -> Result<Received, Trouble> {
        timeout(patience, self.exchange(server, call, is_kept))
            .await
            .map_err(|_| Trouble::Timeout)?
    }

    async fn exchange(
        &mut self,
        server: &Server,
        call: &Call,
        is_kept: bool,
    ) -> Result<Received, Trouble> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = call.uri.clone();
        let headers = request.headers_mut();
        headers.insert(HOST, server.host.clone());
        headers.insert(ACCEPT_ENCODING, GZIP);
        headers.insert(USER_AGENT, AGENT);
        self.sender.ready().await.map_err(|_| Trouble::Broken)?;
        let response = self.sender.send_request(request).await.map_err(|_| Trouble::Broken)?;
        let (head, mut body) = response.into_parts();
        let is_gzip = head.headers.get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
        let mut bytes = 0;
        let mut kept = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Trouble::Broken)?;
            let Some(data) = frame.data_ref() else { continue };
            bytes += data.len() as u64;
            if is_kept && kept.len() < MAX_KEPT {
                kept.extend_from_slice(data);
            }
        }
        let body = is_kept.then(|| kept.freeze());
        Ok(Received { status: head.status.as_u16(), bytes, body, is_gzip })
    }
}
