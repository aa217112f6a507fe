//! Who is asked.

use std::net::{SocketAddr, ToSocketAddrs as _};

use hyper::{Uri, header::HeaderValue};

use crate::{client::Client, failure::Failure};

/// A server on loopback that publishes collections, and its name in the report.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// `countersign`, or what `--peer` calls it.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The `Host` header.
    pub(crate) host: HeaderValue,
    /// The path of the service: `/v1`.
    pub(crate) prefix: String,
    /// For what is not measured.
    pub(crate) client: Client,
}

impl Server {
    /// The server at `base`, as `http://127.0.0.1:8889/v1`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] unless it is plain http on loopback.
    pub(crate) fn new(name: &str, base: &str) -> Result<Self, Failure> {
        let client = Client::new(base)?;
        let wrong = |error: &dyn std::fmt::Display| Failure::Usage(format!("{base}: {error}"));
        let uri: Uri = client.base().parse().map_err(|error| wrong(&error))?;
        let authority = uri.authority().ok_or_else(|| wrong(&"no host"))?;
        let host = authority.host().trim_matches(['[', ']']);
        let mut addresses = (host, authority.port_u16().unwrap_or(80))
            .to_socket_addrs()
            .map_err(|error| wrong(&error))?;
        // A name's first address may be another family's than the server's: 127.0.0.1 is usual.
        let address = addresses
            .clone()
            .find(SocketAddr::is_ipv4)
            .or_else(|| addresses.next())
            .ok_or_else(|| wrong(&"no address"))?;
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| wrong(&error))?;
        Ok(Self { name: name.to_owned(), address, host, prefix, client })
    }

    /// A peer of the form `NAME=URL`.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for another form, or another machine's URL.
    pub(crate) fn peer(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some((name, base)) if !name.is_empty() => Self::new(name, base),
            _ => Err(Failure::Usage(format!("--peer {text}: NAME=URL is expected"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_a_name_and_a_url_on_loopback() {
        let peer = Server::peer("nginx=http://localhost:81/v1/").unwrap();
        assert_eq!((peer.name.as_str(), peer.prefix.as_str()), ("nginx", "/v1"));
        assert_eq!(peer.address, "127.0.0.1:81".parse().unwrap());
        for wrong in ["http://127.0.0.1/v1", "=http://127.0.0.1/v1", "x=http://192.0.2.1/v1", "x"] {
            assert_eq!(Server::peer(wrong).unwrap_err().exit_code(), 2, "{wrong}");
        }
    }
}
