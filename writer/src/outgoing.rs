//! Requests that the service itself makes, at addresses that somebody wrote into the settings:
//! within limits, without redirects, and never into the network that the service stands in.

use std::{
    error::Error as StdError,
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::{ACCEPT, USER_AGENT},
    uri::Scheme,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use rustls_pki_types::CertificateDer;
use shared::{error::with_causes, http::tls};
use tokio::time::timeout;
use tower_service::Service as _;

use crate::config::OutgoingSettings;

/// Largest body of an answer, in bytes.
const MAX_BYTES: usize = 1 << 20;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutgoingError {
    /// The URL is one that the settings do not let us call.
    #[error("{0} is not to be called from here")]
    Forbidden(String),
    /// It took too long.
    #[error("no answer in time")]
    Late,
    /// The connection failed, or the answer was too large.
    #[error("{0}")]
    Transport(String),
}

type Connector = HttpsConnector<HttpConnector<Resolver>>;

/// A client; clones share its connections.
#[derive(Debug, Clone)]
pub struct Outgoing {
    client: Client<Connector, Full<Bytes>>,
    connector: Connector,
    settings: OutgoingSettings,
}

impl Outgoing {
    /// Trusts the system's certificates.
    pub fn new(settings: &OutgoingSettings) -> Self {
        let resolver = Resolver { settings: Arc::new(settings.clone()) };
        let mut tcp = HttpConnector::new_with_resolver(resolver);
        tcp.enforce_http(false);
        tcp.set_connect_timeout(Some(CONNECT));
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls::client_config())
            .https_or_http()
            .enable_http1()
            .enable_http2()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new()).build(connector.clone());
        Self { client, connector, settings: settings.clone() }
    }

    /// Sends a request; redirects are answers like any other.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`]
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, OutgoingError> {
        self.check(request.uri())?;
        let mut request = request.map(Full::new);
        let agent = concat!("countersign-writer/", env!("CARGO_PKG_VERSION"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(agent));
        request.headers_mut().entry(ACCEPT).or_insert(HeaderValue::from_static("application/json"));
        timeout(self.settings.timeout, self.exchange(request))
            .await
            .map_err(|_| OutgoingError::Late)?
    }

    /// The certificate that a server shows to a new connection; `None` without TLS.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`]
    pub async fn certificate(
        &self,
        uri: &Uri,
    ) -> Result<Option<CertificateDer<'static>>, OutgoingError> {
        self.check(uri)?;
        let mut connector = self.connector.clone();
        let connected = async {
            poll_fn(|cx| connector.poll_ready(cx)).await?;
            connector.call(uri.clone()).await
        };
        let connected = timeout(self.settings.timeout, connected).await;
        let stream = connected.map_err(|_| OutgoingError::Late)?;
        Ok(match stream.map_err(|error| transport(&*error))? {
            MaybeHttpsStream::Http(_) => None,
            MaybeHttpsStream::Https(stream) => {
                let (_, tls) = stream.inner().get_ref();
                tls.peer_certificates().and_then(<[_]>::first).cloned()
            }
        })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, OutgoingError> {
        let sent = self.client.request(request).await;
        let (head, body) = sent.map_err(|error| transport(&error))?.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await;
        let body = body.map_err(|error| transport(&*error))?.to_bytes();
        Ok(Response::from_parts(head, body))
    }

    /// A literal address is never asked of the resolver, so it is checked here. Names are left to
    /// the resolver.
    fn check(&self, uri: &Uri) -> Result<(), OutgoingError> {
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let literal = bare.parse::<IpAddr>();
        let allowed = self.settings.trusts(bare)
            || (uri.scheme() == Some(&Scheme::HTTPS) && literal.map_or(true, is_public));
        if allowed { Ok(()) } else { Err(OutgoingError::Forbidden(host.to_owned())) }
    }
}

fn transport(error: &dyn StdError) -> OutgoingError {
    OutgoingError::Transport(with_causes(error))
}

/// Resolves names, and gives only addresses that may be dialled: what is checked is what is
/// dialled, whatever the name resolves to a moment later.
#[derive(Debug, Clone)]
struct Resolver {
    settings: Arc<OutgoingSettings>,
}

impl tower_service::Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let is_trusted = self.settings.trusts(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> =
                found.filter(|address| is_trusted || is_public(address.ip())).collect();
            if allowed.is_empty() {
                let text = format!("{} has no public address", name.as_str());
                return Err(std::io::Error::other(text));
            }
            Ok(allowed.into_iter())
        })
    }
}

/// Whether an address belongs to the public internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => embedded_v4(v6).map_or_else(|| is_public_v6(v6), is_public_v4),
    }
}

fn is_public_v4(v4: Ipv4Addr) -> bool {
    let [a, b, c, _] = v4.octets();
    // This network, shared (carrier) space, protocol assignments, benchmarks, and all above.
    let special = a == 0
        || (a == 100 && b & 0b1100_0000 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && b & 0b1111_1110 == 18)
        || a >= 224;
    !(special || v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_documentation())
}

/// Global unicast but for documentation; unique local and link-local addresses are outside.
fn is_public_v6(v6: Ipv6Addr) -> bool {
    let [first, second, ..] = v6.segments();
    first & 0xe000 == 0x2000 && !(first == 0x2001 && second == 0x0db8)
}

/// The address that a translating network would dial for this one: mapped, NAT64, 6to4.
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, third, .., last_but_one, last] = v6.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match (first, second) {
        (0x0064, 0xff9b) => Some(join(last_but_one, last)),
        (0x2002, _) => Some(join(second, third)),
        _ => v6.to_ipv4_mapped(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_public_addresses_are_dialled() {
        for public in ["1.1.1.1", "93.184.215.14", "2606:4700::1111", "64:ff9b::101:101"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
    }

    #[tokio::test]
    async fn nothing_is_sent_into_the_own_network() {
        let settings = OutgoingSettings {
            allow_private: false,
            allowed_hosts: BTreeSet::from(["hooks.internal".to_owned()]),
            timeout: Duration::from_secs(5),
        };
        let outgoing = Outgoing::new(&settings);

        for url in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "https://localhost/",
            "https://2130706433/",
            "https://0x7f.1/",
            "http://example.com/",
        ] {
            let request = Request::get(url).body(Bytes::new()).unwrap();
            let error = outgoing.send(request).await.unwrap_err().to_string();
            let refused = ["not to be called", "no public address", "invalid dns name"];
            assert!(refused.iter().any(|text| error.contains(text)), "{url}: {error}");
        }
    }
}
