//! The passwords of accounts (`kinto-http-api.md` §5.3.2-3): what is stored, what is remembered, and
//! what guessing is worth (`design/reliability.md` §6).

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use shared::{config::Layers, http::serve, testing::TestClient};
use tokio::{net::TcpListener, task::JoinSet};
use writer::{
    Writer,
    app::App,
    config::{Config, DEFAULTS},
};

use crate::{
    accounts::{ACCOUNTS, sign_up, start},
    harness::{Harness, user_id},
    log::Log,
};

/// Another writer of the same database.
async fn another_writer(harness: &Harness) -> TestClient {
    let mut layers = Layers::new(DEFAULTS);
    layers.set("storage_url", harness.database.url("countersign_writer"));
    for (key, value) in ACCOUNTS {
        layers.set(key, value);
    }
    let app = Arc::new(App::new(Config::read(&mut layers).unwrap()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (limits, metrics) = (app.config.listen.limits.clone(), app.metrics.http.clone());
    tokio::spawn(serve(listener, Writer::new(app), limits, metrics, std::future::pending()));
    TestClient::new(address)
}

#[tokio::test]
async fn a_password_is_kept_as_a_hash() {
    let (harness, [alice, ..]) = start(&[]).await;

    let before = alice.get("/accounts/alice").await.expect(200).json["data"]["password"].clone();
    let patched = alice.patch("/accounts/alice", json!({"x": 1})).await.expect(200);
    let merge = alice
        .raw(
            "PATCH",
            "/accounts/alice",
            &[("content-type", "application/merge-patch+json")],
            "{\"data\": {\"password\": null}}",
        )
        .await;

    assert!(before.as_str().unwrap().starts_with("$2b$04$"), "{before}");
    assert_eq!(patched.json["data"]["password"], before);
    assert_eq!(merge.status, 400, "{}", merge.json);
    let row = harness.database.owner().await;
    let stored = row.query_one("select data::text from account where id = 'alice'", &[]).await;
    assert!(!stored.unwrap().get::<_, String>(0).contains("s3cret"));
}

/// Trap T113, with a second writer that knows the old password, too.
#[tokio::test]
async fn a_changed_password_counts_at_once_on_every_writer() {
    let (harness, [alice, ..]) = start(&[]).await;
    let there = another_writer(&harness).await;
    let old = there.with_password("alice", "s3cret");
    assert_eq!(user_id(&alice).await, "account:alice");
    assert_eq!(user_id(&old).await, "account:alice");

    alice.patch("/accounts/alice", json!({"password": "n3w"})).await.expect(200);

    old.get("/accounts/alice").await.expect(403);
    alice.get("/accounts/alice").await.expect(403);
    for client in [&harness.anonymous, &there] {
        let new = client.with_password("alice", "n3w");
        assert_eq!(user_id(&new).await, "account:alice");
    }
    harness.anonymous.with_password("alice", "n3w").delete("/accounts/alice").await.expect(200);
    let gone = there.with_password("alice", "n3w").get("/accounts/alice").await;
    assert_eq!(gone.status, 403);
}

#[tokio::test]
async fn guessing_has_to_wait_but_not_who_is_known() {
    let (harness, [alice, bob, _]) =
        start(&[("account_free_failures", "3"), ("multiauth.policies", "account")]).await;
    let user = |client: TestClient| async move { client.get("/").await.json["user"]["id"].clone() };
    assert_eq!(user(alice.clone()).await, "account:alice");

    for guess in ["a", "b", "c", "d"] {
        let wrong = harness.anonymous.with_password("bob", guess);
        wrong.get("/accounts/bob").await.expect(401);
        let wrong = harness.anonymous.with_password("alice", guess);
        wrong.get("/accounts/alice").await.expect(401);
    }

    assert_eq!(user(bob).await, Value::Null, "the right password has to wait as well");
    assert_eq!(user(alice).await, "account:alice", "but not one that was right a moment ago");
}

/// Users of another policy send the same credentials with each request, and none of them is an account's.
#[tokio::test]
async fn the_same_wrong_password_is_one_guess() {
    let settings = [("account_free_failures", "3"), ("multiauth.policies", "account basicauth")];
    let (harness, [_, bob, _]) = start(&settings).await;
    let other = harness.anonymous.with_password("bob", "wrong");

    for _ in 0..8 {
        assert!(user_id(&other).await.starts_with("basicauth:"));
    }

    assert_eq!(user_id(&bob).await, "account:bob");
}

#[tokio::test]
async fn after_a_flush_nothing_is_remembered() {
    let settings = [
        ("account_free_failures", "1"),
        ("includes", "kinto.plugins.accounts kinto.plugins.flush"),
    ];
    let (harness, [alice, ..]) = start(&settings).await;
    let wrong = harness.anonymous.with_password("alice", "a");
    wrong.get("/").await.expect(200);

    harness.anonymous.raw("POST", "/__flush__", &[], "").await.expect(202);
    sign_up(&harness.anonymous, "alice").await.expect(201);

    assert_eq!(user_id(&alice).await, "account:alice");
}

/// A stranger's guesses are not the owner's; those of very many strangers are everybody's.
#[tokio::test]
async fn guesses_from_one_address_do_not_lock_out_another() {
    let (harness, _) = start(&[
        ("account_free_failures", "2"),
        ("account_cache_ttl_seconds", "0"),
        ("multiauth.policies", "account"),
    ])
    .await;
    let ask = async |password: &str, address: &str| {
        let client = harness.anonymous.with_password("alice", password);
        let forwarded = [("x-forwarded-for", format!("6.6.6.6, {address}"))];
        let forwarded = forwarded.each_ref().map(|(name, value)| (*name, value.as_str()));
        client.raw("GET", "/accounts/alice", &forwarded, "").await.status
    };

    for _ in 0..6 {
        assert_eq!(ask("wrong", "192.0.2.1").await, 401);
    }
    assert_eq!(ask("s3cret", "192.0.2.1").await, 401, "who guesses has to wait");
    for _ in 0..50 {
        assert_eq!(ask("s3cret", "192.0.2.2").await, 200, "right passwords are no guesses");
    }
    for number in 3..41 {
        assert_eq!(ask("wrong", &format!("192.0.2.{number}")).await, 401);
    }

    assert_eq!(ask("s3cret", "192.0.2.2").await, 401, "40 guesses of all together");
}

/// More at once than could be checked within ten seconds by two at a time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_sign_ins_waits_and_is_served() {
    let (harness, _) = start(&[("account_bcrypt_cost", "9")]).await;
    let mut tasks = JoinSet::new();

    for number in 0..60 {
        let anonymous = harness.anonymous.clone();
        tasks.spawn(async move {
            let name = format!("u{number}");
            let made = sign_up(&anonymous, &name).await.status;
            let user = user_id(&anonymous.with_password(&name, "s3cret")).await;
            (made, user == format!("account:{name}"))
        });
    }

    assert_eq!(tasks.join_all().await, [(201, true); 60]);
    drop(harness);
}

/// `account_cache_ttl_seconds` of 0, and the same as above: nobody is known.
#[tokio::test]
async fn what_is_not_remembered_has_to_wait_too() {
    let (harness, [alice, ..]) = start(&[
        ("account_free_failures", "1"),
        ("account_cache_ttl_seconds", "0"),
        ("multiauth.policies", "account"),
    ])
    .await;
    alice.get("/accounts/alice").await.expect(200);

    harness.anonymous.with_password("alice", "a").get("/accounts/alice").await.expect(401);

    alice.get("/accounts/alice").await.expect(401);
}

#[tokio::test]
async fn requests_at_the_same_time_need_one_check() {
    let (harness, [alice, ..]) =
        start(&[("account_free_failures", "1"), ("multiauth.policies", "account")]).await;

    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let alice = alice.clone();
        tasks.spawn(async move { alice.get("/accounts/alice").await.status });
    }

    assert_eq!(tasks.join_all().await, [200; 20]);
    drop(harness);
}

/// A hash whose check takes days.
const COSTLY: &str = "$2b$31$abcdefghijklmnopqrstuuaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A few of those would stop every sign-in.
#[tokio::test]
async fn a_hash_that_takes_days_is_not_tried() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (harness, [alice, ..]) = start(&[("multiauth.policies", "account")]).await;
    let row = format!("update account set data = jsonb_build_object('password', '{COSTLY}')");
    harness.database.owner().await.batch_execute(&row).await.unwrap();

    let asked = tokio::time::timeout(Duration::from_secs(10), alice.get("/accounts/alice")).await;

    assert_eq!(asked.unwrap().status, 401);
    assert!(log.text().contains("too costly"), "{}", log.text());
}

#[tokio::test]
async fn a_json_patch_s_password_is_hashed_wherever_it_comes_from() {
    let (harness, [alice, ..]) = start(&[]).await;
    let patch = |steps: Value| {
        let alice = alice.clone();
        async move {
            let json_patch = [("content-type", "application/json-patch+json")];
            alice.raw("PATCH", "/accounts/alice", &json_patch, steps.to_string()).await
        }
    };

    patch(json!([{"op": "add", "path": "/data/x", "value": COSTLY}])).await.expect(200);
    for steps in [
        json!([{"op": "add", "path": "/data/x", "value": "clear"},
               {"op": "copy", "from": "/data/x", "path": "/data/password"}]),
        json!([{"op": "add", "path": "/data/x", "value": COSTLY},
               {"op": "move", "from": "/data/x", "path": "/data/password"}]),
        json!([{"op": "replace", "path": "/data", "value": {"password": COSTLY}}]),
        json!([{"op": "replace", "path": "/data/password", "value": "n3w"},
               {"op": "copy", "from": "/data/x", "path": "/data/password"}]),
        json!([{"op": "remove", "path": "/data/password"}]),
        json!([{"op": "replace", "path": "/data/password", "value": ""}]),
    ] {
        assert_eq!(patch(steps.clone()).await.status, 400, "{steps}");
    }
    // Each takes a millisecond here, and a quarter of a second elsewhere: the last one counts.
    let mut steps = vec![json!({"op": "replace", "path": "/data/password", "value": "x"}); 10_000];
    steps.push(json!({"op": "replace", "path": "/data/password", "value": "n3w"}));
    let start = Instant::now();
    patch(Value::Array(steps)).await.expect(200);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());

    let new = harness.anonymous.with_password("alice", "n3w");
    assert_eq!(user_id(&new).await, "account:alice");
}

/// 10,000 guesses: those beyond the free ones are not even looked at, so that the right password among
/// them lets nobody in, and whoever else works meanwhile does not wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_ten_thousand_guesses_five_are_checked_and_others_do_not_wait() {
    const GUESSERS: usize = 8;
    const GUESSES: usize = 10_000;
    let (harness, [_, bob, _]) = start(&[("multiauth.policies", "account")]).await;
    for guess in 0..5 {
        let wrong = harness.anonymous.with_password("alice", &format!("free {guess}"));
        wrong.get("/accounts/alice").await.expect(401);
    }
    let (done, mut guessers) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    let others = tokio::spawn(work_meanwhile(bob, harness.anonymous.clone(), done.clone()));

    for guesser in 0..GUESSERS {
        let anonymous = harness.anonymous.clone();
        guessers.spawn(async move {
            let mut refused = 0;
            for number in (guesser..GUESSES).step_by(GUESSERS) {
                let guess = if number % 100 == 0 { "s3cret" } else { &format!("guess {number}") };
                let guessed = anonymous.with_password("alice", guess);
                refused += usize::from(guessed.get("/accounts/alice").await.status == 401);
            }
            refused
        });
    }

    let refused: usize = guessers.join_all().await.into_iter().sum();
    done.store(true, Ordering::Relaxed);
    let mut waits = others.await.unwrap();
    assert_eq!(refused, GUESSES, "the right password has to wait as any other");
    waits.sort();
    let slow = waits[waits.len() * 99 / 100];
    println!("{} requests of others: 99 of 100 within {slow:?}", waits.len());
    assert!(slow < Duration::from_secs(1), "{slow:?}");
}

/// Somebody who is known, and now and then somebody whose password has to be checked.
async fn work_meanwhile(
    known: TestClient,
    anonymous: TestClient,
    done: Arc<AtomicBool>,
) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !done.load(Ordering::Relaxed) {
        let number = waits.len();
        if number % 20 == 0 {
            sign_up(&anonymous, &format!("new{number}")).await.expect(201);
        }
        let name = format!("new{}", number - number % 20);
        let new = anonymous.with_password(&name, "s3cret");
        let (client, path) = if number % 2 == 0 {
            (&known, "/accounts/bob".to_owned())
        } else {
            (&new, format!("/accounts/{name}"))
        };
        let start = Instant::now();
        client.get(&path).await.expect(200);
        waits.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    waits
}

/// How long a refusal takes does not tell whether the user exists. The two are asked in turns, so that
/// whatever else the machine does slows both; the medians of 500 to 2,000 samples each must come within
/// 2 % of each other.
#[tokio::test]
async fn a_refusal_takes_as_long_whether_the_user_exists_or_not() {
    let (harness, _) =
        start(&[("account_free_failures", "0"), ("multiauth.policies", "account")]).await;
    // What the passwords of unknown users are compared with is made once.
    harness.anonymous.with_password("nobody", "first").get("/buckets/x").await.expect(401);
    let names = ["alice", "nobody"];
    let mut samples = [Vec::new(), Vec::new()];
    let mut difference = f64::INFINITY;

    for round in 0..2_000 {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let client = harness.anonymous.with_password(names[which], &format!("guess {round}"));
            let start = Instant::now();
            client.get("/buckets/x").await.expect(401);
            samples[which].push(start.elapsed());
        }
        if round >= 499 && round % 100 == 99 {
            let [exists, unknown] = samples.each_mut().map(|times| median(times));
            difference = (exists / unknown - 1.0).abs();
            if difference < 0.02 {
                return;
            }
        }
    }
    panic!("the medians differ by {:.1} %", difference * 100.0);
}

/// In seconds.
fn median(times: &mut [Duration]) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}
