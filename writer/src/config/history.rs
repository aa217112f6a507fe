//! `history.*`: what is recorded, and how much of it is kept (`kinto-http-api.md` §7.2.8).

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use shared::{config::Layers, model::ObjectPath};

use super::{Plugin, Plugins, Subtrees};

/// Whether and what history is recorded.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Whether the plug-in is switched on.
    pub enabled: bool,
    /// What is not recorded.
    pub excluded: Subtrees,
    /// Prefixed ids of users whose changes are not recorded.
    pub excluded_users: BTreeSet<String>,
    /// How much is kept; everything without.
    pub trim: Option<Trim>,
}

/// How many entries are kept of each kind of object in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// So many, the newest.
    pub keep: i64,
    /// So many more may gather before they are deleted.
    pub slack: i64,
    /// Only the entries of these users, each on his own; of all users together when empty.
    pub users: BTreeSet<String>,
}

impl History {
    /// Reads the settings.
    pub fn read(layers: &mut Layers, plugins: &Plugins) -> Self {
        Self {
            enabled: plugins.has(Plugin::History),
            excluded: Subtrees::read(layers, "history.exclude_resources"),
            excluded_users: layers.words("history.exclude_user_ids").into_iter().collect(),
            trim: trim(layers),
        }
    }

    /// Whether changes of the object are recorded.
    pub fn records(&self, path: &ObjectPath) -> bool {
        self.enabled && !self.excluded.contain(path)
    }

    /// The capability in the hello view.
    pub fn capability(&self) -> Value {
        let mut shown = json!({
            "description": "Track changes on data.",
            "url": "http://kinto.readthedocs.io/en/latest/api/1.x/history.html",
        });
        if let Some(trim) = &self.trim {
            shown["auto_trim_max_count"] = trim.keep.into();
            if !trim.users.is_empty() {
                shown["auto_trim_user_ids"] = json!(trim.users);
            }
        }
        let excluded: Vec<Value> = self.excluded.iter().map(parts).collect();
        if !excluded.is_empty() {
            shown["excluded_resources"] = excluded.into();
        }
        shown
    }
}

fn trim(layers: &mut Layers) -> Option<Trim> {
    let count = "a whole number";
    let keep = layers.parsed::<i64>("history.auto_trim_max_count", count).unwrap_or(-1);
    let slack = layers.parsed::<i64>("history.auto_trim_threshold", count).unwrap_or(0).max(0);
    let users = layers.words("history.auto_trim_user_ids").into_iter().collect();
    (keep > 0).then_some(Trim { keep, slack, users })
}

/// `{"bucket": "b", "collection": "c", "record": "r"}`
fn parts(path: &ObjectPath) -> Value {
    let own = [path.clone()];
    let all = path.ancestors().chain(own);
    let named = all.map(|path| (path.resource().name().to_owned(), path.id.as_str().into()));
    Value::Object(named.collect::<Map<String, Value>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> History {
        let mut layers = Layers::new("");
        layers.set("includes", "kinto.plugins.history");
        for (key, value) in settings {
            layers.set(key, *value);
        }
        let plugins = Plugins::read(&mut layers);
        let history = History::read(&mut layers, &plugins);
        layers.finish().unwrap();
        history
    }

    #[test]
    fn the_capability_shows_what_is_excluded_in_parts() {
        let history = read(&[(
            "history.exclude_resources",
            "/buckets/main /buckets/b/groups/g /buckets/b/collections/d/records/r",
        )]);

        assert_eq!(
            history.capability()["excluded_resources"],
            json!([
                {"bucket": "main"},
                {"bucket": "b", "group": "g"},
                {"bucket": "b", "collection": "d", "record": "r"},
            ])
        );
    }

    #[test]
    fn nothing_is_trimmed_without_a_maximum() {
        for off in ["", "-1", "0"] {
            assert_eq!(read(&[("history.auto_trim_max_count", off)]).trim, None, "{off:?}");
        }
        let trim = read(&[
            ("history.auto_trim_max_count", "10"),
            ("history.auto_trim_threshold", "100"),
            ("history.auto_trim_user_ids", "plugin:remote-settings account:bot"),
        ])
        .trim
        .unwrap();

        assert_eq!((trim.keep, trim.slack, trim.users.len()), (10, 100, 2));
    }
}
