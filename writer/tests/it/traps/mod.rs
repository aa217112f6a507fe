//! The traps of `kinto-http-api.md` §11.1, one after the other, as they are numbered there. The text
//! files beside this one hold them:
//!
//! ```text
//! T1 what it is about
//!     with includes = kinto.plugins.history
//!     alice POST $R <If-Match:"1"> {"data": {}} -> 412; @etag = $old; !/details
//! ```
//!
//! A trap has a bucket of its own, `$B`, of alice's, with the collection `$C`, whose records `$R` are
//! `r1` with `{"n": 1}`; `$G` are the bucket's groups, and `$alice`, `$bob` the users' ids. `with` gives
//! a setting. A path after `!` is not below `/v1`. After the arrow comes the status, then what must be:
//!
//! - `/data/n = 1`, a place in the body and its JSON; `@etag = 5`, a header, without its quotes;
//! - `has TEXT` instead of `=`, for a part of it; `> NUMBER`; the place alone: it is there;
//! - `!/data` or `!@etag`: it is not there; `ids a b`: the list's ids in this order; `#3`: how many;
//! - `$name = /place` or `$name = @header` keeps what is there, as `$name`, `$name+1`, `$name-1`.

use std::collections::{BTreeMap, BTreeSet};

use regex::{Captures, Regex};
use serde_json::{Value, json};
use shared::testing::{TestClient, TestReply};

use crate::harness::{Harness, ids, user_id};

const FILES: [&str; 5] = [
    include_str!("objects.txt"),
    include_str!("lists.txt"),
    include_str!("rights.txt"),
    include_str!("service.txt"),
    include_str!("plugins.txt"),
];

/// Traps that need more than requests, and the tests that have them.
const ELSEWHERE: [(u32, &str, &str); 12] = [
    (54, "pages", "a_walk_shows_every_object_once"),
    (55, "pages", "changes_before_the_cursor_do_not_move_it"),
    (71, "extras", "of_a_deleted_bucket_a_tombstone_is_left_and_nothing_else"),
    (85, "batch", "a_failure_in_a_batch_undoes_all_of_it"),
    (90, "history", "a_batch_is_recorded_in_its_order_without_what_was_refused"),
    (112, "accounts", "accounts_are_not_listed_to_everybody"),
    (113, "passwords", "a_changed_password_counts_at_once_on_every_writer"),
    (115, "service", "a_failing_backend_is_one_false_key_of_the_heartbeat"),
    (116, "service", "a_lost_database_is_a_503_that_says_when_to_come_back"),
    (117, "history", "a_request_that_fails_leaves_no_entry"),
    (118, "concurrency", "writers_queue_up_and_a_poller_misses_nothing"),
    (120, "extras", "kinto_s_metrics_have_its_names_and_labels"),
];

#[derive(Debug, Default)]
struct Trap {
    number: u32,
    title: &'static str,
    settings: Vec<(&'static str, &'static str)>,
    steps: Vec<&'static str>,
}

fn traps() -> Vec<Trap> {
    let mut traps: Vec<Trap> = Vec::new();
    for line in FILES.iter().flat_map(|text| text.lines()) {
        if let Some(rest) = line.strip_prefix('T') {
            let (number, title) = rest.split_once(' ').unwrap();
            traps.push(Trap { number: number.parse().unwrap(), title, ..Trap::default() });
        } else if let Some(setting) = line.trim().strip_prefix("with ") {
            let setting = setting.split_once(" = ").unwrap();
            traps.last_mut().unwrap().settings.push(setting);
        } else if !line.trim().is_empty() {
            traps.last_mut().unwrap().steps.push(line.trim());
        }
    }
    traps
}

#[test]
fn every_trap_has_a_test() {
    let here: BTreeSet<u32> = traps().iter().map(|trap| trap.number).collect();
    let elsewhere: BTreeSet<u32> = ELSEWHERE.iter().map(|(number, ..)| *number).collect();

    let missing: Vec<_> =
        (1..=120).filter(|number| !here.contains(number) && !elsewhere.contains(number)).collect();
    for (_, module, name) in ELSEWHERE {
        let file = format!("{}/tests/it/{module}.rs", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains(&format!("async fn {name}()")), "{module}::{name}");
    }

    assert_eq!(missing, [0; 0]);
}

#[tokio::test]
async fn nobody_falls_into_a_trap() {
    let mut servers: BTreeMap<Vec<(&str, &str)>, Harness> = BTreeMap::new();
    for (index, trap) in traps().into_iter().enumerate() {
        if !servers.contains_key(&trap.settings) {
            let new = Harness::with(&trap.settings).await;
            servers.insert(trap.settings.clone(), new);
        }
        play(&servers[&trap.settings], &trap, &format!("/buckets/t{index}")).await;
    }
}

async fn play(harness: &Harness, trap: &Trap, bucket: &str) {
    let collection = format!("{bucket}/collections/c");
    let records = format!("{collection}/records");
    let mut names = BTreeMap::from([
        ("B".to_owned(), bucket.to_owned()),
        ("C".to_owned(), collection.clone()),
        ("R".to_owned(), records.clone()),
        ("G".to_owned(), format!("{bucket}/groups")),
        ("alice".to_owned(), user_id(&harness.alice).await),
        ("bob".to_owned(), user_id(&harness.bob).await),
    ]);
    if !trap.settings.contains(&("readonly", "true")) {
        harness.alice.put(bucket, json!({})).await.expect(201);
        harness.alice.put(&collection, json!({})).await.expect(201);
        harness.alice.put(&format!("{records}/r1"), json!({"n": 1})).await.expect(201);
    }
    for step in &trap.steps {
        let about = format!("T{} {}: {step}", trap.number, trap.title);
        let (request, expected) =
            step.split_once(" -> ").unwrap_or_else(|| unreachable!("{about}"));
        let reply = send(harness, &filled(request, &names)).await;
        let mut checks = expected.split("; ");
        let status: u16 = checks.next().unwrap().parse().unwrap();
        assert_eq!(reply.status, status, "{about}: {} {:?}", reply.json, reply.headers);
        for check in checks {
            if let Some((name, place)) = check.strip_prefix('$').and_then(|c| c.split_once(" = ")) {
                let text = found(&reply, place).unwrap_or_else(|| unreachable!("{about}: {place}"));
                names.insert(name.to_owned(), text);
            } else {
                let holds = holds(&reply, &filled(check, &names));
                assert!(holds, "{about}: {check}: {} {:?}", reply.json, reply.headers);
            }
        }
    }
}

/// The text with what its names stand for.
fn filled(text: &str, names: &BTreeMap<String, String>) -> String {
    let name = Regex::new(r"\$(\w+)([+-]\d+)?").unwrap();
    let value = |captures: &Captures<'_>| {
        let Some(known) = names.get(&captures[1]) else { return captures[0].to_owned() };
        match captures.get(2) {
            None => known.clone(),
            Some(offset) => {
                let sum = known.parse::<i64>().unwrap() + offset.as_str().parse::<i64>().unwrap();
                sum.to_string()
            }
        }
    };
    name.replace_all(text, value).into_owned()
}

/// `alice PUT /path <Header:value> {"body": 1}`.
async fn send(harness: &Harness, request: &str) -> TestReply {
    let mut words = request.splitn(4, ' ');
    let client: &TestClient = match words.next().unwrap() {
        "alice" => &harness.alice,
        "bob" => &harness.bob,
        "nobody" => &harness.anonymous,
        who => unreachable!("{who}"),
    };
    let (method, path) = (words.next().unwrap(), words.next().unwrap().replace('"', "%22"));
    let mut rest = words.next().unwrap_or_default();
    let mut headers = Vec::new();
    while let Some((header, after)) = rest.strip_prefix('<').and_then(|r| r.split_once('>')) {
        headers.push(header.split_once(':').unwrap());
        rest = after.trim_start();
    }
    let is_typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !rest.is_empty() && !is_typed {
        headers.push(("Content-Type", "application/json"));
    }
    match path.strip_prefix('!') {
        Some(path) => client.root(method, path).await,
        None => client.raw(method, &path, &headers, rest.to_owned()).await,
    }
}

/// What is at a place, as text: JSON, or a header without its quotes.
fn found(reply: &TestReply, place: &str) -> Option<String> {
    match place.strip_prefix('@') {
        Some(name) => {
            let values: Vec<_> =
                reply.headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect();
            let text = values.join(" + ");
            // Without the server, it can be asked for.
            let path = text.split_once("/v1/").filter(|_| name == "next-page");
            let text = path.map_or(text.clone(), |(_, path)| format!("/{path}"));
            (!values.is_empty()).then(|| text.trim_matches('"').to_owned())
        }
        None => reply.json.pointer(place).map(ToString::to_string),
    }
}

fn holds(reply: &TestReply, check: &str) -> bool {
    if let Some(place) = check.strip_prefix('!') {
        return found(reply, place).is_none();
    }
    if let Some(number) = check.strip_prefix('#') {
        return reply.json["data"].as_array().unwrap().len() == number.parse::<usize>().unwrap();
    }
    if let Some(expected) = check.strip_prefix("ids") {
        return ids(&reply.json) == expected.split_whitespace().collect::<Vec<_>>();
    }
    let mut words = check.splitn(3, ' ');
    let (place, operator, expected) = (words.next().unwrap(), words.next(), words.next());
    let Some(text) = found(reply, place) else { return false };
    match (operator, expected) {
        (None, _) => true,
        (Some("has"), Some(part)) => text.contains(part),
        (Some(">"), Some(least)) => text.parse::<i64>().unwrap() > least.parse().unwrap(),
        (Some("="), Some(whole)) if place.starts_with('@') => text == whole,
        (Some("="), Some(whole)) => {
            text.parse::<Value>().unwrap() == whole.parse::<Value>().unwrap()
        }
        _ => unreachable!("{check}"),
    }
}

#[test]
fn what_does_not_hold_is_seen() {
    let headers =
        http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("\"5\""))]);
    let json = json!({"data": [{"id": "a", "n": 1}]});
    let reply = TestReply { status: 200, headers, bytes: json.to_string().into(), json };

    for (check, expected) in [
        ("/data/0/n = 1", true),
        ("/data/0/n = 2", false),
        ("/data/0/m = 1", false),
        ("/data/0/n has 1", true),
        ("/data/0/id has b", false),
        ("!/data/0/m", true),
        ("!/data/0/n", false),
        ("@etag = 5", true),
        ("@etag = 6", false),
        ("@etag > 4", true),
        ("@etag > 5", false),
        ("!@etag", false),
        ("@alert", false),
        ("ids a", true),
        ("ids b", false),
        ("#1", true),
        ("#0", false),
    ] {
        assert_eq!(holds(&reply, check), expected, "{check}");
    }
}
