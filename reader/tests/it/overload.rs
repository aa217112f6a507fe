//! What takes long is refused before others wait for it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{future::join_all, poll};
use http::StatusCode;
use reader::{
    answer::Accepted,
    budget::Budget,
    cache::{Deltas, Filtered, Preparing},
    gate::{Bounds, Gate},
};
use serde_json::{Value, json};
use shared::{model::Timestamp, wire::ChangesetQuery};

use crate::fixture::{Database, Reader, changeset, monitor};

const OFF: (&str, &str) = ("signature.verify", "off");
const T: i64 = 1_700_000_000_000;

async fn filled() -> Database {
    let database = Database::create().await;
    for row in 0..200 {
        let title = format!("{row} {}", "countersign".repeat(20));
        database.record("cfr", &format!("r{row}"), T + row, &json!({ "title": title })).await;
    }
    for (id, stamp) in [("cfr", T + 200), ("b", T + 210), ("c", T + 220), ("d", T + 230)] {
        database.collection(id, stamp, &json!({}), stamp).await;
    }
    database.publish(T + 230).await;
    database
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_database_refuses_most_at_once_and_delays_no_poll() {
    let database = filled().await;
    let settings = [
        OFF,
        ("database_reads.at_once", "1"),
        ("database_reads.patience_ms", "3000"),
        // The follower must not be stuck as well.
        ("watermark.recheck_interval_seconds", "3600"),
    ];
    let reader = Arc::new(Reader::of(&database, &settings).await);
    database.run("begin; lock table ace in access exclusive mode").await;
    let asks = (0..120).map(|number| {
        let reader = reader.clone();
        tokio::spawn(async move {
            let begun = Instant::now();
            let got = reader.get(&format!("/v1/buckets/other{number}")).await;
            assert_eq!(got.status, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(got.header("retry-after"), Some("30"));
            begun.elapsed()
        })
    });
    let asks: Vec<_> = asks.collect();
    let begun = Instant::now();
    let poll = reader.get(&changeset("cfr", "_expected=0")).await;
    assert_eq!((poll.status, begun.elapsed() < Duration::from_secs(1)), (StatusCode::OK, true));

    let waits: Vec<Duration> = join_all(asks).await.into_iter().map(|wait| wait.unwrap()).collect();

    let quick = waits.iter().filter(|wait| **wait < Duration::from_secs(2)).count();
    assert!(quick >= 80, "{quick} of 120 were refused at once");
    assert!(waits.iter().all(|wait| *wait < Duration::from_secs(5)), "{waits:?}");
    let metrics = String::from_utf8(reader.get("/__metrics__").await.body.to_vec()).unwrap();
    let line = metrics.lines().find_map(|l| l.strip_prefix("countersign_requests_shed_total "));
    assert!(line.unwrap().parse::<usize>().unwrap() >= 80, "{line:?}");
    database.run("rollback").await;
    let found = reader.until("/v1/buckets/main", |got| got.status == StatusCode::OK).await;
    assert_eq!(found.json()["data"]["id"], "main");
}

/// A gate through which nobody gets.
fn shut(reader: &Reader) -> Preparing {
    let none = Bounds { places: 0, seats: 0, patience: Duration::ZERO };
    let app = reader.app();
    Preparing { gate: Gate::new(none, app.metrics.refused.clone()), budget: app.budget }
}

#[tokio::test]
async fn what_would_have_to_be_prepared_is_refused_and_what_is_there_is_not() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let app = reader.app();
    let metrics = &app.metrics;
    let (hits, misses) = (metrics.delta_hits.clone(), metrics.delta_misses.clone());
    let deltas = Deltas::new(1 << 20, shut(&reader), hits, misses);
    let filtered = Filtered::new(shut(&reader));
    let published = app.board.published().unwrap();
    let cfr = published.get("main", "cfr").unwrap().good.clone().unwrap();
    let accepted = Accepted::parse(std::iter::once(&b"gzip"[..]));
    let delta = cfr.list.part(Some(Timestamp::from_millis(T + 50)), None);
    let of = |bucket: &str| ChangesetQuery {
        bucket: Some(bucket.to_owned()),
        ..ChangesetQuery::default()
    };

    assert!(deltas.form(&cfr, delta, accepted).await.is_err());
    assert!(deltas.form(&cfr, cfr.list.part(None, None), accepted).await.is_ok());
    assert!(filtered.form(&published, &of("main")).await.is_err());
    assert!(filtered.form(&published, &of("nobody-has-it")).await.is_ok(), "costs nothing");
    assert_eq!(metrics.refused.get(), 2);
}

/// Many may wait, for all of whom together there is no memory.
#[tokio::test]
async fn who_waits_for_a_place_takes_no_memory_yet() {
    let reader = Reader::of(&filled().await, &[OFF]).await;
    let app = reader.app();
    let (hits, misses) = (app.metrics.delta_hits.clone(), app.metrics.delta_misses.clone());
    let bounds = Bounds { places: 1, seats: 64, patience: Duration::from_mins(1) };
    let gate = Gate::new(bounds, app.metrics.refused.clone());
    let budget = Budget::new(0, 1 << 20, app.metrics.refused.clone());
    let preparing = Preparing { gate: gate.clone(), budget: budget.clone() };
    let deltas = Deltas::new(1 << 20, preparing.clone(), hits, misses);
    let filtered = Filtered::new(preparing);
    let published = app.board.published().unwrap();
    let cfr = published.get("main", "cfr").unwrap().good.clone().unwrap();
    let accepted = Accepted::parse(std::iter::once(&b"gzip"[..]));
    let query = ChangesetQuery { bucket: Some("main".to_owned()), ..ChangesetQuery::default() };
    let inside = gate.enter().await.unwrap();

    let asked = (0..40).map(|row| {
        let part = cfr.list.part(Some(Timestamp::from_millis(T + row)), None);
        deltas.form(&cfr, part, accepted)
    });
    let mut deltas = Box::pin(join_all(asked));
    let mut filtered = Box::pin(filtered.form(&published, &query));
    assert!(poll!(&mut deltas).is_pending() && poll!(&mut filtered).is_pending());
    assert_eq!(budget.used(), 0);

    drop(inside);
    assert!(deltas.await.iter().all(Result::is_ok) && filtered.await.is_ok());
    assert!(budget.used() > 0, "what is kept counts");
}

/// What is asked of the monitor.
type Asked = (Option<i64>, Option<usize>, Option<&'static str>, Option<&'static str>);

fn questions() -> Vec<Asked> {
    let names =
        [(Some("main"), None), (None, Some("b")), (Some("main"), Some("c")), (Some("x"), None)];
    let limits = [None, Some(1), Some(2), Some(3), Some(1_000_000)];
    let since = [None, Some(T), Some(T + 200), Some(T + 210), Some(T + 500)];
    let pairs = since.into_iter().flat_map(|since| limits.map(|limit| (since, limit)));
    let all = pairs.flat_map(|(since, limit)| names.map(|(b, c)| (since, limit, b, c)));
    all.collect()
}

fn spelled((since, limit, bucket, collection): Asked) -> String {
    let pairs = [
        ("_since", since.map(|since| since.to_string())),
        ("_limit", limit.map(|limit| limit.to_string())),
        ("bucket", bucket.map(str::to_owned)),
        ("collection", collection.map(str::to_owned)),
    ];
    let sent = pairs.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", value?)));
    format!("_expected=0{}", sent.collect::<String>())
}

/// What one of them has prepared must not be another's answer.
#[tokio::test]
async fn a_part_of_the_monitor_is_what_was_asked_for() {
    let reader = Reader::of(&filled().await, &[OFF, ("changes.since_max_age_days", "-1")]).await;
    let whole = reader.get(&monitor("_expected=0")).await.json();
    let all = whole["changes"].as_array().unwrap();
    for asked in [questions(), questions()].concat() {
        let (since, limit, bucket, collection) = asked;
        let expected: Vec<&Value> = all
            .iter()
            .filter(|one| bucket.is_none_or(|bucket| one["bucket"] == bucket))
            .filter(|one| collection.is_none_or(|id| one["collection"] == id))
            .filter(|one| since.is_none_or(|since| one["last_modified"].as_i64() > Some(since)))
            .take(limit.unwrap_or(usize::MAX))
            .collect();

        let got = reader.get(&monitor(&spelled(asked))).await.json();

        assert_eq!(got["changes"], json!(expected), "{asked:?}");
        assert_eq!(got["timestamp"], whole["timestamp"], "{asked:?}");
    }
}
