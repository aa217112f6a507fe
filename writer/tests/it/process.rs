//! The binary itself, on the database of a harness.

use std::{
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use shared::testing::TestClient;
use tokio::{net::TcpStream, time::sleep};

use crate::harness::Harness;

/// A command of the binary, with the harness's settings in its environment.
pub(crate) fn command(harness: &Harness, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign-writer"));
    command.args(arguments).stdin(Stdio::null()).env_clear().envs([
        ("COUNTERSIGN_STORAGE_URL", harness.database.url("countersign_writer").as_str()),
        ("COUNTERSIGN_USERID_HMAC_SECRET", "some-secret"),
        ("COUNTERSIGN_MULTIAUTH_POLICIES", "basicauth"),
        ("COUNTERSIGN_SIGNER_RESOURCES", "/buckets/work -> /buckets/preview -> /buckets/main"),
        ("COUNTERSIGN_SIGNER_TO_REVIEW_ENABLED", "true"),
        (
            "COUNTERSIGN_SIGNER_ECDSA_PRIVATE_KEY",
            harness.directory.join("private-key.pem").to_str().unwrap(),
        ),
        ("COUNTERSIGN_CHANGES_RESOURCES", "/buckets/main /buckets/preview"),
        ("COUNTERSIGN_LOG_LEVEL", "error"),
    ]);
    command
}

/// What a command ended with.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs a command to its end, with more in its environment.
pub(crate) fn run(harness: &Harness, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let output = command(harness, arguments).envs(environment.iter().copied()).output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs a command whose output nobody reads, as in `… | true`: its exit code, and what it complains of.
pub(crate) fn run_unread(mut command: Command) -> (i32, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// A writer in a process of its own, killed with its test.
pub(crate) struct Running {
    child: Child,
    pub(crate) client: TestClient,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Running {
    /// Starts it, and waits until it listens.
    pub(crate) async fn start(harness: &Harness, environment: &[(&str, &str)]) -> Self {
        let address = free_address();
        let child = command(harness, &["serve", "--listen", &address.to_string()])
            .envs(environment.iter().copied())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "it does not listen");
            sleep(Duration::from_millis(5)).await;
        }
        Self { child, client: TestClient::new(address) }
    }

    /// As `kill -9`.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
