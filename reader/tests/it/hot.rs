//! What is answered at once is what the full way answers.

use http::{Method, Request};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};
use reader::{
    answer::{Accepted, Answer},
    app::App,
    hot,
};
use serde_json::json;
use shared::model::Timestamp;

use crate::fixture::{Database, Reader, changeset};

const T: i64 = 1_700_000_000_000;

/// Targets like those of clients, and unlike them.
fn targets() -> impl Strategy<Value = String> {
    let stamp = prop_oneof![
        Just("0".to_owned()),
        (-3..6_i64).prop_map(|step| (T + step).to_string()),
        (-3..6_i64).prop_map(|step| format!("%22{}%22", T + step)),
        (-3..6_i64).prop_map(|step| format!("\"{}\"", T + step)),
        (0..3_i64).prop_map(|days| (Timestamp::now().as_millis() - days * 86_400_000).to_string()),
        Just("9999123".to_owned()),
        "[0-9]{1,17}",
        "[a-z%\"0-9 +]{0,4}".prop_map(|text| text.replace(' ', "%20")),
    ];
    let name = prop_oneof![
        4 => Just("_since"), 1 => Just("_expected"), 1 => Just("_limit"), 1 => Just("bucket"),
    ];
    let pairs = (stamp.clone(), proptest::collection::vec((name, stamp), 0..3));
    let place = prop_oneof![
        Just("main/collections/cfr"),
        Just("main/collections/cf%72"),
        Just("main/collections/none"),
        Just("monitor/collections/changes"),
        Just("other/collections/cfr"),
    ];
    let api = prop_oneof![Just("v1"), Just("v2")];
    (api, place, pairs).prop_map(|(api, place, (expected, pairs))| {
        let rest: Vec<String> =
            pairs.into_iter().map(|(name, value)| format!("&{name}={value}")).collect();
        format!("/{api}/buckets/{place}/changeset?_expected={expected}{}", rest.concat())
    })
}

/// Status, headers and body of both ways; nothing where the short way leaves the request alone.
fn both(app: &App, target: &str, now: Timestamp) -> Option<[String; 2]> {
    let accepted = Accepted::parse(std::iter::once(&b"gzip, br"[..]));
    let hit = hot::answer(app, target, accepted, now)?;
    let short =
        Answer::Prepared(hit.form, hit.lifetime).into_reply(&Method::GET, app.config.grace, now);
    let head = Request::builder()
        .method(Method::GET)
        .uri(target.replace('"', "%22"))
        .header("accept-encoding", "gzip, br")
        .body(())
        .unwrap()
        .into_parts()
        .0;
    // The full way may wait, for what the short way would have left to it.
    let runtime = tokio::runtime::Handle::current();
    let (_, full) = tokio::task::block_in_place(|| runtime.block_on(app.answer(&head, now)));
    let full = full.into_reply(&Method::GET, app.config.grace, now);
    Some([short, full].map(|reply| format!("{reply:?}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_at_once_is_what_the_full_way_answers() {
    let database = Database::create().await;
    for (id, stamp) in [("a", T), ("b", T + 2)] {
        database.record("cfr", id, stamp, &json!({"title": "countersign ".repeat(20)})).await;
    }
    database.collection("cfr", T + 3, &json!({}), T + 2).await;
    database.publish(T + 3).await;
    let settings = [("signature.verify", "off"), ("main.record_cache_expires_seconds", "600")];
    let reader = Reader::of(&database, &settings).await;
    // A delta is answered at once when it was asked for before.
    for since in [T - 3, T, T + 1] {
        let path = changeset("cfr", &format!("_expected=0&_since={since}"));
        reader.send(Method::GET, &path, &[("accept-encoding", "gzip, br")]).await;
    }
    let (app, now) = (reader.app(), Timestamp::now());
    let mut hits = [0, 0];

    let mut runner = TestRunner::new(ProptestConfig::with_cases(6_000));
    for _ in 0..6_000 {
        let target = targets().new_tree(&mut runner).unwrap().current();
        if let Some([short, full]) = both(&app, &target, now) {
            hits[usize::from(target.starts_with("/v2/"))] += 1;
            assert_eq!(short, full, "{target}");
        }
    }

    let few = hits.iter().any(|hits| *hits < 100);
    assert!(!few, "only {hits:?} were answered at once: this test has lost its point");
}
