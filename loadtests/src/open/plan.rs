//! What clients ask for: calls, and visits, which are calls of one client one after another.

use std::collections::HashMap;

use hyper::Uri;
use rand::{RngExt as _, rngs::StdRng};

/// What a call is for: the rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The list of published collections.
    Monitor,
    /// A whole collection.
    Changeset,
    /// What changed in a collection.
    Delta,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Monitor, Self::Changeset, Self::Delta];

    /// As people read it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::Changeset => "changeset",
            Self::Delta => "delta",
        }
    }
}

/// One URL, and how its answer is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// Path and query, below the URL of the service.
    pub(crate) path: String,
    /// The same, with the path of the service.
    pub(crate) uri: Uri,
    /// Its row.
    pub(crate) kind: Kind,
    /// The collection's number in the catalogue; none for the monitor.
    pub(crate) collection: Option<usize>,
    /// `_since`, or 0.
    pub(crate) since: i64,
    /// `_expected`, or 0.
    pub(crate) expected: i64,
}

/// Calls of a client, in their order: each begins when the one before it is answered.
#[derive(Debug, Clone)]
struct Visit {
    calls: Vec<usize>,
    /// The sum of all weights up to this one.
    up_to: f64,
}

/// Visits, and how often each is made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    prefix: String,
    calls: Vec<Call>,
    numbers: HashMap<String, usize>,
    visits: Vec<Visit>,
    /// Each visit is by a client that was not connected before.
    pub(crate) is_fresh: bool,
}

impl Plan {
    /// No visits yet; the service is at the path `prefix`.
    pub(crate) fn new(prefix: &str) -> Self {
        let (calls, numbers, visits) = (Vec::new(), HashMap::new(), Vec::new());
        Self { prefix: prefix.to_owned(), calls, numbers, visits, is_fresh: false }
    }

    /// The number of a call, which is added unless it is there. A path that is no URL is dropped:
    /// ids of collections are checked by the server that lists them.
    pub(crate) fn call(
        &mut self,
        path: String,
        kind: Kind,
        collection: Option<usize>,
        [expected, since]: [i64; 2],
    ) -> Option<usize> {
        if let Some(number) = self.numbers.get(&path) {
            return Some(*number);
        }
        let uri = format!("{}{path}", self.prefix).parse().ok()?;
        let number = self.calls.len();
        self.numbers.insert(path.clone(), number);
        self.calls.push(Call { path, uri, kind, collection, since, expected });
        Some(number)
    }

    /// Adds a visit that is as frequent as its weight among all weights.
    pub(crate) fn visit(&mut self, weight: f64, calls: impl IntoIterator<Item = Option<usize>>) {
        let calls: Vec<usize> = calls.into_iter().flatten().collect();
        if calls.is_empty() || weight <= 0.0 {
            return;
        }
        let up_to = self.visits.last().map_or(0.0, |visit| visit.up_to) + weight;
        self.visits.push(Visit { calls, up_to });
    }

    /// Draws a visit: its number.
    pub(crate) fn draw(&self, rng: &mut StdRng) -> usize {
        let total = self.visits.last().map_or(0.0, |visit| visit.up_to);
        let point = rng.random::<f64>() * total;
        self.visits.partition_point(|visit| visit.up_to <= point)
    }

    /// The calls of a visit.
    pub(crate) fn calls_of(&self, visit: usize) -> impl ExactSizeIterator<Item = &Call> {
        let calls = self.visits.get(visit).map_or(&[] as &[_], |visit| &visit.calls);
        calls.iter().map(|number| &self.calls[*number])
    }

    /// Every call.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// Whether nothing would ever be asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.visits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn visits_come_as_often_as_they_weigh() {
        let mut plan = Plan::new("/v1");
        for (path, weight) in [("/a", 1.0), ("/b", 0.0), ("/c", 3.0)] {
            let call = plan.call(path.to_owned(), Kind::Monitor, None, [0, 0]);
            plan.visit(weight, [call]);
        }
        let mut rng = StdRng::seed_from_u64(1);
        let mut counts = HashMap::new();
        for _ in 0..40_000 {
            let visit = plan.draw(&mut rng);
            let path = plan.calls_of(visit).next().unwrap().uri.path().to_owned();
            *counts.entry(path).or_insert(0_u32) += 1;
        }
        assert_eq!(counts.len(), 2, "{counts:?}");
        assert!((9_500..10_500).contains(&counts["/v1/a"]), "{counts:?}");
    }

    #[test]
    fn a_path_is_one_call() {
        let mut plan = Plan::new("/v1");
        let first = plan.call("/a".to_owned(), Kind::Monitor, None, [0, 0]);
        assert_eq!(plan.call("/a".to_owned(), Kind::Monitor, None, [0, 0]), first);
        assert_eq!(plan.call("/a b".to_owned(), Kind::Monitor, None, [0, 0]), None);
        assert_eq!(plan.calls().len(), 1);
    }
}
