//! What `verify` prints.

use serde_json::{Value, json};
use shared::model::Timestamp;

use super::Entry;

/// What was found out about a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Good, and by what.
    Verified(&'static str),
    /// Agrees with the key beside the signature, which could be anybody's.
    SelfConsistent,
    /// No signature at all.
    Unsigned,
    /// Listed, and not readable without credentials.
    Private,
    /// Not good, and why.
    Failed(String),
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Self::Verified(_) => "verified",
            Self::SelfConsistent => "self-consistent",
            Self::Unsigned => "unsigned",
            Self::Private => "private",
            Self::Failed(_) => "failed",
        }
    }
}

/// One collection.
#[derive(Debug)]
pub(super) struct Line {
    bucket: String,
    collection: String,
    timestamp: Timestamp,
    records: usize,
    verdict: Verdict,
}

impl Line {
    /// Nothing is known yet but what the monitor lists.
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            bucket: entry.bucket.clone(),
            collection: entry.collection.clone(),
            timestamp: entry.last_modified,
            records: 0,
            verdict: Verdict::Private,
        }
    }

    /// What was served.
    pub(super) fn count(&mut self, timestamp: Timestamp, records: usize) {
        self.timestamp = timestamp;
        self.records = records;
    }

    /// With the verdict.
    pub(super) fn with(self, verdict: Verdict) -> Self {
        Self { verdict, ..self }
    }
}

/// All collections.
#[derive(Debug)]
pub(super) struct Report {
    url: String,
    lines: Vec<Line>,
    allow_unpinned: bool,
    allow_unsigned: bool,
}

impl Report {
    /// Sorts the lines.
    pub(super) fn new(
        url: String,
        mut lines: Vec<Line>,
        allow_unpinned: bool,
        allow_unsigned: bool,
    ) -> Self {
        lines.sort_by(|a, b| (&a.bucket, &a.collection).cmp(&(&b.bucket, &b.collection)));
        Self { url, lines, allow_unpinned, allow_unsigned }
    }

    /// Whether nothing failed.
    pub(super) fn is_good(&self) -> bool {
        !self.lines.iter().any(|line| self.is_failure(line))
    }

    fn is_failure(&self, line: &Line) -> bool {
        match line.verdict {
            Verdict::Verified(_) | Verdict::Private => false,
            Verdict::SelfConsistent => !self.allow_unpinned,
            Verdict::Unsigned => !self.allow_unsigned,
            Verdict::Failed(_) => true,
        }
    }

    fn count(&self, name: &str) -> usize {
        self.lines.iter().filter(|line| line.verdict.name() == name).count()
    }

    /// Prints for people, or for programs.
    pub(super) fn print(&self, json: bool, quiet: bool) {
        if json {
            println!("{}", self.json());
            return;
        }
        for line in &self.lines {
            if !quiet || self.is_failure(line) {
                println!("{}", self.text(line));
            }
        }
        if !quiet {
            println!(
                "{} collections: {} verified, {} self-consistent, {} unsigned, {} private, {} failed",
                self.lines.len(),
                self.count("verified"),
                self.count("self-consistent"),
                self.count("unsigned"),
                self.count("private"),
                self.count("failed"),
            );
        }
    }

    fn text(&self, line: &Line) -> String {
        let name = format!("{}/{}", line.bucket, line.collection);
        let facts = format!("{} records at {}", line.records, line.timestamp);
        let mark = if self.is_failure(line) { "FAILED " } else { "" };
        match &line.verdict {
            Verdict::Verified(by) => format!("{name}: verified by {by}, {facts}"),
            Verdict::Private => format!("{name}: private, not checked"),
            Verdict::Unsigned => format!("{name}: {mark}unsigned, {facts}"),
            Verdict::SelfConsistent => {
                format!("{name}: {mark}self-consistent, by a key that nothing vouches for, {facts}")
            }
            Verdict::Failed(reason) => format!("{name}: FAILED {reason}"),
        }
    }

    fn json(&self) -> Value {
        let collections: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                let detail = match &line.verdict {
                    Verdict::Verified(by) => Value::from(*by),
                    Verdict::Failed(reason) => Value::from(reason.as_str()),
                    Verdict::SelfConsistent | Verdict::Unsigned | Verdict::Private => Value::Null,
                };
                json!({
                    "bucket": line.bucket,
                    "collection": line.collection,
                    "timestamp": line.timestamp,
                    "records": line.records,
                    "verdict": line.verdict.name(),
                    "detail": detail,
                    "ok": !self.is_failure(line),
                })
            })
            .collect();
        json!({"url": self.url, "ok": self.is_good(), "collections": collections})
    }
}
