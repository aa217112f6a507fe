//! Random histories of editors and reviewers, step by step beside a model that is written from the
//! specification: what is published is what was approved last, byte for byte, and verifies.
//!
//! `COUNTERSIGN_HISTORIES=500` tries so many.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};
use shared::{
    canonical,
    testing::{TestClient, TestReply},
};

use crate::{
    harness::{Harness, SOURCE, user_id},
    signoff::{MAIN, PREVIEW, assert_signed},
};

/// Alice and dora edit, bob reviews, carol does both.
const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "dora"];
const EDITORS: [&str; 3] = ["alice", "carol", "dora"];
const REVIEWERS: [&str; 2] = ["bob", "carol"];

/// What somebody does with the source.
#[derive(Debug, Clone)]
enum Act {
    /// Writes a record.
    Put(u8, u8),
    /// Deletes a record.
    Delete(u8),
    /// Writes a published attribute.
    Flag(u8),
    /// Writes a status that asks for something.
    Ask(&'static str),
    /// Writes one, and a published attribute with it.
    AskWithFlag(&'static str, u8),
    /// Approves with the digest of the source as it was so many steps ago.
    ApproveSeen(usize),
}

/// One request.
#[derive(Debug, Clone)]
enum Step {
    One(&'static str, Act),
    Batch(Vec<(&'static str, Act)>),
    DeleteAll(&'static str),
    /// The source is deleted, or made again.
    Toggle,
}

fn acts() -> impl Strategy<Value = Act> {
    const OFTEN: [&str; 3] = ["to-review", "to-sign", "work-in-progress"];
    const SELDOM: [&str; 2] = ["to-rollback", "to-resign"];
    const ANY: [&str; 5] = ["to-review", "to-sign", "work-in-progress", "to-rollback", "to-resign"];
    prop_oneof![
        4 => (0..4_u8, 0..3_u8).prop_map(|(record, value)| Act::Put(record, value)),
        1 => (0..4_u8).prop_map(Act::Delete),
        1 => (0..3_u8).prop_map(Act::Flag),
        8 => proptest::sample::select(&OFTEN[..]).prop_map(Act::Ask),
        2 => proptest::sample::select(&SELDOM[..]).prop_map(Act::Ask),
        2 => (0..3_usize).prop_map(Act::ApproveSeen),
        3 => (proptest::sample::select(&ANY[..]), 0..3_u8)
            .prop_map(|(status, flag)| Act::AskWithFlag(status, flag)),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let person = || proptest::sample::select(&PEOPLE[..]);
    let step = prop_oneof![
        16 => (person(), acts()).prop_map(|(who, act)| Step::One(who, act)),
        4 => proptest::collection::vec((person(), acts()), 2..5).prop_map(Step::Batch),
        1 => person().prop_map(Step::DeleteAll),
        1 => Just(Step::Toggle),
    ];
    proptest::collection::vec(step, 1..40)
}

/// What a collection holds: a published attribute, and records.
#[derive(Debug, Clone, Default, PartialEq)]
struct Contents {
    flag: Option<u8>,
    records: BTreeMap<u8, u8>,
}

impl Contents {
    fn records(&self) -> Value {
        let record = |(id, value)| json!({"id": format!("r{id}"), "n": value});
        self.records.iter().map(record).collect()
    }

    /// As `docs/sign-off.md` has it.
    fn digest(&self) -> String {
        let attributes = self.flag.map_or(json!({}), |flag| json!({"flags": [flag]}));
        let text = canonical::to_vec(&json!({"attributes": attributes, "data": self.records()}));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
        digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// What the three collections should hold, and why.
#[derive(Debug, Clone, Default)]
struct Model {
    source: Option<Contents>,
    preview: Contents,
    destination: Contents,
    status: &'static str,
    requester: &'static str,
    /// How the source was, after each step.
    seen: Vec<Contents>,
}

/// A status code; `Err` ends a batch.
type Code = Result<u16, u16>;

impl Model {
    fn apply(&mut self, who: &'static str, act: &Act) -> Code {
        if self.source.is_none() {
            return Ok(404);
        }
        let seen = self.seen.clone();
        let Some(source) = &mut self.source else { return Ok(404) };
        match act {
            Act::Put(id, value) => {
                self.status = "work-in-progress";
                Ok(if source.records.insert(*id, *value).is_some() { 200 } else { 201 })
            }
            Act::Delete(id) if source.records.remove(id).is_none() => Ok(404),
            Act::Delete(_) => {
                self.status = "work-in-progress";
                Ok(200)
            }
            Act::Flag(flag) => {
                if self.status == "to-review" && source.flag != Some(*flag) {
                    self.status = "work-in-progress";
                }
                source.flag = Some(*flag);
                Ok(200)
            }
            Act::Ask(status) => self.ask(who, status, None, None),
            Act::AskWithFlag(status, flag) => self.ask(who, status, None, Some(*flag)),
            Act::ApproveSeen(ago) => {
                let seen = seen.iter().rev().nth(*ago).cloned().unwrap_or_default();
                self.ask(who, "to-sign", Some(seen), None)
            }
        }
    }

    /// Writes a status, and with it perhaps an attribute.
    fn ask(
        &mut self,
        who: &'static str,
        status: &'static str,
        seen: Option<Contents>,
        flag: Option<u8>,
    ) -> Code {
        let before = self.source.clone().unwrap_or_default();
        let source = Contents { flag: flag.or(before.flag), ..before.clone() };
        let brings_something = source != before;
        let asked = self.status == "to-review";
        match status {
            _ if status == self.status => {
                if asked && brings_something {
                    self.status = "work-in-progress";
                }
                self.source = Some(source);
            }
            "to-review" if !EDITORS.contains(&who) => return Err(403),
            "to-review" => {
                self.source = Some(source.clone());
                self.preview = source;
                self.requester = who;
                self.status = "to-review";
            }
            "to-sign" => {
                match self.status {
                    "signed" => return Err(400),
                    _ if !REVIEWERS.contains(&who) => return Err(403),
                    "work-in-progress" => return Err(400),
                    _ if self.requester == who => return Err(403),
                    _ if brings_something || seen.is_some_and(|seen| seen != source) => {
                        return Err(412);
                    }
                    _ => {}
                }
                self.preview = source.clone();
                self.destination = source;
                self.status = "signed";
            }
            "to-rollback" if self.status == "signed" => return Err(400),
            "to-rollback" => {
                let records = self.destination.records.clone();
                self.preview.records = records.clone();
                self.source = Some(Contents { records, ..source });
                self.status = "signed";
            }
            "to-resign" => {
                if self.status == "signed" {
                    self.preview.flag = source.flag;
                    self.destination.flag = source.flag;
                } else if brings_something {
                    self.status = "work-in-progress";
                }
                self.source = Some(source);
            }
            _ => {
                self.status = "work-in-progress";
                self.source = Some(source);
            }
        }
        Ok(200)
    }

    /// Everything or nothing.
    fn batch(&mut self, acts: &[(&'static str, Act)]) -> u16 {
        let before = self.clone();
        for (who, act) in acts {
            if let Err(code) = self.apply(who, act) {
                *self = before;
                return code;
            }
        }
        200
    }
}

fn authorization(who: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{who}:secret")))
}

/// The model, and the writer beside it.
struct World<'a> {
    harness: &'a Harness,
    model: Model,
}

impl<'a> World<'a> {
    /// A new source; what an earlier one has published is emptied with it.
    async fn new(harness: &'a Harness) -> Self {
        harness.alice.delete("/buckets/work").await;
        harness.alice.put("/buckets/work", json!({})).await.expect(201);
        let mut world = Self { harness, model: Model::default() };
        world.toggle().await;
        world
    }

    fn client(&self, who: &str) -> TestClient {
        self.harness.anonymous.as_user(who)
    }

    /// The request that an act is.
    fn request(&self, act: &Act) -> Value {
        let record = |id: &u8| format!("{SOURCE}/records/r{id}");
        let patch =
            |data: Value| json!({"method": "PATCH", "path": SOURCE, "body": {"data": data}});
        match act {
            Act::Put(id, value) => {
                json!({"method": "PUT", "path": record(id), "body": {"data": {"n": value}}})
            }
            Act::Delete(id) => json!({"method": "DELETE", "path": record(id)}),
            Act::Flag(flag) => patch(json!({"flags": [flag]})),
            Act::Ask(status) => patch(json!({"status": status})),
            Act::AskWithFlag(status, flag) => patch(json!({"status": status, "flags": [flag]})),
            Act::ApproveSeen(ago) => {
                let seen = self.model.seen.iter().rev().nth(*ago).cloned().unwrap_or_default();
                patch(json!({"status": "to-sign", "last_reviewed_digest": seen.digest()}))
            }
        }
    }

    async fn send(&self, who: &str, request: &Value) -> TestReply {
        let (method, path) =
            (request["method"].as_str().unwrap(), request["path"].as_str().unwrap());
        if method == "DELETE" {
            return self.client(who).delete(path).await;
        }
        self.client(who).send(method, path, request["body"].clone()).await
    }

    async fn take(&mut self, step: &Step) {
        match step {
            Step::One(who, act) => {
                let reply = self.send(who, &self.request(act)).await;
                // Not everybody is told that there is no source.
                let missing = self.model.source.is_none() && reply.status == 403;
                let code = self.model.apply(who, act).unwrap_or_else(|code| code);
                assert!(missing || reply.status == code, "{code}: {}", reply.json);
            }
            Step::Batch(acts) => {
                let requests: Vec<Value> = acts
                    .iter()
                    .map(|(who, act)| {
                        let mut request = self.request(act);
                        request["headers"] = json!({"Authorization": authorization(who)});
                        request
                    })
                    .collect();
                let batch = json!({"requests": requests});
                let reply = self.client(acts[0].0).send("POST", "/batch", batch).await;
                assert_eq!(reply.status, self.model.batch(acts), "{}", reply.json);
            }
            Step::DeleteAll(who) => {
                let reply = self.client(who).delete(&format!("{SOURCE}/records")).await;
                if let Some(source) = &mut self.model.source {
                    let any = !std::mem::take(&mut source.records).is_empty();
                    self.model.status = if any { "work-in-progress" } else { self.model.status };
                    reply.expect(200);
                }
            }
            Step::Toggle => self.toggle().await,
        }
        let source = self.model.source.clone().unwrap_or_default();
        self.model.seen.push(source);
        self.check().await;
    }

    /// Deletes the source, or makes it again with its people.
    async fn toggle(&mut self) {
        if self.model.source.take().is_some() {
            self.harness.alice.delete(SOURCE).await.expect(200);
            self.model.preview.records.clear();
            self.model.destination.records.clear();
            return;
        }
        self.harness.alice.put(SOURCE, json!({})).await.expect(201);
        for (kind, members) in [("editors", EDITORS.as_slice()), ("reviewers", &REVIEWERS)] {
            let mut ids = Vec::new();
            for who in members {
                ids.push(user_id(&self.client(who)).await);
            }
            let group = format!("/buckets/work/groups/c-{kind}");
            self.harness.alice.patch(&group, json!({"members": ids})).await.expect(200);
        }
        let seen = std::mem::take(&mut self.model.seen);
        let source = Some(Contents::default());
        self.model = Model { source, status: "signed", seen, ..Model::default() };
    }

    /// The contents of a collection, as a client sees them.
    async fn contents(&self, collection: &str) -> (Value, Value) {
        let metadata = self.harness.alice.get(collection).await.expect(200).json;
        let list = self.harness.alice.get(&format!("{collection}/records?_sort=id")).await;
        let mut records = list.expect(200).json["data"].clone();
        for record in records.as_array_mut().unwrap() {
            record.as_object_mut().unwrap().remove("last_modified");
        }
        (metadata["data"].clone(), records)
    }

    async fn check(&self) {
        let model = &self.model;
        for (target, expected) in [(MAIN, &model.destination), (PREVIEW, &model.preview)] {
            assert_signed(self.harness, target).await;
            let (metadata, records) = self.contents(target).await;
            let (found, wanted) =
                (canonical::to_vec(&records), canonical::to_vec(&expected.records()));
            assert_eq!(found, wanted, "{target}: {records}");
            let flags = expected.flag.map_or(Value::Null, |flag| json!([flag]));
            assert_eq!(metadata["flags"], flags, "{target}");
        }
        let Some(source) = &model.source else {
            return drop(self.harness.alice.get(SOURCE).await.expect(404));
        };
        let (metadata, records) = self.contents(SOURCE).await;
        assert_eq!(records, source.records());
        assert_eq!(metadata["status"], model.status);
        if model.status == "to-review" {
            assert_eq!(metadata["last_review_request_digest"], source.digest());
        }
        // Where the approval is the later of the two.
        let text = |name: &str| metadata[name].as_str().unwrap_or_default();
        if text("last_review_date") > text("last_review_request_date") {
            let (by, asked) = (text("last_review_by"), text("last_review_request_by"));
            assert_ne!(by, asked, "nobody approves their own request");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the number of a test's cases is no setting")]
fn cases() -> u32 {
    std::env::var("COUNTERSIGN_HISTORIES").ok().and_then(|text| text.parse().ok()).unwrap_or(6)
}

#[test]
fn whatever_happens_what_is_published_was_approved_and_verifies() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 300,
        ..Config::default()
    };
    let harness = runtime.block_on(Harness::start());
    let result = TestRunner::new(config).run(&steps(), |steps| {
        runtime.block_on(async {
            let mut world = World::new(&harness).await;
            for step in &steps {
                world.take(step).await;
            }
            harness.check_live_counts().await;
        });
        Ok(())
    });

    result.unwrap();
}
