//! A TCP proxy that misbehaves on command: delays, cuts, swallows, and limits what passes.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};

/// Bytes that are passed on at once.
const CHUNK: usize = 16 << 10;

/// What happens to connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fault {
    /// Each piece that the client sends is held back so long: a slow query, not a slow byte.
    pub delay: Duration,
    /// Connections are accepted, and nothing passes in either direction.
    pub is_hole: bool,
    /// New connections are closed at once.
    pub is_closed: bool,
    /// Most bytes a second to the client, in each connection; 0: as many as there are.
    pub bytes_per_second: u64,
    /// Connections that were opened before this was raised are cut.
    pub cuts: u64,
}

/// Where connections lead.
#[derive(Debug, Clone)]
pub enum Target {
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A running proxy; ends with the value, and its connections with it.
#[derive(Debug)]
pub struct Proxy {
    /// Where it listens, on the loopback.
    pub address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Listens on a port of the loopback; 0: on a free one.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn start(port: u16, target: Target) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let fault = Arc::new(watch::Sender::new(Fault::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, target, fault.clone()));
        Ok(Self { address, fault, _tasks: tasks })
    }

    /// Misbehaves so from now on, in connections that are open as well.
    pub fn set(&self, fault: Fault) {
        self.fault.send_modify(|now| *now = Fault { cuts: now.cuts, ..fault });
    }

    /// Passes everything on.
    pub fn heal(&self) {
        self.set(Fault::default());
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.fault.send_modify(|now| now.cuts += 1);
    }

    /// Does what a line says: `pass`, `delay MS`, `hole`, `close`, `limit BYTES`, `cut`.
    ///
    /// # Errors
    ///
    /// The line, when it says nothing of this.
    pub fn command(&self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        let (verb, number) = (words.next().unwrap_or_default(), words.next());
        let number = || number.and_then(|text| text.parse().ok()).ok_or_else(|| line.to_owned());
        match verb {
            "pass" => self.heal(),
            "delay" => {
                let delay = Duration::from_millis(number()?);
                self.set(Fault { delay, ..Fault::default() });
            }
            "hole" => self.set(Fault { is_hole: true, ..Fault::default() }),
            "close" => {
                self.set(Fault { is_closed: true, ..Fault::default() });
                self.cut();
            }
            "limit" => self.set(Fault { bytes_per_second: number()?, ..Fault::default() }),
            "cut" => self.cut(),
            _ => return Err(line.to_owned()),
        }
        Ok(())
    }
}

async fn accept(listener: TcpListener, target: Target, fault: Arc<watch::Sender<Fault>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Those that ended are forgotten.
        while connections.try_join_next().is_some() {}
        if !fault.borrow().is_closed {
            connections.spawn(connect(client, target.clone(), fault.subscribe()));
        }
    }
}

async fn connect(client: TcpStream, target: Target, fault: watch::Receiver<Fault>) {
    let _ = client.set_nodelay(true);
    let cuts = fault.borrow().cuts;
    let mut is_cut = fault.clone();
    let passing = async {
        match target {
            Target::Tcp(address) => {
                let server = TcpStream::connect(address).await?;
                server.set_nodelay(true)?;
                both(client, server, fault).await
            }
            Target::Unix(path) => both(client, UnixStream::connect(path).await?, fault).await,
        }
    };
    tokio::select! {
        _ = passing => {}
        _ = is_cut.wait_for(|fault| fault.cuts != cuts) => {}
    }
}

async fn both(
    client: TcpStream,
    server: impl AsyncRead + AsyncWrite,
    fault: watch::Receiver<Fault>,
) -> io::Result<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    // The end of one direction ends the connection, as it does for PostgreSQL.
    tokio::select! {
        ended = pass(from_client, to_server, fault.clone(), Fault::of_requests) => ended,
        ended = pass(from_server, to_client, fault, Fault::of_answers) => ended,
    }
}

impl Fault {
    fn of_requests(&self, _bytes: usize) -> Duration {
        self.delay
    }

    fn of_answers(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        (bytes * 1_000_000)
            .checked_div(self.bytes_per_second)
            .map_or(Duration::ZERO, Duration::from_micros)
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    pause: impl Fn(&Fault, usize) -> Duration,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    loop {
        let read = from.read(&mut chunk).await?;
        if read == 0 {
            return Ok(());
        }
        let start = Instant::now();
        // What was swallowed by a hole arrives when it is gone, as after a cut cable.
        let now = *fault.wait_for(|fault| !fault.is_hole).await.map_err(io::Error::other)?;
        sleep(pause(&now, read).saturating_sub(start.elapsed())).await;
        to.write_all(&chunk[..read]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets, behind a proxy, and a client of it.
    async fn echo() -> (Proxy, TcpStream) {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::Tcp(server.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = server.accept().await {
                let (mut from, mut to) = stream.into_split();
                tokio::spawn(async move { tokio::io::copy(&mut from, &mut to).await });
            }
        });
        let proxy = Proxy::start(0, target).await.unwrap();
        let client = TcpStream::connect(proxy.address).await.unwrap();
        (proxy, client)
    }

    async fn say(client: &mut TcpStream, bytes: &[u8]) -> io::Result<Duration> {
        let start = Instant::now();
        client.write_all(bytes).await?;
        let mut answer = vec![0; bytes.len()];
        client.read_exact(&mut answer).await?;
        assert_eq!(answer, bytes);
        Ok(start.elapsed())
    }

    #[tokio::test]
    async fn a_delay_and_a_limit_take_their_time() {
        let (proxy, mut client) = echo().await;
        assert!(say(&mut client, b"x").await.unwrap() < Duration::from_millis(100));

        proxy.command("delay 200").unwrap();
        assert!(say(&mut client, b"x").await.unwrap() >= Duration::from_millis(200));
        proxy.command("limit 10000").unwrap();
        assert!(say(&mut client, &[7; 3_000]).await.unwrap() >= Duration::from_millis(300));
        proxy.command("pass").unwrap();
        assert!(say(&mut client, b"x").await.unwrap() < Duration::from_millis(100));
        assert!(proxy.command("explode").is_err());
    }

    #[tokio::test]
    async fn a_hole_swallows_until_it_is_gone() {
        let (proxy, mut client) = echo().await;
        proxy.command("hole").unwrap();

        let mut late = TcpStream::connect(proxy.address).await.unwrap();
        let patience = Duration::from_millis(200);
        assert!(timeout(patience, say(&mut client, b"x")).await.is_err());
        assert!(timeout(patience, say(&mut late, b"y")).await.is_err());

        proxy.heal();
        let mut answer = [0];
        timeout(Duration::from_secs(2), late.read_exact(&mut answer)).await.unwrap().unwrap();
        assert_eq!(answer, *b"y");
    }

    #[tokio::test]
    async fn a_cut_ends_what_is_open_and_nothing_else() {
        let (proxy, mut client) = echo().await;
        say(&mut client, b"x").await.unwrap();

        proxy.cut();
        let ended = timeout(Duration::from_secs(2), say(&mut client, b"x")).await.unwrap();
        assert!(ended.is_err());
        let mut other = TcpStream::connect(proxy.address).await.unwrap();
        say(&mut other, b"x").await.unwrap();
    }
}
