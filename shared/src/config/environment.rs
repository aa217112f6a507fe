//! Variables of the environment, each of which is for one setting.

use std::collections::{BTreeMap, BTreeSet};

use super::layers::Origin;

/// What the names of our variables begin with; the first goes before the second.
const PREFIXES: [&str; 2] = ["COUNTERSIGN_", "KINTO_"];

/// What the name of a variable ends in that names a file with the text.
const FILE: &str = "_FILE";

/// The variables that no setting has taken.
#[derive(Debug, Default)]
pub(super) struct Environment {
    ours: BTreeMap<String, String>,
    /// The names of all others: any program's.
    others: BTreeSet<String>,
}

/// A variable that a setting has taken.
pub(super) struct Variable {
    name: String,
    text: String,
    is_path: bool,
}

impl Variable {
    /// The text, and where it comes from.
    pub(super) fn read(self) -> Result<(String, Origin), String> {
        let Self { name, text, is_path } = self;
        if !is_path {
            return Ok((text, Origin::Environment(name)));
        }
        match std::fs::read_to_string(&text) {
            Ok(read) => Ok((read, Origin::Environment(name))),
            Err(error) => Err(format!("{name}: {text}: {error}")),
        }
    }
}

impl Environment {
    /// Those that are ours by their names.
    pub(super) fn new(variables: impl Iterator<Item = (String, String)>) -> Self {
        let is_ours = |name: &str| PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        let (ours, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            variables.partition(|(name, _)| is_ours(name));
        Self { ours, others: others.into_keys().collect() }
    }

    /// Whether there is a variable of this very name, which is no setting: other programs, and
    /// whoever starts them, have names as plain as Kinto's.
    pub(super) fn has_bare(&self, name: &str) -> bool {
        self.others.contains(name)
    }

    /// What follows the prefix in the names of a key's variables.
    pub(super) fn name(key: &str) -> String {
        key.to_uppercase().replace(['.', '-'], "_")
    }

    /// The variable that counts for `key`. The others of this key go as well: the second who asks
    /// must not find one of them.
    pub(super) fn take(&mut self, key: &str) -> Option<Variable> {
        let name = Self::name(key);
        PREFIXES.iter().fold(None, |found, prefix| {
            let plain = self.variable(format!("{prefix}{name}"), false);
            let path = self.variable(format!("{prefix}{name}{FILE}"), true);
            found.or(plain).or(path)
        })
    }

    /// Those whose names have this beginning and end, with what is between them; of one name, the
    /// one that counts comes first.
    pub(super) fn take_between(&mut self, start: &str, end: &str) -> Vec<(String, Variable)> {
        let names: Vec<String> = self.ours.keys().cloned().collect();
        let mut found = Vec::new();
        for (prefix, name) in PREFIXES.iter().flat_map(|p| names.iter().map(move |n| (p, n))) {
            let (plain, is_path) =
                name.strip_suffix(FILE).map_or((name.as_str(), false), |plain| (plain, true));
            let rest = plain.strip_prefix(prefix).and_then(|rest| rest.strip_prefix(start));
            let Some(between) = rest.and_then(|rest| rest.strip_suffix(end)) else { continue };
            let variable = self.variable(name.clone(), is_path);
            found.extend(variable.map(|variable| (between.to_owned(), variable)));
        }
        found
    }

    /// The names of those for keys that begin with `start`.
    pub(super) fn take_beginning(&mut self, start: &str) -> Vec<String> {
        let start = Self::name(start);
        let is_wanted = |name: &str| {
            let mut rests = PREFIXES.iter().filter_map(|prefix| name.strip_prefix(prefix));
            rests.any(|rest| rest.starts_with(&start))
        };
        let names: Vec<String> = self.ours.keys().filter(|name| is_wanted(name)).cloned().collect();
        self.ours.retain(|name, _| !is_wanted(name));
        names
    }

    /// The names of those that are left.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.ours.keys()
    }

    fn variable(&mut self, name: String, is_path: bool) -> Option<Variable> {
        self.ours.remove(&name).map(|text| Variable { name, text, is_path })
    }
}
