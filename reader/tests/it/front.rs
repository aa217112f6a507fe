//! What may stand before a reader, or not: TLS, load balancers, a port for operators.

use std::{net::SocketAddr, sync::Arc};

use reader::{
    app::App,
    config::Config,
    server::{Files, Tls, serve},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore},
};

use crate::fixture::Reader;

pub(crate) const PING: &str =
    "GET /__lbheartbeat__ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
const NOWHERE: &str = "postgresql://nobody@127.0.0.1:1/none";

pub(crate) async fn ask(mut stream: impl AsyncRead + AsyncWrite + Unpin, text: &[u8]) -> String {
    stream.write_all(text).await.unwrap();
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Two files and the certificate in them.
fn certificate(directory: &std::path::Path) -> (Files, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let path = |name: &str| directory.join(name).to_string_lossy().into_owned();
    let files = Files { certificate: path("cert.pem"), key: path("key.pem") };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made)
}

fn directory() -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("countersign-tls-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn trusting(made: &rcgen::CertifiedKey<rcgen::KeyPair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()
}

async fn connect(address: SocketAddr, config: ClientConfig) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A connection to a server that must have this very certificate.
pub(crate) async fn encrypted_to(
    address: SocketAddr,
    made: &rcgen::CertifiedKey<rcgen::KeyPair>,
) -> TlsStream<TcpStream> {
    connect(address, trusting(made)).await
}

async fn encrypted(tls: Tls) -> (std::net::SocketAddr, JoinHandle<()>) {
    let mut layers = Config::layers(None, std::iter::empty(), Some("127.0.0.1:0"));
    layers.set("storage_url", NOWHERE);
    layers.set("changes.resources", "/buckets/main");
    let app = App::new(Config::read(&mut layers).unwrap()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = app.config.limits.clone();
    let stop = std::future::pending();
    let serving = serve(listener, app, limits, Some(Arc::new(tls)), stop);
    (address, tokio::spawn(async move { serving.await.unwrap() }))
}

#[tokio::test]
async fn tls_is_spoken_in_both_versions_of_http() {
    let directory = directory();
    let (files, made) = certificate(&directory);
    let (address, serving) = encrypted(Tls::new(files.clone()).unwrap()).await;
    let connect = async |protocol: &[u8]| {
        let mut config = trusting(&made);
        config.alpn_protocols = vec![protocol.to_vec()];
        connect(address, config).await
    };

    let text = ask(connect(b"http/1.1").await, PING.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    let stream = connect(b"h2").await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let request = http::Request::builder()
        .uri("https://localhost/__lbheartbeat__")
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    assert_eq!(client.send_request(request).await.unwrap().status(), 200);
    let plain = ask(TcpStream::connect(address).await.unwrap(), PING.as_bytes()).await;
    assert!(!plain.contains("200"), "no answer without encryption: {plain}");

    serving.abort();
    std::fs::remove_file(&files.key).unwrap();
    assert!(Tls::new(files).unwrap_err().contains("key.pem"), "a missing file is named");
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn a_load_balancer_s_header_is_taken_off_and_required() {
    let reader = Reader::start(NOWHERE, &[("http.proxy_protocol", "true")]).await;
    let send =
        async |bytes: Vec<u8>| ask(TcpStream::connect(reader.address).await.unwrap(), &bytes).await;
    let line = b"PROXY TCP4 198.51.100.7 127.0.0.1 4711 80\r\n";
    let binary = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" as &[u8], &[7; 12]].concat();

    for header in [&line[..], &binary] {
        let text = send([header, PING.as_bytes()].concat()).await;
        assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    }
    assert_eq!(send(PING.into()).await, "", "a client that came around the load balancer");
}

#[tokio::test]
async fn metrics_move_to_the_operators_port() {
    let here = Reader::start(NOWHERE, &[]).await;
    assert_eq!(here.get("/__metrics__").await.status, 200);

    let moved = Reader::start(NOWHERE, &[("metrics.listen", "127.0.0.1:0")]).await;
    assert_eq!(moved.get("/__metrics__").await.status, 404);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = moved.app();
    let (limits, metrics) = (app.config.limits.http2.clone(), app.metrics.http.clone());
    let service = reader::operators::Operators(app);
    let stop = std::future::pending();
    tokio::spawn(shared::http::serve(listener, service, limits, metrics, stop));
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        ask(TcpStream::connect(address).await.unwrap(), request.as_bytes()).await
    };

    for path in ["/__metrics__", "/v1/__metrics__"] {
        assert!(get(path).await.contains("countersign_requests_total"), "{path}");
    }
    assert!(get("/__heartbeat__").await.starts_with("HTTP/1.1 503"), "nothing is loaded");
    assert!(get("/v1/").await.starts_with("HTTP/1.1 404"), "no client's business");
}
