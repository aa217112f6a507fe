//! Clients on a slow network: each reads a few bytes at a time, and the server has to wait.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::sleep,
};

use super::server::Server;

/// Between two reads.
const PAUSE: Duration = Duration::from_millis(100);
/// Reads in a second.
const READS: u32 = 10;
/// The kernel must not read for the client: the smallest buffer that it grants.
const BUFFER: u32 = 2_304;

/// Slow clients, until they are stopped.
#[derive(Debug)]
pub(crate) struct SlowClients {
    tasks: JoinSet<()>,
    seen: Arc<Seen>,
    count: u32,
}

/// What they saw.
#[derive(Debug, Default)]
struct Seen {
    is_over: AtomicBool,
    bytes: AtomicU64,
    answers: AtomicU64,
    cut: AtomicU64,
}

impl SlowClients {
    /// So many, who ask for `path` again and again, plain, on a new connection each time.
    pub(crate) fn start(server: &Arc<Server>, path: &str, count: u32, per_second: u32) -> Self {
        let seen: Arc<Seen> = Arc::default();
        let mut tasks = JoinSet::new();
        let chunk = usize::try_from(per_second.div_ceil(READS)).unwrap_or(1);
        let head = format!(
            "GET {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            server.prefix, server.address
        );
        for _ in 0..count {
            let (server, seen, head) = (Arc::clone(server), Arc::clone(&seen), head.clone());
            tasks.spawn(async move {
                while !seen.is_over.load(Ordering::Relaxed) {
                    if ask(&server, &head, chunk, &seen).await.is_err() {
                        // The server may refuse to wait any longer; so we come again.
                        seen.cut.fetch_add(1, Ordering::Relaxed);
                        sleep(PAUSE).await;
                    }
                }
            });
        }
        Self { tasks, seen, count }
    }

    /// Stops them, and tells what they saw.
    pub(crate) async fn stop(mut self) -> String {
        self.seen.is_over.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
        let Seen { bytes, answers, cut, .. } = &*self.seen;
        format!(
            "{} slow clients read {} bytes and {} whole answers; {} of their connections were cut",
            self.count,
            count(bytes),
            count(answers),
            count(cut)
        )
    }
}

async fn ask(server: &Server, head: &str, chunk: usize, seen: &Seen) -> io::Result<()> {
    let socket = if server.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_recv_buffer_size(BUFFER)?;
    let mut stream: TcpStream = socket.connect(server.address).await?;
    stream.write_all(head.as_bytes()).await?;
    let mut buffer = vec![0; chunk];
    while !seen.is_over.load(Ordering::Relaxed) {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            seen.answers.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        seen.bytes.fetch_add(count as u64, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
    Ok(())
}
