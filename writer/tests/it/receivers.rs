//! The other ends: an HTTP endpoint and a mail server, which note what they get.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, StatusCode, request::Parts};
use serde_json::{Value, json};
use shared::{
    http::{Answer, Limits, Reply, RequestLog, Service, serve},
    telemetry::{self, HttpMetrics},
};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Waits until there is something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "never: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A request that an endpoint got.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// An HTTP endpoint. `/hang` never answers, `/500` answers with that status, `/once/500` does so
/// the first time; all else is accepted.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Endpoint {
    pub(crate) async fn start() -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub(crate) fn at(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let endpoint = Self { address, got: Arc::default() };
        let limits = Limits {
            max_body_bytes: 1 << 20,
            max_connections: 1000,
            head_timeout: Duration::from_mins(1),
            body_timeout: Duration::from_secs(5),
            grace: Duration::from_secs(1),
            log: RequestLog::Errors,
        };
        let metrics = Arc::new(HttpMetrics::new(&telemetry::registry()).unwrap());
        let service = endpoint.clone();
        tokio::spawn(serve(listener, service, limits, metrics, std::future::pending()));
        endpoint
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// What came to a path.
    pub(crate) fn got(&self, path: &str) -> Vec<Got> {
        self.got.lock().unwrap().iter().filter(|got| got.path == path).cloned().collect()
    }

    /// Forgets what came.
    pub(crate) fn forget(&self) {
        self.got.lock().unwrap().clear();
    }

    /// The texts that came to a path.
    pub(crate) fn texts(&self, path: &str) -> Vec<String> {
        let text = |got: &Got| got.json()["text"].as_str().unwrap().to_owned();
        self.got(path).iter().map(text).collect()
    }

    /// What came to a path, once there are so many.
    pub(crate) async fn wait(&self, path: &str, count: usize) -> Vec<Got> {
        eventually(path, async || Some(self.got(path)).filter(|got| got.len() >= count)).await
    }
}

impl Service for Endpoint {
    async fn call(&self, head: Parts, body: Bytes) -> Answer {
        let path = head.uri.path().to_owned();
        let seen = self.got(&path).len();
        self.got.lock().unwrap().push(Got { path: path.clone(), headers: head.headers, body });
        let last = path.rsplit('/').next().unwrap_or_default();
        let status = match last.parse::<u16>() {
            Ok(_) if path.starts_with("/once/") && seen > 0 => StatusCode::OK,
            Ok(code) => StatusCode::from_u16(code).unwrap(),
            Err(_) if path.starts_with("/hang") => std::future::pending().await,
            Err(_) => StatusCode::OK,
        };
        Answer::new("endpoint", Reply::json(status, &json!({})))
    }
}

/// A mail that a server accepted.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Letter {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) text: String,
}

/// A mail server: RFC 5321 as far as a client needs. It refuses `refused@…` for good, and what
/// comes first to `busy@…` for now.
#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) address: SocketAddr,
    letters: Arc<Mutex<Vec<Letter>>>,
    /// All commands, as they came.
    pub(crate) commands: Arc<Mutex<Vec<String>>>,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

/// When a mail server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    Never,
    OnRequest,
    Always,
}

impl MailServer {
    pub(crate) async fn start() -> Self {
        Self::with(Tls::Never, None).await
    }

    pub(crate) async fn with(when: Tls, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Self { address, letters: Arc::default(), commands: Arc::default(), tls };
        let copy = server.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = copy.clone();
                tokio::spawn(async move { server.connection(stream, when).await });
            }
        });
        server
    }

    pub(crate) fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap().clone()
    }

    pub(crate) async fn wait(&self, count: usize) -> Vec<Letter> {
        eventually("mail", async || Some(self.letters()).filter(|all| all.len() >= count)).await
    }

    async fn connection(&self, stream: TcpStream, when: Tls) {
        if when == Tls::Always {
            let Ok(stream) = self.tls.as_ref().unwrap().accept(stream).await else { return };
            self.session(BufReader::new(stream), true, false).await;
            return;
        }
        let offers = when == Tls::OnRequest;
        let Some(plain) = self.session(BufReader::new(stream), true, offers).await else { return };
        let acceptor = self.tls.as_ref().unwrap();
        let Ok(stream) = acceptor.accept(plain.into_inner()).await else { return };
        self.session(BufReader::new(stream), false, false).await;
    }

    /// Talks until the client leaves; gives the stream back when it asks for TLS.
    async fn session<S>(&self, mut stream: S, greets: bool, offers_tls: bool) -> Option<S>
    where
        S: AsyncBufRead + AsyncWrite + Unpin,
    {
        let mut letter = Letter { from: String::new(), to: Vec::new(), text: String::new() };
        if greets {
            stream.write_all(b"220 test\r\n").await.ok()?;
        }
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            self.commands.lock().unwrap().push(line.clone());
            let argument = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let reply = match line.split([' ', ':']).next().unwrap_or_default() {
                "EHLO" if offers_tls => "250-test\r\n250 STARTTLS",
                "EHLO" => "250-test\r\n250 AUTH PLAIN",
                "STARTTLS" => {
                    stream.write_all(b"220 go\r\n").await.ok()?;
                    return Some(stream);
                }
                "AUTH" => {
                    let given = line.rsplit(' ').next().unwrap_or_default();
                    let right = STANDARD.encode("\0robot\0right-password");
                    if given == right { "235 good" } else { "535 bad" }
                }
                "MAIL" => {
                    letter.from = argument;
                    "250 ok"
                }
                "RCPT" if argument.starts_with("refused@") => "550 no such user",
                "RCPT" if argument.starts_with("busy@") && self.asked(&argument) == 1 => {
                    "451 later"
                }
                "RCPT" => {
                    letter.to.push(argument);
                    "250 ok"
                }
                "DATA" => {
                    stream.write_all(b"354 go\r\n").await.ok()?;
                    letter.text = data(&mut stream).await?;
                    self.letters.lock().unwrap().push(letter.clone());
                    letter.to.clear();
                    "250 ok"
                }
                "QUIT" => {
                    stream.write_all(b"221 bye\r\n").await.ok()?;
                    return None;
                }
                _ => "250 ok",
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        }
    }

    /// How often a recipient was named.
    fn asked(&self, recipient: &str) -> usize {
        let line = format!("RCPT TO:<{recipient}>");
        self.commands.lock().unwrap().iter().filter(|command| **command == line).count()
    }
}

async fn data(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<String> {
    let mut text = String::new();
    loop {
        let start = text.len();
        stream.read_line(&mut text).await.ok()?;
        if &text[start..] == ".\r\n" {
            text.truncate(start);
            return Some(text);
        }
    }
}
