//! Private PostgreSQL servers, on the loopback: primaries, standbys, and what happens to them.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

const OWNER: &str = "countersign_owner";
/// The server's user, as PostgreSQL refuses to run as root.
const SERVER_USER: &str = "postgres";

/// A directory that is deleted with the value.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let unique = format!("countersign-drill-{}-{}-{name}", std::process::id(), free_port());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).unwrap();
        give_to_server(&path);
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// One server.
pub(crate) struct Cluster {
    pub(crate) port: u16,
    directory: Directory,
    settings: Vec<String>,
    child: Option<Child>,
}

impl Cluster {
    /// An empty server with the empty database `drill`, which listens.
    pub(crate) async fn create(settings: &[&str]) -> Self {
        Self::create_in(Directory::new("primary"), settings).await
    }

    /// As [`Cluster::create`], in a directory that is there.
    pub(crate) async fn create_in(directory: Directory, settings: &[&str]) -> Self {
        let mut cluster = Self::unstarted(directory, settings);
        let arguments = ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
        let mut initdb = cluster.command("initdb");
        run(initdb.arg("-D").arg(cluster.data()).args(arguments).arg(format!("-U{OWNER}")));
        cluster.start().await;
        let postgres = cluster.connect("postgres").await;
        postgres.batch_execute("create database drill").await.unwrap();
        cluster
    }

    /// A standby that follows this server from now on.
    pub(crate) async fn standby(&self, settings: &[&str]) -> Self {
        let mut standby = self.backup(settings, &["-R"]);
        standby.start().await;
        standby
    }

    /// A copy as it is now, which is not started: a backup, or a standby with `-R`.
    pub(crate) fn backup(&self, settings: &[&str], options: &[&str]) -> Self {
        let copy = Self::unstarted(Directory::new("copy"), settings);
        let port = self.port.to_string();
        let from = ["-h", "127.0.0.1", "-p", &port, "-U", OWNER];
        let how = ["-X", "stream", "--checkpoint=fast", "--no-sync"];
        run(self
            .command("pg_basebackup")
            .arg("-D")
            .arg(copy.data())
            .args(from)
            .args(how)
            .args(options));
        copy
    }

    fn unstarted(directory: Directory, settings: &[&str]) -> Self {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { port: free_port(), directory, settings, child: None }
    }

    fn data(&self) -> PathBuf {
        self.directory.0.join("data")
    }

    /// A program of PostgreSQL's, run as the server's user; it ends with the test.
    fn command(&self, program: &str) -> Command {
        let program = bindir().join(program);
        let mut command = Command::new("setpriv");
        command.arg("--pdeathsig=QUIT");
        if is_root() {
            command.args([
                &format!("--reuid={SERVER_USER}"),
                &format!("--regid={SERVER_USER}"),
                "--init-groups",
            ]);
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap();
        command.arg("--").arg(program).current_dir("/").env("TZ", "UTC");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    fn log_path(&self) -> PathBuf {
        self.directory.0.join("log")
    }

    /// The end of the server's log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    pub(crate) async fn start(&mut self) {
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-k").arg(&self.directory.0);
        let port = format!("port={}", self.port);
        let common = ["listen_addresses=127.0.0.1", &port, "fsync=off", "max_connections=60"];
        let own = self.settings.iter().map(String::as_str);
        for setting in common.into_iter().chain(own) {
            server.arg("-c").arg(setting);
        }
        self.child = Some(server.spawn().unwrap());
        for _ in 0..600 {
            if tokio_postgres::connect(&self.owner_url("postgres"), NoTls).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("PostgreSQL did not start: {}", self.log());
    }

    /// Ends the server at once, as a crash does.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            signal("QUIT", &[child.id()]);
            let _ = child.wait();
        }
    }

    /// Whether the server ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// Stops every process of the server in its tracks: it accepts, and says nothing.
    pub(crate) fn pause(&self) {
        signal("STOP", &self.processes());
    }

    pub(crate) fn resume(&self) {
        signal("CONT", &self.processes());
    }

    fn processes(&self) -> Vec<u32> {
        let Some(postmaster) = self.child.as_ref().map(Child::id) else { return Vec::new() };
        let others = fs::read_dir("/proc").unwrap().filter_map(|entry| {
            let process: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
            let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
            (parent.trim().parse() == Ok(postmaster)).then_some(process)
        });
        others.chain([postmaster]).collect()
    }

    pub(crate) fn owner_url(&self, database: &str) -> String {
        format!("postgresql://{OWNER}@{}/{database}", self.host())
    }

    /// `host:port`
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) async fn connect(&self, database: &str) -> Client {
        let (client, connection) =
            tokio_postgres::connect(&self.owner_url(database), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// Runs SQL as the owner.
    pub(crate) async fn run(&self, sql: &str) {
        self.connect("drill").await.batch_execute(sql).await.unwrap();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A stopped process would not hear of anything else.
        self.resume();
        self.stop();
    }
}

fn signal(name: &str, processes: &[u32]) {
    let list: Vec<String> = processes.iter().map(u32::to_string).collect();
    let script = format!("kill -{name} {}", list.join(" "));
    // One of them may have ended by now.
    let _ = Command::new("sh").arg("-c").arg(script).stderr(Stdio::null()).status();
}

fn run(command: &mut Command) {
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}

pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Where root runs the drill, the server is another user.
pub(crate) fn give_to_server(path: &Path) {
    if is_root() {
        let users = fs::read_to_string("/etc/passwd").unwrap();
        let user = users.lines().find(|line| line.starts_with(&format!("{SERVER_USER}:"))).unwrap();
        let numbers: Vec<u32> =
            user.split(':').skip(2).take(2).map(|number| number.parse().unwrap()).collect();
        chown(path, Some(numbers[0]), Some(numbers[1])).unwrap();
    }
}

/// The binaries of the newest PostgreSQL, as `deploy/dev/install.sh` finds them.
#[expect(clippy::disallowed_methods, reason = "PG_BINDIR names the server of the test run")]
fn bindir() -> PathBuf {
    if let Ok(directory) = std::env::var("PG_BINDIR") {
        return directory.into();
    }
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| {
            let version: u32 = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .max();
    newest.map_or_else(
        || {
            let told = Command::new("pg_config").arg("--bindir").output().unwrap();
            String::from_utf8(told.stdout).unwrap().trim().into()
        },
        |(_, directory)| directory,
    )
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
