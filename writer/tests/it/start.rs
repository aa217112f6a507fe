//! The binary itself, from its start on.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use shared::testing::{TestClient, TestDatabase};
use tokio::{net::TcpStream, time::sleep};

/// A process that ends with its test.
pub(crate) struct Running(Child);

impl Running {
    /// `countersign-writer serve`, once it listens. Its log goes to `log`.
    pub(crate) async fn serve(
        database: &TestDatabase,
        environment: &[(&str, &str)],
        log: &Path,
    ) -> (Self, TestClient) {
        let address = free_address();
        let log = std::fs::File::create(log).unwrap();
        let running = Self(
            Command::new(env!("CARGO_BIN_EXE_countersign-writer"))
                .args(["serve", "--listen", &address.to_string()])
                .env("COUNTERSIGN_STORAGE_URL", database.url("countersign_writer"))
                .envs(environment.iter().copied())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap(),
        );
        let started = Instant::now();
        while TcpStream::connect(address).await.is_err() {
            assert!(started.elapsed() < 10 * PATIENCE, "it does not listen");
            sleep(Duration::from_millis(5)).await;
        }
        (running, TestClient::new(address))
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// 200 ms are promised of a release build; a debug build on a busy machine gets ten times that.
const PATIENCE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn it_answers_soon_after_its_start() {
    let database = TestDatabase::create().await;
    let address = free_address();
    let started = Instant::now();

    let _running = Running(
        Command::new(env!("CARGO_BIN_EXE_countersign-writer"))
            .args(["serve", "--listen", &address.to_string()])
            .env("COUNTERSIGN_STORAGE_URL", database.url("countersign_writer"))
            .env("COUNTERSIGN_LOG_LEVEL", "error")
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    while TcpStream::connect(address).await.is_err() {
        assert!(started.elapsed() < PATIENCE, "it does not listen");
        sleep(Duration::from_millis(5)).await;
    }
    TestClient::new(address).get("/__lbheartbeat__").await.expect(200);

    let elapsed = started.elapsed();
    assert!(elapsed < PATIENCE, "{elapsed:?}");
    println!("answered after {elapsed:?}");
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
