//! Keys that nobody has asked for, and what was meant.

use std::collections::BTreeSet;

use super::{Environment, Layers, Origin};

/// Where a key that nobody knows is a mistake, whatever file it is in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Guard {
    /// What the keys begin with.
    pub(super) start: &'static str,
    /// Whether every unknown key that begins so is refused, or those only that are near a known one.
    pub(super) all: bool,
}

impl Guard {
    /// Whether the key is refused; `meant` is the known one that was probably meant.
    pub(super) fn covers(self, key: &str, meant: Option<&str>) -> bool {
        (self.all && key.starts_with(self.start))
            || meant.is_some_and(|meant| meant.starts_with(self.start))
    }
}

/// The known key that was probably meant: at most two edits away, or without what guarded keys begin
/// with.
pub(super) fn meant(key: &str, known: &BTreeSet<String>, guards: &[Guard]) -> Option<String> {
    let whole = |guard: &Guard| Some(format!("{}{key}", guard.start)).filter(|k| known.contains(k));
    nearest(key, known).cloned().or_else(|| guards.iter().find_map(whole))
}

/// The known name at a distance of at most two edits.
fn nearest<'a>(key: &str, known: &'a BTreeSet<String>) -> Option<&'a String> {
    known
        .iter()
        .map(|name| (distance(key, name), name))
        .filter(|(d, _)| *d <= 2)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl Layers {
    /// `a-b`, `a_b` and `A.b` are one name in the environment: where two such keys are asked for,
    /// nobody knows which one is meant. A dot for a `_` is no difference: Kinto has both for the
    /// settings of a collection.
    pub(super) fn tell_what_is_ambiguous(&mut self) {
        let alike = |key: &str| key.replace('.', "_");
        for (key, (_, origin)) in &self.values {
            let Origin::Environment(name) = origin else { continue };
            let variable = Environment::name(key);
            let other = self
                .asked
                .iter()
                .find(|other| Environment::name(other) == variable && alike(other) != alike(key));
            if let Some(other) = other {
                self.problems.add(format!(
                    "environment {name} can mean {key} and {other}: write them in the file"
                ));
            }
        }
    }

    /// Kinto also reads variables without a prefix.
    pub(super) fn tell_what_has_no_prefix(&mut self) {
        for key in &self.asked {
            let name = Environment::name(key);
            if self.environment.has_bare(&name) {
                self.warnings.push(format!("environment {name} is not read: KINTO_{name} is"));
            }
        }
    }
}
