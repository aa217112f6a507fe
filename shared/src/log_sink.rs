//! Log lines on their way to standard output, which may be a pipe that nobody empties.
//!
//! A thread of its own writes them. Who has something to tell never waits: when too many lines are
//! waiting, further ones are dropped and counted.

use std::{
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Most lines that wait.
const MAX_LINES: usize = 8 * 1024;
/// How long [`flush`] waits.
const PATIENCE: Duration = Duration::from_secs(1);

static LINES: OnceLock<SyncSender<Message>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Message {
    Line(Vec<u8>),
    Flush(SyncSender<()>),
}

/// Where `tracing` writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sink;

/// One event.
pub(crate) struct Line(Vec<u8>);

/// How many lines were dropped.
pub(crate) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Waits until all lines so far are written, for a second at most: before the process ends.
pub(crate) fn flush() {
    let (done, written) = sync_channel(1);
    if lines().try_send(Message::Flush(done)).is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}

fn lines() -> &'static SyncSender<Message> {
    LINES.get_or_init(|| {
        let (sender, receiver) = sync_channel(MAX_LINES);
        // Without the thread, the channel is closed, and every line is dropped.
        let _ = thread::Builder::new().name("log".to_owned()).spawn(move || write(&receiver));
        sender
    })
}

fn write(lines: &Receiver<Message>) {
    for message in lines {
        match message {
            Message::Line(line) => {
                // Whom could one tell?
                let _ = io::stdout().write_all(&line);
            }
            Message::Flush(done) => {
                let _ = io::stdout().flush();
                let _ = done.try_send(());
            }
        }
    }
}

impl MakeWriter<'_> for Sink {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::with_capacity(256))
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let line = Message::Line(std::mem::take(&mut self.0));
        if lines().try_send(line).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}
