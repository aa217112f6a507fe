//! A reader in a process of its own.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::StatusCode;
use tokio::time::sleep;

use crate::fixture::Reader;

const BINARY: &str = env!("CARGO_BIN_EXE_countersign-reader");

/// A reader that can be killed. It ends with the value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

/// The memory of a process, in MiB.
pub(crate) fn resident(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1_024.0
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts one with the settings in `reader.toml` of a directory.
    pub(crate) fn start(directory: &Path, url: &str) -> Self {
        Self::under(&["env"], directory, url)
    }

    /// The same with so many files open at most.
    pub(crate) fn limited(directory: &Path, url: &str, files: u32) -> Self {
        let limit = format!("--nofile={files}:{files}");
        Self::under(&["prlimit", &limit, "--"], directory, url)
    }

    /// The same, started by a command that becomes it, as `taskset -c 0`.
    pub(crate) fn under(command: &[&str], directory: &Path, url: &str) -> Self {
        let log = fs::File::create(directory.join("log")).unwrap();
        let mut started = Command::new(command[0]);
        started.args(&command[1..]).arg(BINARY);
        Self::run(started, directory, url, log.into())
    }

    /// The same with a log that nobody reads.
    pub(crate) fn unread(directory: &Path, url: &str) -> Self {
        Self::run(Command::new(BINARY), directory, url, Stdio::piped())
    }

    fn run(mut command: Command, directory: &Path, url: &str, log: Stdio) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = command
            .args(["serve", "--config"])
            .arg(directory.join("reader.toml"))
            .env("COUNTERSIGN_LISTEN", address.to_string())
            .env("COUNTERSIGN_STORAGE_URL", url)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, address, log: directory.join("log") }
    }

    /// As `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &process]).status().unwrap().success());
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens.
    pub(crate) async fn listening(&self) -> Reader {
        for _ in 0..1_000 {
            if tokio::net::TcpStream::connect(self.address).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        Reader::at(self.address)
    }

    /// Waits until it has something to serve.
    pub(crate) async fn ready(&self) -> Reader {
        let reader = self.listening().await;
        reader.until("/v1/__heartbeat__", |got| got.status == StatusCode::OK).await;
        reader
    }
}
