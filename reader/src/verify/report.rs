//! What `verify` prints.

use serde_json::{Value, json};
use shared::model::Timestamp;

use super::{Allow, Entry};

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

/// Verdicts that fail because they are not allowed.
const NOT_ACCEPTED: [(&str, &str); 3] = [
    ("self-consistent", "by no trusted key: give --public-key or --root-hash"),
    ("unsigned", "unsigned"),
    ("private", "private"),
];

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
    allow: Allow,
}

impl Report {
    /// Sorts the lines.
    pub(super) fn new(url: String, mut lines: Vec<Line>, allow: Allow) -> Self {
        lines.sort_by(|a, b| (&a.bucket, &a.collection).cmp(&(&b.bucket, &b.collection)));
        Self { url, lines, allow }
    }

    /// Whether nothing failed, and there was something that could.
    pub(super) fn is_good(&self) -> bool {
        !self.is_empty_failure() && self.failures() == 0
    }

    const fn is_empty_failure(&self) -> bool {
        self.lines.is_empty() && !self.allow.empty
    }

    fn failures(&self) -> usize {
        self.lines.iter().filter(|line| self.is_failure(line)).count()
    }

    fn is_failure(&self, line: &Line) -> bool {
        match line.verdict {
            Verdict::Verified(_) => false,
            Verdict::SelfConsistent => !self.allow.unpinned,
            Verdict::Unsigned => !self.allow.unsigned,
            Verdict::Private => !self.allow.private,
            Verdict::Failed(_) => true,
        }
    }

    /// How many have this verdict, and are failures, or not.
    fn count(&self, name: &str, is_failure: bool) -> usize {
        let lines = self.lines.iter().filter(|line| line.verdict.name() == name);
        lines.filter(|line| self.is_failure(line) == is_failure).count()
    }

    /// What is printed, for people or for programs.
    pub(super) fn shown(&self, json: bool, quiet: bool) -> Vec<String> {
        if json {
            return vec![self.json().to_string()];
        }
        let lines = self.lines.iter().filter(|line| !quiet || self.is_failure(line));
        let mut shown: Vec<String> = lines.map(|line| self.text(line)).collect();
        if !quiet {
            shown.push(self.summary());
        }
        if self.is_empty_failure() {
            let text =
                "FAILED nothing was verified: the server lists no collection (--allow-empty)";
            shown.push(text.to_owned());
        }
        shown
    }

    /// Counts each collection once.
    fn summary(&self) -> String {
        let accepted = ["verified", "self-consistent", "unsigned", "private"]
            .map(|name| format!("{} {name}", self.count(name, false)))
            .join(", ");
        let text =
            format!("{} collections: {accepted}, {} failed", self.lines.len(), self.failures());
        let reasons: Vec<String> = NOT_ACCEPTED
            .iter()
            .map(|(name, reason)| (self.count(name, true), reason))
            .filter(|(count, _)| *count > 0)
            .map(|(count, reason)| format!("{count} {reason}"))
            .collect();
        if reasons.is_empty() { text } else { format!("{text} (of these {})", reasons.join(", ")) }
    }

    fn text(&self, line: &Line) -> String {
        let name = format!("{}/{}", line.bucket, line.collection);
        let facts = format!("{} records at {}", line.records, line.timestamp);
        let mark = if self.is_failure(line) { "FAILED " } else { "" };
        match &line.verdict {
            Verdict::Verified(by) => format!("{name}: verified by {by}, {facts}"),
            Verdict::Private => format!("{name}: {mark}private, not checked"),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdicts: &[Verdict], allow: Allow) -> Report {
        let entry = Entry {
            bucket: "main".to_owned(),
            collection: "cfr".to_owned(),
            last_modified: Timestamp::from_millis(7),
        };
        let lines = verdicts.iter().map(|verdict| Line::new(&entry).with(verdict.clone()));
        Report::new(String::new(), lines.collect(), allow)
    }

    #[test]
    fn what_was_not_checked_is_good_only_when_allowed() {
        let none = Allow::default();
        assert!(!report(&[], none).is_good());
        assert!(report(&[], Allow { empty: true, ..none }).is_good());
        assert!(!report(&[Verdict::Private], none).is_good());
        assert!(report(&[Verdict::Private], Allow { private: true, ..none }).is_good());
    }

    #[test]
    fn the_summary_counts_each_collection_once() {
        let verdicts = [
            Verdict::SelfConsistent,
            Verdict::Verified("chain"),
            Verdict::Unsigned,
            Verdict::Failed(String::new()),
        ];
        assert_eq!(
            report(&verdicts, Allow::default()).summary(),
            "4 collections: 1 verified, 0 self-consistent, 0 unsigned, 0 private, 3 failed (of \
             these 1 by no trusted key: give --public-key or --root-hash, 1 unsigned)"
        );
        let all = Allow { unpinned: true, unsigned: true, ..Allow::default() };
        assert_eq!(
            report(&verdicts, all).summary(),
            "4 collections: 1 verified, 1 self-consistent, 1 unsigned, 0 private, 1 failed"
        );
    }
}
