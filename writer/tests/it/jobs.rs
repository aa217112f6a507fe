//! Jobs as an operator runs them: commands, with their exit codes (`remote-settings.md` §7).

use std::time::Duration;

use serde_json::{Value, json};
use shared::model::Timestamp;
use writer::jobs::{Job, scheduler};

use crate::{
    harness::{Harness, SOURCE, ids, user_id},
    process::{Running, command, run, run_unread},
};

const MAIN: &str = "/buckets/main/collections/c";

/// The timestamps of records and metadata of what clients read.
async fn versions(harness: &Harness, collection: &str) -> (Value, Value) {
    let path = format!("{collection}/changeset?_expected=0");
    let body = harness.anonymous.get(&path).await.expect(200).json;
    (body["timestamp"].clone(), body["metadata"]["last_modified"].clone())
}

#[tokio::test]
async fn signatures_are_refreshed_when_they_are_old_or_when_asked_for() {
    let harness = Harness::with_source().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 1})).await.expect(201);
    harness.publish().await;
    harness.alice.put(&format!("{SOURCE}/records/r"), json!({"n": 2})).await.expect(200);
    let before = versions(&harness, MAIN).await;

    let young = run(&harness, &["refresh-signatures"], &[]);
    assert_eq!((young.code, young.stdout.as_str()), (0, "refresh-signatures: 0 done, 0 failed\n"));
    let dry = run(&harness, &["refresh-signatures", "--force", "--dry-run"], &[]);
    assert_eq!(dry.stdout.lines().next(), Some(format!("{MAIN}: would be signed again").as_str()));
    assert_eq!(versions(&harness, MAIN).await, before);

    let old = run(&harness, &["refresh-signatures"], &[("MAX_SIGNATURE_AGE", "0")]);

    assert_eq!((old.code, old.stderr.as_str()), (0, ""));
    assert!(old.stdout.starts_with(&format!("{MAIN}: signed again\n")), "{}", old.stdout);
    let after = versions(&harness, MAIN).await;
    assert_eq!(after.0, before.0, "records are untouched");
    assert_ne!(after.1, before.1, "and the signature is new");
    let source = harness.alice.get(SOURCE).await.json;
    assert_eq!(source["data"]["status"], "work-in-progress", "what waits goes on waiting");
    assert_eq!(source["data"]["last_signature_by"], "plugin:remote-settings");
    let record = harness.anonymous.get(&format!("{MAIN}/records/r")).await.json;
    assert_eq!(record["data"]["n"], 1, "nothing unreviewed is published");
}

#[tokio::test]
async fn one_collection_that_fails_does_not_stop_the_others() {
    let harness = Harness::with_source().await;
    harness.alice.put("/buckets/work/collections/d", json!({})).await.expect(201);
    harness.alice.delete(SOURCE).await.expect(200);

    let ended = run(&harness, &["refresh-signatures", "--force"], &[]);

    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("/buckets/main/collections/d: signed again"), "{}", ended.stdout);
    assert!(ended.stdout.contains("1 done, 1 failed"), "{}", ended.stdout);
    let told = format!("1 failed:\n  - {MAIN}: {SOURCE} is gone");
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);
}

#[tokio::test]
async fn a_job_whose_output_nobody_reads_is_done_all_the_same() {
    let harness = Harness::with_source().await;
    harness.publish().await;
    harness.alice.put("/buckets/work/collections/d", json!({})).await.expect(201);
    let collections = [MAIN, "/buckets/main/collections/d"];
    let before = [versions(&harness, MAIN).await, versions(&harness, collections[1]).await];

    let unread = run_unread(command(&harness, &["refresh-signatures", "--force"]));

    assert_eq!(unread, (0, String::new()));
    for (collection, before) in collections.iter().zip(before) {
        assert_ne!(versions(&harness, collection).await.1, before.1, "{collection}");
    }
}

#[tokio::test]
async fn a_job_runs_once_at_a_time_on_all_hosts() {
    let harness = Harness::with_source().await;
    let before = versions(&harness, MAIN).await;
    let other = harness.database.owner().await;
    let lock = "select pg_advisory_lock(hashtextextended('countersign refresh-signatures', 0))";
    other.batch_execute(lock).await.unwrap();

    let second = run(&harness, &["refresh-signatures", "--force"], &[]);
    assert_eq!(second.code, 0);
    let told = "refresh-signatures: another process runs it; nothing was done\n";
    assert_eq!(second.stdout, told);
    assert_eq!(versions(&harness, MAIN).await, before);
    let another = run(&harness, &["purge-tombstones"], &[]);
    assert!(another.stdout.contains("0 done"), "other jobs have locks of their own");

    drop(other);
    let mut tries = 0;
    while versions(&harness, MAIN).await == before {
        tries += 1;
        assert!(tries < 50, "the lock ends with its session");
        run(&harness, &["refresh-signatures", "--force"], &[]);
    }
}

#[tokio::test]
async fn d25_old_tombstones_go_and_who_knows_less_fetches_all() {
    let harness = Harness::with_source().await;
    for id in ["kept", "old", "young"] {
        harness.alice.put(&format!("{SOURCE}/records/{id}"), json!({})).await.expect(201);
    }
    harness.publish().await;
    for id in ["old", "young"] {
        harness.alice.delete(&format!("{SOURCE}/records/{id}")).await.expect(200);
    }
    harness.publish().await;
    let owner = harness.database.owner().await;
    let age =
        "update record set last_modified = 1500000000000 where bucket_id = 'main' and id = 'old'";
    owner.batch_execute(age).await.unwrap();
    let since = |since: i64| format!("{MAIN}/changeset?_expected=1&_since={since}");

    let dry = run(&harness, &["purge-tombstones"], &[("DRY_RUN", "1")]);
    assert!(dry.stdout.contains("1 tombstones would go"), "{}", dry.stdout);
    harness.anonymous.get(&since(1)).await.expect(200);
    let cache = [
        ("COUNTERSIGN_PURGE_CACHES", "edge"),
        ("COUNTERSIGN_PURGE_EDGE_KIND", "varnish"),
        ("COUNTERSIGN_PURGE_EDGE_URLS", "https://cache.example"),
    ];
    let first = run(&harness, &["purge-tombstones"], &cache);
    let second = run(&harness, &["purge-tombstones"], &[]);

    assert!(first.stdout.contains(&format!("{MAIN}/records: 1 tombstones deleted")));
    assert_eq!(second.stdout, "purge-tombstones: 0 done, 0 failed\n");
    let redirect = harness.anonymous.get(&since(1_499_999_999_999)).await.expect(307);
    assert_eq!(redirect.header("location"), format!("/v1{MAIN}/changeset?_expected=1"));
    assert_eq!(redirect.header("cache-control"), "max-age=86400");
    let delta = harness.anonymous.get(&since(1_500_000_000_000)).await.expect(200).json;
    let changed: Vec<_> = delta["changes"].as_array().unwrap().iter().map(|c| &c["id"]).collect();
    assert_eq!(changed, ["young", "kept"]);
    let kept = harness.alice.get(&format!("{SOURCE}/records?_since=0")).await.json;
    assert_eq!(ids(&kept).len(), 3, "workspaces keep theirs");
    // Caches are told, now and once more.
    let purges = owner.query("select payload ->> 'keys' from outbox", &[]).await.unwrap();
    let purges: Vec<String> = purges.iter().map(|row| row.get(0)).collect();
    assert_eq!(purges, [r#"["main/c", "monitor/changes"]"#; 2]);
    harness.check_live_counts().await;
}

#[tokio::test]
async fn old_entries_of_some_users_leave_the_history() {
    let history = ("includes", "kinto.plugins.history");
    let harness = Harness::with(&[history]).await;
    harness.alice.put("/buckets/b", json!({})).await.expect(201);
    for n in 0..3 {
        harness.alice.put(&format!("/buckets/b/groups/g{n}"), json!({"members": []})).await;
        harness.bob.get("/").await;
    }
    let owner = harness.database.owner().await;
    let age = "update history set last_modified = last_modified - 1500000000000
               where data ->> 'uri' like '%/g_' and data ->> 'uri' not like '%g2'";
    assert_eq!(owner.execute(age, &[]).await.unwrap(), 2);
    let alice = user_id(&harness.alice).await;
    let entries = async || ids(&harness.alice.get("/buckets/b/history").await.json).len();

    let others = run(&harness, &["purge-history"], &[("BUCKETS", "b")]);
    assert_eq!((others.code, entries().await), (0, 4), "nobody named did anything");
    let environment = [("BUCKETS", "x, b"), ("USER_IDS", alice.as_str()), ("MAX_AGE_DAYS", "365")];
    let dry = run(&harness, &["purge-history", "--dry-run"], &environment);
    assert!(dry.stdout.contains("2 entries would go"), "{}", dry.stdout);
    let ended = run(&harness, &["purge-history"], &environment);

    assert_eq!(ended.code, 0);
    let line = format!("history of b by {alice}: 2 entries deleted");
    assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    let line = format!("history of x by {alice}: 0 entries deleted");
    assert!(ended.stdout.contains(&line), "{}", ended.stdout);
    assert_eq!(entries().await, 2);
    let clocks =
        "select distinct bucket_id from resource_timestamp where resource_name = 'history'";
    let clocks = owner.query(clocks, &[]).await.unwrap();
    let clocks: Vec<&str> = clocks.iter().map(|row| row.get(0)).collect();
    assert_eq!(clocks, ["b"], "nothing is made for a bucket that is not there");
}

/// `/buckets/from/collections/x` with three records.
async fn filled(harness: &Harness) {
    harness.alice.put("/buckets/from", json!({})).await.expect(201);
    harness.alice.put("/buckets/from/collections/x", json!({})).await.expect(201);
    for n in 0..3 {
        let record = format!("/buckets/from/collections/x/records/r{n}");
        harness.alice.put(&record, json!({"n": n})).await.expect(201);
    }
}

const MAPPING: (&str, &str) = ("BACKPORT_RECORDS_MAPPINGS", "from/x?min_n=1 -> work/c");

#[tokio::test]
async fn a_backport_is_a_copy_that_waits_for_its_reviewer() {
    let harness = Harness::with_source().await;
    filled(&harness).await;
    harness.alice.put(&format!("{SOURCE}/records/extra"), json!({})).await.expect(201);
    let copies = async || {
        let list = harness.alice.get(&format!("{SOURCE}/records?_sort=id")).await.json;
        ids(&list).join(" ")
    };

    let dry = run(&harness, &["backport-records", "--dry-run"], &[MAPPING]);
    assert!(dry.stdout.contains("would be 2 created, 0 updated, 1 deleted"), "{}", dry.stdout);
    assert_eq!(copies().await, "extra");
    let ended = run(&harness, &["backport-records"], &[MAPPING]);

    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(copies().await, "r1 r2");
    let source = harness.alice.get(SOURCE).await.json["data"].clone();
    assert_eq!(
        (&source["status"], &source["last_editor_comment"]),
        (&json!("to-review"), &json!("r?"))
    );
    assert_eq!(source["last_review_request_by"], "plugin:remote-settings");
    let again = run(&harness, &["backport-records"], &[MAPPING]);
    assert!(again.stdout.contains("in sync"), "{}", again.stdout);
    harness.bob.patch(SOURCE, json!({"status": "to-sign"})).await.expect(200);
    assert_eq!(harness.anonymous.get(&format!("{MAIN}/records/r2")).await.json["data"]["n"], 2);

    harness.alice.put("/buckets/from/collections/x/records/r2", json!({"n": 5})).await.expect(200);
    harness.alice.delete("/buckets/from/collections/x/records/r1").await.expect(200);
    let ended = run(&harness, &["backport-records"], &[MAPPING]);
    assert!(ended.stdout.contains("0 created, 1 updated, 1 deleted"), "{}", ended.stdout);
    assert_eq!(harness.status().await, "to-review");
    harness.check_live_counts().await;
}

#[tokio::test]
async fn a_backport_without_review_is_published() {
    let harness = Harness::with_source().await;
    filled(&harness).await;
    let environment = [
        ("BACKPORT_RECORDS_SOURCE_BUCKET", "from"),
        ("BACKPORT_RECORDS_SOURCE_COLLECTION", "x"),
        ("BACKPORT_RECORDS_SOURCE_FILTERS", r#"{"n": 2}"#),
        ("BACKPORT_RECORDS_DEST_BUCKET", "work"),
        ("BACKPORT_RECORDS_DEST_COLLECTION", "c"),
        ("COUNTERSIGN_SIGNER_TO_REVIEW_ENABLED", "false"),
    ];

    let ended = run(&harness, &["backport-records"], &environment);

    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(harness.status().await, "signed");
    let main = harness.anonymous.get(&format!("{MAIN}/records")).await.json;
    assert_eq!(ids(&main), ["r2"]);
    harness.alice.put(&format!("{SOURCE}/records/r2"), json!({"n": 2})).await.expect(200);
    assert_eq!(harness.status().await, "work-in-progress");
    run(&harness, &["backport-records"], &environment);
    assert_eq!(harness.status().await, "signed", "also when the records are in sync");
}

#[tokio::test]
async fn what_a_backport_may_not_write_fails_alone_and_as_a_whole() {
    let harness = Harness::with_source().await;
    filled(&harness).await;
    let mappings = "from/none -> work/c\nfrom/x -> main/c\nfrom/x -> from/y\nfrom/x -> work/c";
    harness.alice.put("/buckets/from/collections/y", json!({})).await.expect(201);

    let ended = run(&harness, &["backport-records"], &[("BACKPORT_RECORDS_MAPPINGS", mappings)]);

    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("2 done, 2 failed"), "{}", ended.stdout);
    assert!(ended.stderr.contains("/buckets/from/collections/none does not exist"));
    assert!(ended.stderr.contains("This user cannot access this resource."), "D2");
    let main = harness.anonymous.get(&format!("{MAIN}/records")).await.json;
    assert!(ids(&main).is_empty());
    let copied = harness.alice.get("/buckets/from/collections/y/records").await.json;
    assert_eq!(ids(&copied).len(), 3);
    for (arguments, environment) in [
        (vec!["backport-records"], vec![]),
        (vec!["backport-records", "--mappings", "nonsense"], vec![]),
        (vec!["backport-records", "--source-bucket", "b"], vec![]),
        (vec!["purge-tombstones", "--max-age-days", "0"], vec![]),
    ] {
        assert_eq!(run(&harness, &arguments, &environment).code, 2, "{arguments:?}");
    }
    let unknown = ("KINTO_SIGNER_WORK_STRICT_TO_REVIEW_ENABLED", "true");
    let refused = run(&harness, &["refresh-signatures"], &[unknown]);
    assert_eq!(refused.code, 78);
    assert!(refused.stderr.contains(unknown.0), "{}", refused.stderr);
    let readonly = run(&harness, &["purge-tombstones"], &[("COUNTERSIGN_READONLY", "true")]);
    assert_eq!(readonly.code, 51);
    let nowhere = ("COUNTERSIGN_STORAGE_URL", "postgresql://countersign_writer@127.0.0.1:9/none");
    assert_eq!(run(&harness, &["refresh-signatures"], &[nowhere]).code, 69);
}

#[tokio::test]
async fn the_writer_s_scheduler_runs_what_is_due() {
    let harness = Harness::with_source().await;
    let app = harness.app(&[]);
    let job = Job::RefreshSignatures { max_age_days: 0, force: true };
    let before = versions(&harness, MAIN).await;
    let an_hour = Duration::from_hours(1);

    scheduler::run_if_due(&app, &job, an_hour).await.unwrap();
    let first = versions(&harness, MAIN).await;
    scheduler::run_if_due(&app, &job, an_hour).await.unwrap();
    let second = versions(&harness, MAIN).await;
    let owner = harness.database.owner().await;
    owner.batch_execute("update job_run set finished_at = now() - interval '1 day'").await.unwrap();
    scheduler::run_if_due(&app, &job, an_hour).await.unwrap();

    assert_ne!(first, before);
    assert_eq!(second, first, "not due");
    assert_ne!(versions(&harness, MAIN).await, second);
}

#[tokio::test]
async fn writers_tell_browsers_of_what_is_published() {
    let harness = Harness::with_source().await;
    let owner = harness.database.owner().await;
    let told = Timestamp::now().as_millis() - 60_000;
    let age = format!(
        "update resource_timestamp set last_modified = {told}
         where bucket_id in ('main', 'preview') and resource_name = 'record'"
    );
    owner.batch_execute(&age).await.unwrap();

    let (one, two) = tokio::join!(Running::start(&harness, &[]), Running::start(&harness, &[]));

    for writer in [&one, &two] {
        let mut tries = 0;
        loop {
            let body = writer.client.get("/__broadcasts__").await.expect(200).json;
            let value = &body["broadcasts"]["remote-settings/monitor_changes"];
            if *value == format!("\"{told}\"") {
                break;
            }
            tries += 1;
            assert!(tries < 200, "{body}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}
