//! One database, and what happens to it or on the way to it.

use std::{
    fs,
    net::SocketAddr,
    process::Command,
    time::{Duration, Instant},
};

use loadtests::proxy::{Proxy, Target};
use tokio::time::sleep;

use crate::{
    cluster::{Cluster, Directory, give_to_server, is_root},
    fault,
    stack::{Reader, Stack, url_of},
};

/// A reader whose database is behind a proxy.
async fn behind_proxy(stack: &Stack) -> (Proxy, Reader) {
    let server: SocketAddr = stack.primary.host().parse().unwrap();
    let proxy = Proxy::start(0, Target::Tcp(server)).await.unwrap();
    let url = url_of("countersign_reader", &[proxy.address.to_string()]);
    let reader = Reader::start(&url, stack, &[]).await;
    reader.until("ready", |got| got.status == 200).await;
    (proxy, reader)
}

/// While the database is away: told, and the age rises.
async fn is_away(reader: &Reader) {
    reader.until("away", |got| got.status == 200 && got.json["storage"] == false).await;
    let before = reader.metric("snapshot_age_seconds").await;
    sleep(fault()).await;
    let after = reader.metric("snapshot_age_seconds").await;
    assert!(after >= before + fault().as_secs_f64() * 0.8, "the age: {before}, then {after}");
    assert!((reader.metric("storage_up").await - 0.0).abs() < f64::EPSILON);
}

/// The database is back: what is published arrives, and the heartbeat says so.
async fn recovers(stack: &Stack, reader: &Reader, number: usize) {
    let timestamp = stack.publish_at_last(number).await;
    let took = reader.has(timestamp).await;
    reader.until("back", |got| got.json["storage"] == true).await;
    println!("at the reader {took:?} after the approval");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_is_not_missed() {
    let mut stack = Stack::start(&[]).await;
    let reader = stack.reader(&[&stack.primary], &[]).await;
    let watch = reader.watch();

    stack.primary.stop();
    is_away(&reader).await;
    stack.primary.start().await;
    recovers(&stack, &reader, 1).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_paused_is_not_missed() {
    let stack = Stack::start(&[]).await;
    let reader = stack.reader(&[&stack.primary], &[]).await;
    let watch = reader.watch();

    stack.primary.pause();
    is_away(&reader).await;
    stack.primary.resume();
    recovers(&stack, &reader, 1).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_on_the_way_is_not_missed() {
    let stack = Stack::start(&[]).await;
    let (proxy, reader) = behind_proxy(&stack).await;
    let watch = reader.watch();

    proxy.command("hole").unwrap();
    is_away(&reader).await;
    proxy.heal();
    recovers(&stack, &reader, 1).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_makes_publications_late_and_polls_no_slower() {
    let stack = Stack::start(&[]).await;
    let (proxy, reader) = behind_proxy(&stack).await;
    let watch = reader.watch();

    proxy.command("delay 500").unwrap();
    let until = Instant::now() + fault();
    let mut number = 1;
    while Instant::now() < until || number < 2 {
        let timestamp = stack.publish(number).await.unwrap();
        let took = reader.has(timestamp).await;
        assert!(took >= Duration::from_millis(500), "the proxy delays nothing");
        number += 1;
    }
    assert_eq!(reader.heartbeat().await.json["storage"], true, "slow is not away");
    proxy.heal();
    recovers(&stack, &reader, number).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_stop_no_publication() {
    let stack = Stack::start(&[]).await;
    let reader = stack.reader(&[&stack.primary], &[]).await;
    let watch = reader.watch();
    let until = Instant::now() + fault() * 2;
    let (mut number, mut cut) = (1, 0);
    let mut cut_at = Instant::now();

    while Instant::now() < until {
        if cut_at.elapsed() >= Duration::from_secs(2).min(fault() / 2) {
            cut += cut_all(&stack.primary).await;
            cut_at = Instant::now();
        }
        let timestamp = stack.publish_at_last(number).await;
        reader.has(timestamp).await;
        number += 1;
    }
    assert!(cut > 0, "the reader's connection was never cut");
    println!("{number} publications, the reader's connection was cut {cut} times");
    watch.end().await;
}

/// Cuts every connection; how many of them were a reader's.
async fn cut_all(primary: &Cluster) -> i64 {
    const SQL: &str = "
        select count(*) filter (where usename = 'countersign_reader' and pg_terminate_backend(pid)),
               count(*) filter (where usename <> 'countersign_reader' and pg_terminate_backend(pid))
        from pg_stat_activity
        where pid <> pg_backend_pid() and backend_type = 'client backend'";

    primary.connect("drill").await.query_one(SQL, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_primary_publishes_nothing_by_half() {
    let Some(mount) = Mount::new(160) else {
        eprintln!("skipped: a file system of bounded size needs root, and mount");
        return;
    };
    let small = ["max_wal_size=32MB", "min_wal_size=32MB", "wal_recycle=off"];
    let cluster = Cluster::create_in(Directory(mount.0.clone()), &small).await;
    let mut stack = Stack::over(cluster).await;
    let reader = stack.reader(&[&stack.primary], &[]).await;
    let watch = reader.watch();

    let ballast = mount.0.join("ballast");
    // As large as there is room, as `dd` ends with an error at the end.
    let _ = Command::new("dd")
        .args(["if=/dev/zero", "bs=64k", &format!("of={}", ballast.display())])
        .stderr(std::process::Stdio::null())
        .status();
    let mut refused = 0;
    let (until, last) =
        (Instant::now() + fault() * 3, Instant::now() + fault() * 3 + Duration::from_secs(15));
    let mut number = 1;
    // The segment of the log that is open has room for some.
    let is_over = |refused| Instant::now() > if refused == 0 { last } else { until };
    while !is_over(refused) && !stack.primary.has_ended() {
        refused += usize::from(stack.publish(number).await.is_err());
        number += 1;
        sleep(Duration::from_millis(20)).await;
    }
    fs::remove_file(&ballast).unwrap();
    assert!(refused > 0, "the disk was never full");
    println!("{number} publications, {refused} of them refused");
    if stack.primary.has_ended() {
        stack.primary.start().await;
    }
    recovers(&stack, &reader, number).await;
    watch.end().await;
}

/// A file system in memory, of so many MiB; unmounted with the value.
pub(crate) struct Mount(pub(crate) std::path::PathBuf);

impl Mount {
    pub(crate) fn new(megabytes: u32) -> Option<Self> {
        if !is_root() {
            return None;
        }
        let directory = Directory::new("small");
        let path = directory.0.clone();
        // The mount needs it until its own end.
        std::mem::forget(directory);
        let size = format!("size={megabytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "countersign-drill"])
            .arg(&path)
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            let _ = fs::remove_dir(&path);
            return None;
        }
        give_to_server(&path);
        Some(Self(path))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}
