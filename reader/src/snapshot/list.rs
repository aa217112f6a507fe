//! A changeset's body, rendered once: whole, and as the prefixes that answer `_since`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use http::HeaderMap;
use shared::{model::Timestamp, wire::changeset_head};

use super::Lineage;
use crate::answer::{
    Accepted, DictionaryId, Dress, Forms, Prepared, dictionary::AVAILABLE_DICTIONARY,
};

const TAIL: &[u8] = b"]}";

/// One rendered change.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its timestamp.
    pub last_modified: Timestamp,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Its JSON.
    pub json: &'a [u8],
}

/// Where a rendered change is.
#[derive(Debug, Clone, Copy)]
struct Row {
    last_modified: Timestamp,
    deleted: bool,
    /// Where it ends in the rendered rows.
    end: usize,
}

/// A change that is to be rendered.
#[derive(Debug)]
pub struct Change {
    /// Its timestamp.
    pub last_modified: Timestamp,
    /// Whether it is a tombstone, shown to those only who name a `_since`.
    pub deleted: bool,
    /// Its JSON.
    pub json: Vec<u8>,
}

/// A list that is rendered, and not compressed yet.
#[derive(Debug)]
pub struct Draft {
    rows: Vec<Row>,
    live: usize,
    head: usize,
    /// Everything, tombstones included.
    all: Bytes,
}

/// A list as it is served: `{"metadata":…,"timestamp":…,"changes":[…]}`, newest first.
#[derive(Debug)]
pub struct List {
    serial: u64,
    draft: Draft,
    dress: Dress,
    full: Forms,
    lineage: Option<Arc<Lineage>>,
}

/// Which changes of a list are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// All live ones.
    Full,
    /// So many of the newest live ones.
    Live(usize),
    /// So many of the newest, tombstones included.
    Newest(usize),
}

impl Draft {
    /// Renders `changes`, which are sorted newest first.
    pub fn new(metadata: &[u8], timestamp: Timestamp, changes: &[Change]) -> Self {
        let mut all = changeset_head(metadata, timestamp);
        let head = all.len();
        // To the byte: the list is kept, and what is reserved beyond it would be as well.
        let length: usize = changes.iter().map(|change| change.json.len() + 1).sum();
        all.reserve_exact(length.saturating_sub(1) + TAIL.len());
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            separate(&mut all, rows.is_empty());
            all.extend_from_slice(&change.json);
            let end = all.len() - head;
            rows.push(Row { last_modified: change.last_modified, deleted: change.deleted, end });
        }
        all.extend_from_slice(TAIL);
        let live = rows.iter().filter(|row| !row.deleted).count();
        Self { rows, live, head, all: all.into() }
    }

    /// Prepares the whole list, which follows `old`, to be sent with these headers; `is_patient` as in
    /// [`Forms::new`].
    pub fn finish(self, dress: Dress, old: Option<&List>, is_patient: bool) -> List {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let full = if self.live == self.rows.len() {
            self.all.clone()
        } else {
            self.render(Part::Live(self.live))
        };
        let full = Forms::new(full.clone(), &dress.of_whole(full.len()), is_patient);
        let lineage = dress.dictionary.as_ref().and_then(|role| {
            Lineage::new(&full, old.and_then(|old| old.lineage.as_ref()), role.rules)
        });
        List { serial: SERIAL.fetch_add(1, Ordering::Relaxed), full, lineage, dress, draft: self }
    }

    /// How many changes there are, tombstones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// How many of them are no tombstones.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The change at `index`, newest first.
    pub fn row(&self, index: usize) -> Option<Shown<'_>> {
        let row = self.rows.get(index)?;
        // The comma between two rows belongs to neither.
        let start = index.checked_sub(1).and_then(|before| self.rows.get(before));
        let start = self.head + start.map_or(0, |before| before.end + 1);
        let json = self.all.get(start..self.head + row.end)?;
        Some(Shown { last_modified: row.last_modified, deleted: row.deleted, json })
    }

    /// The changes from `index` on, newest first.
    pub fn rows_from(&self, index: usize) -> impl Iterator<Item = (usize, Shown<'_>)> {
        (index..self.rows.len()).filter_map(|index| Some((index, self.row(index)?)))
    }

    /// How many changes are at least as new as `last_modified`.
    pub fn count_from(&self, last_modified: Timestamp) -> usize {
        self.rows.partition_point(|row| row.last_modified >= last_modified)
    }

    /// Memory that it takes, in bytes.
    pub fn bytes(&self) -> usize {
        self.all.len() + self.rows.len() * size_of::<Row>()
    }

    /// Whether `list` was made of the same.
    pub fn is_same_as(&self, list: &List) -> bool {
        self.all == list.draft.all
    }

    fn render(&self, part: Part) -> Bytes {
        let rendered = &self.all[self.head..self.all.len() - TAIL.len()];
        let mut out = Vec::new();
        match part {
            Part::Newest(count) => {
                let end = count.checked_sub(1).and_then(|last| self.rows.get(last));
                let end = end.map_or(0, |row| row.end);
                out.reserve_exact(self.head + end + TAIL.len());
                out.extend_from_slice(&self.all[..self.head]);
                out.extend_from_slice(&rendered[..end]);
            }
            Part::Full | Part::Live(_) => {
                let count = if let Part::Live(count) = part { count } else { self.live };
                out.extend_from_slice(&self.all[..self.head]);
                let mut start = 0;
                let mut written = 0;
                for row in &self.rows {
                    if !row.deleted && written < count {
                        separate(&mut out, written == 0);
                        out.extend_from_slice(&rendered[start..row.end]);
                        written += 1;
                    }
                    // The comma between two rows belongs to neither.
                    start = row.end + 1;
                }
            }
        }
        out.extend_from_slice(TAIL);
        out.shrink_to_fit();
        out.into()
    }
}

impl List {
    /// Identifies these very bytes within the process.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The changes.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// The whole list, in each encoding.
    pub fn full(&self) -> &Forms {
        &self.full
    }

    /// What answers made of this list carry.
    pub fn dress(&self) -> &Dress {
        &self.dress
    }

    /// The whole list as the client prefers it, as far as that is there.
    pub fn best(&self, accepted: Accepted) -> &Arc<Prepared> {
        let difference = self.lineage.as_ref().and_then(|lineage| lineage.from(accepted));
        difference.unwrap_or_else(|| self.full.best(accepted))
    }

    /// Whether a request for this part names a dictionary that is none of ours. Its answer is what
    /// everybody gets; kept under that name, as `Vary` has it, it would take the place of something
    /// that somebody asks for.
    pub fn is_strange(&self, part: Part, headers: &HeaderMap) -> bool {
        let role = self.dress.dictionary.as_ref().filter(|_| part == Part::Full);
        if role.is_none_or(|role| !role.rules.allow(self.full.plain().len())) {
            return false;
        }
        let is_ours = |id| self.lineage.as_ref().is_some_and(|lineage| lineage.knows(id));
        headers.contains_key(AVAILABLE_DICTIONARY)
            && !DictionaryId::named(headers).is_some_and(is_ours)
    }

    /// Makes what is missing of the whole list: see [`Forms::complete`] and [`Lineage::complete`].
    pub fn complete(&self) {
        let plain = self.full.plain();
        let dress = self.dress.of_whole(plain.len());
        // First what is waited for: those who come now are those who have a former version.
        if let Some(lineage) = &self.lineage {
            lineage.complete(plain, &dress);
        }
        self.full.complete(&dress);
    }

    /// Whether every form is there.
    pub fn is_complete(&self) -> bool {
        self.full.is_complete() && self.lineage.as_ref().is_none_or(|lineage| lineage.is_complete())
    }

    /// Which part answers `_since` and `_limit`: the same part for every `_since` between the same
    /// two changes.
    pub fn part(&self, since: Option<Timestamp>, limit: Option<usize>) -> Part {
        let limit = limit.unwrap_or(usize::MAX);
        match since {
            None if limit >= self.draft.live => Part::Full,
            None => Part::Live(limit),
            Some(since) => {
                let newer = self.draft.rows.partition_point(|row| row.last_modified > since);
                Part::Newest(newer.min(limit))
            }
        }
    }

    /// The body of a part.
    pub fn render(&self, part: Part) -> Bytes {
        if part == Part::Full { self.full.plain().clone() } else { self.draft.render(part) }
    }

    /// The most bytes that the body of a part can have.
    pub fn length(&self, part: Part) -> usize {
        let Part::Newest(count) = part else { return self.full.plain().len() };
        let last = count.checked_sub(1).and_then(|last| self.draft.rows.get(last));
        self.draft.head + last.map_or(0, |row| row.end) + TAIL.len()
    }

    /// Memory that former versions take, and the differences from them, in bytes.
    pub fn dictionary_bytes(&self) -> usize {
        self.lineage.as_ref().map_or(0, |lineage| lineage.bytes())
    }

    /// Memory that it takes, in bytes, without [`List::dictionary_bytes`].
    pub fn bytes(&self) -> usize {
        let shared = self.draft.live == self.draft.rows.len();
        let all = if shared { 0 } else { self.draft.all.len() };
        all + self.full.bytes() + self.draft.rows.len() * size_of::<Row>()
    }
}

fn separate(out: &mut Vec<u8>, is_first: bool) {
    if !is_first {
        out.push(b',');
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn change(id: u8, last_modified: i64, deleted: bool) -> Change {
        let mut object = json!({"id": format!("r{id}"), "last_modified": last_modified});
        if deleted {
            object["deleted"] = true.into();
        }
        let json = serde_json::to_vec(&object).unwrap();
        Change { last_modified: Timestamp::from_millis(last_modified), deleted, json }
    }

    /// One change per record: its latest.
    fn list(history: &[(u8, bool)]) -> List {
        let mut latest = BTreeMap::new();
        for (at, (id, deleted)) in history.iter().enumerate() {
            latest.insert(*id, (i64::try_from(at).unwrap() + 1, *deleted));
        }
        let mut changes: Vec<Change> =
            latest.iter().map(|(id, (at, deleted))| change(*id, *at, *deleted)).collect();
        changes.sort_by_key(|change| std::cmp::Reverse(change.last_modified));
        let timestamp = Timestamp::from_millis(i64::try_from(history.len()).unwrap());
        Draft::new(b"{}", timestamp, &changes).finish(Dress::default(), None, true)
    }

    fn changes(list: &List, since: Option<Timestamp>, limit: Option<usize>) -> Vec<Value> {
        let body: Value = serde_json::from_slice(&list.render(list.part(since, limit))).unwrap();
        body["changes"].as_array().unwrap().clone()
    }

    fn apply(copy: &mut BTreeMap<String, Value>, changes: Vec<Value>) {
        for change in changes {
            let id = change["id"].as_str().unwrap().to_owned();
            if change["deleted"] == true {
                copy.remove(&id);
            } else {
                copy.insert(id, change);
            }
        }
    }

    proptest! {
        #[test]
        fn a_delta_on_an_old_copy_equals_the_full_list(
            history in proptest::collection::vec((0..9_u8, proptest::bool::ANY), 0..40),
            cut in 0..40_usize,
        ) {
            let cut = cut.min(history.len());
            let mut copy = BTreeMap::new();
            apply(&mut copy, changes(&list(&history[..cut]), None, None));
            let now = list(&history);
            let since = Timestamp::from_millis(i64::try_from(cut).unwrap());

            apply(&mut copy, changes(&now, Some(since), None));

            let mut fresh = BTreeMap::new();
            apply(&mut fresh, changes(&now, None, None));
            prop_assert_eq!(copy, fresh);
        }

        #[test]
        fn a_limit_truncates_and_changes_nothing_else(
            history in proptest::collection::vec((0..9_u8, proptest::bool::ANY), 0..20),
            since in proptest::option::of(0..20_i64),
            limit in 1..20_usize,
        ) {
            let list = list(&history);
            let since = since.map(Timestamp::from_millis);
            let mut all = changes(&list, since, None);

            all.truncate(limit);
            prop_assert_eq!(changes(&list, since, Some(limit)), all);
        }
    }

    #[test]
    fn every_since_between_two_changes_is_the_same_part() {
        let changes = [change(1, 30, false), change(2, 20, true), change(3, 10, false)];
        let list = Draft::new(b"{}", Timestamp::from_millis(30), &changes).finish(
            Dress::default(),
            None,
            true,
        );
        let part = |since| list.part(Some(Timestamp::from_millis(since)), None);

        assert_eq!(part(9), Part::Newest(3));
        assert_eq!((part(20), part(29)), (Part::Newest(1), Part::Newest(1)));
        assert_eq!(part(30), Part::Newest(0));
        assert_eq!(list.part(None, Some(2)), Part::Full);
        assert_eq!(list.part(None, Some(1)), Part::Live(1));
        assert_eq!(
            &list.render(Part::Newest(0))[..],
            br#"{"metadata":{},"timestamp":30,"changes":[]}"#
        );
    }
}
