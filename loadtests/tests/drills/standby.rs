//! Real standbys: followed, behind, promoted, restored from a backup, and in the way.

use std::{net::SocketAddr, time::Duration};

use loadtests::proxy::{Proxy, Target};
use tokio::time::sleep;

use crate::{
    fault,
    stack::{Reader, Stack, url_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_followed_and_one_that_lags_is_left_until_it_has_caught_up() {
    let stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&[]).await;
    let reader = stack.reader(&[&standby, &stack.primary], &[]).await;
    let watch = reader.watch();

    let first = stack.publish(1).await.unwrap();
    println!("through the standby after {:?}", reader.has(first).await);
    let heartbeat = reader.heartbeat().await.json;
    assert_eq!(heartbeat["database"]["address"], standby.host());
    assert_eq!(heartbeat["database"]["standby"], true);
    assert!((reader.metric("storage_standby").await - 1.0).abs() < f64::EPSILON);

    standby.run("select pg_wal_replay_pause()").await;
    let second = stack.publish(2).await.unwrap();
    let took = reader.has(second).await;
    println!("through the primary after {took:?}, as the standby has stopped replaying");
    assert_eq!(reader.heartbeat().await.json["database"]["address"], stack.primary.host());
    assert_ne!(reader.client.get("/buckets/main").await.status, 503, "requests follow");

    standby.run("select pg_wal_replay_resume()").await;
    reader
        .until("at the standby again", |got| got.json["database"]["address"] == standby.host())
        .await;
    let third = stack.publish(3).await.unwrap();
    reader.has(third).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lags_and_is_alone_serves_what_it_has_and_tells_its_lag() {
    let stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&["recovery_min_apply_delay=2s"]).await;
    let reader = stack.reader(&[&standby], &[]).await;
    let watch = reader.watch();

    // A standby that has replayed nothing since its start does not know its lag.
    let before = stack.publish(1).await.unwrap();
    reader.has(before).await;
    let timestamp = stack.publish(2).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(reader.timestamp().await, before);
    assert!(reader.metric("storage_replay_lag_seconds").await > 0.5);

    let took = reader.has(timestamp).await;
    assert!(took > Duration::from_millis(500), "{took:?}");
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_not_asked_of_servers_that_accept_and_say_nothing() {
    let stack = Stack::start(&[]).await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hosts = [mute.local_addr().unwrap().to_string(), stack.primary.host()];
    let url = url_of("countersign_reader", &hosts);
    let reader = Reader::start(&url, &stack, &[("database_reads.patience_ms", "500")]).await;

    reader.until("ready", |got| got.status == 200).await;
    for _ in 0..3 {
        assert_ne!(reader.client.get("/buckets/main").await.status, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_is_preferred_where_that_is_set() {
    let stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&[]).await;
    let hosts = [stack.primary.host(), standby.host()];
    let url = url_of("countersign_reader", &hosts) + "?target_session_attrs=prefer-standby";
    let reader = Reader::start(&url, &stack, &[]).await;

    reader.until("at the standby", |got| got.json["database"]["standby"] == true).await;
    drop(standby);
    reader
        .until("at the primary", |got| {
            got.json["storage"] == true && got.json["database"]["standby"] == false
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_accepts_and_says_nothing_is_not_asked_for_ever() {
    let stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&[]).await;
    let reader = stack.reader(&[&standby, &stack.primary], &[]).await;
    let watch = reader.watch();

    standby.pause();
    let timestamp = stack.publish(1).await.unwrap();
    println!("through the other after {:?}", reader.has(timestamp).await);
    assert_eq!(reader.heartbeat().await.json["database"]["address"], stack.primary.host());

    standby.resume();
    reader.until("back", |got| got.json["database"]["address"] == standby.host()).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_takes_over_for_writer_and_reader() {
    let mut stack = Stack::start(&[]).await;
    let standby = stack.primary.standby(&[]).await;
    stack.restart_writer(&standby).await;
    let reader = stack.reader(&[&stack.primary, &standby], &[]).await;
    let watch = reader.watch();
    let before = stack.publish(1).await.unwrap();
    reader.has(before).await;
    assert_eq!(reader.heartbeat().await.json["database"]["address"], stack.primary.host());

    stack.primary.stop();
    sleep(fault() / 4).await;
    standby.run("select pg_promote()").await;
    // What `docs/replicas.md` tells operators to do: the lost primary may have published more.
    standby.run("update publication_clock set last_modified = last_modified + 60000").await;
    let after = stack.publish_at_last(2).await;
    assert!(after >= before + 60_000, "{before}, then {after}");
    println!("through the promoted standby after {:?}", reader.has(after).await);
    let heartbeat = reader.heartbeat().await.json;
    assert_eq!(heartbeat["database"]["address"], standby.host());
    assert_eq!(heartbeat["database"]["standby"], false);
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_backup_is_refused() {
    let mut stack = Stack::start(&[]).await;
    let mut backup = stack.primary.backup(&[], &[]);
    let served = stack.publish(1).await.unwrap();
    let reader = stack.reader(&[&stack.primary, &backup], &[]).await;
    let watch = reader.watch();

    backup.start().await;
    stack.primary.stop();
    reader.until("older", |got| got.json["database_is_older"] == true).await;
    sleep(fault()).await;
    assert_eq!(reader.timestamp().await, served);

    stack.primary.start().await;
    let timestamp = stack.publish_at_last(2).await;
    reader.has(timestamp).await;
    reader.until("no older", |got| got.json["database_is_older"] == false).await;
    watch.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_a_standby_cancels_is_tried_again() {
    let stack = Stack::start(&["autovacuum=off"]).await;
    let standby =
        stack.primary.standby(&["max_standby_streaming_delay=0", "hot_standby_feedback=off"]).await;
    let server: SocketAddr = standby.host().parse().unwrap();
    let proxy = Proxy::start(0, Target::Tcp(server)).await.unwrap();
    let url = url_of("countersign_reader", &[proxy.address.to_string()]);
    let reader = Reader::start(&url, &stack, &[("watermark.recheck_interval_seconds", "1")]).await;
    reader.until("ready", |got| got.status == 200).await;
    let watch = reader.watch();

    // Each load takes a while, and meets the replay of a vacuum that removes what it could see.
    proxy.command("delay 100").unwrap();
    for number in 1..8 {
        let timestamp = stack.publish(number).await.unwrap();
        sleep(Duration::from_millis(250)).await;
        stack.primary.run("update record set data = data").await;
        stack.primary.run("vacuum record").await;
        reader.has(timestamp).await;
    }
    proxy.heal();
    let log = standby.log();
    let cancelled = log.matches("conflict with recovery").count();
    println!("the standby cancelled {cancelled} statements or sessions");
    assert!(cancelled > 0, "nothing was cancelled: {log}");
    watch.end().await;
}
