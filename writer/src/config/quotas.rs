//! `quotas.*`: how much a bucket or a collection may hold (`platform-features.md` §5.1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use shared::{config::Layers, model::ObjectPath};

use super::{Plugin, Plugins, Subtrees};

const MAX_BYTES: &str = "max_bytes";
const MAX_ITEMS: &str = "max_items";
const MAX_BYTES_PER_ITEM: &str = "max_bytes_per_item";
const LIMITS: [&str; 3] = [MAX_BYTES, MAX_ITEMS, MAX_BYTES_PER_ITEM];
const SCOPES: [&str; 4] = ["bucket", "collection", "user", "default_collection"];

/// The limits, by the names of their settings without `quotas.`.
#[derive(Debug, Clone, Default)]
pub struct Quotas {
    /// Whether the plug-in is switched on.
    pub enabled: bool,
    /// What is neither counted nor limited.
    pub excluded: Subtrees,
    limits: BTreeMap<String, i64>,
}

/// The limits of one bucket or collection; none where there is no setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes in all.
    pub max_bytes: Option<i64>,
    /// Most records.
    pub max_items: Option<i64>,
    /// Most bytes of one object.
    pub max_bytes_per_item: Option<i64>,
}

impl Quotas {
    /// Reads the settings: those for all, and those that name buckets, collections or policies.
    pub fn read(layers: &mut Layers, plugins: &Plugins) -> Self {
        let general = ["bucket", "collection"]
            .iter()
            .flat_map(|scope| LIMITS.map(|limit| format!("quotas.{scope}_{limit}")));
        let keys: BTreeSet<String> = general.chain(layers.keys(is_limit)).collect();
        let mut limits = BTreeMap::new();
        for key in keys {
            let largest = i64::MAX.unsigned_abs();
            if let Some(limit) = layers.optional_number(&key, 0, largest) {
                let name = key.trim_start_matches("quotas.").to_owned();
                limits.insert(name, i64::try_from(limit).unwrap_or(i64::MAX));
            }
        }
        let excluded = Subtrees::read(layers, "quotas.exclude_resources");
        Self { enabled: plugins.has(Plugin::Quotas), excluded, limits }
    }

    /// Whether the object is counted.
    pub fn counts(&self, path: &ObjectPath) -> bool {
        self.enabled && !self.excluded.contain(path)
    }

    /// Whether personal buckets have limits of their own.
    pub fn name_personal_buckets(&self) -> bool {
        let personal = |name: &String| name.starts_with("user_") || name.starts_with("default_");
        self.limits.keys().any(personal)
    }

    /// The limits of a bucket; `owner` is the policy of the user whose personal bucket it is.
    pub fn bucket(&self, bucket: &str, owner: Option<&str>) -> Limits {
        let scopes = [
            Some(format!("bucket_{bucket}")),
            owner.map(|policy| format!("user_{policy}")),
            Some("bucket".to_owned()),
        ];
        self.limits(&scopes)
    }

    /// The limits of a collection of a bucket, personal or not.
    pub fn collection(&self, bucket: &str, collection: &str, personal: bool) -> Limits {
        let scopes = [
            Some(format!("collection_{bucket}_{collection}")),
            Some(format!("collection_{bucket}")),
            personal.then(|| format!("default_collection_{collection}")),
            Some("collection".to_owned()),
        ];
        self.limits(&scopes)
    }

    /// The first scope that has a limit decides about it.
    fn limits(&self, scopes: &[Option<String>]) -> Limits {
        let first = |limit: &str| {
            let mut names = scopes.iter().flatten().map(|scope| format!("{scope}_{limit}"));
            names.find_map(|name| self.limits.get(&name).copied())
        };
        Limits {
            max_bytes: first(MAX_BYTES),
            max_items: first(MAX_ITEMS),
            max_bytes_per_item: first(MAX_BYTES_PER_ITEM),
        }
    }

    /// The capability in the hello view.
    pub fn capability() -> Value {
        json!({
            "description": "Quotas Management on buckets and collections.",
            "url": "https://kinto.readthedocs.io",
        })
    }
}

impl Limits {
    /// The limits that there are, by name.
    pub fn to_value(self) -> Value {
        let all = [
            (MAX_BYTES, self.max_bytes),
            (MAX_ITEMS, self.max_items),
            (MAX_BYTES_PER_ITEM, self.max_bytes_per_item),
        ];
        let set = all.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?)));
        Value::Object(set.map(|(name, limit)| (name, limit.into())).collect())
    }
}

fn is_limit(key: &str) -> bool {
    let Some(name) = key.strip_prefix("quotas.") else { return false };
    let scoped = SCOPES
        .iter()
        .any(|scope| name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('_')));
    scoped && LIMITS.iter().any(|limit| name.ends_with(&format!("_{limit}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Quotas {
        let mut layers = Layers::new("");
        for (key, value) in settings {
            layers.set(key, *value);
        }
        let quotas = Quotas::read(&mut layers, &Plugins::default());
        layers.finish().unwrap();
        quotas
    }

    #[test]
    fn the_most_specific_limit_decides_each_by_itself() {
        let quotas = read(&[
            ("quotas.bucket_max_bytes", "1000"),
            ("quotas.bucket_max_items", "10"),
            ("quotas.bucket_b_max_bytes", "2000"),
            ("quotas.collection_max_items", "1"),
            ("quotas.collection_b_max_items", "2"),
            ("quotas.collection_b_c_max_items", "3"),
            ("quotas.collection_b_c_max_bytes_per_item", "7"),
        ]);

        let limits = |max_bytes, max_items| Limits { max_bytes, max_items, ..Limits::default() };
        assert_eq!(quotas.bucket("a", None), limits(Some(1000), Some(10)));
        assert_eq!(quotas.bucket("b", None), limits(Some(2000), Some(10)));
        assert_eq!(quotas.collection("a", "c", false).max_items, Some(1));
        assert_eq!(quotas.collection("b", "d", false).max_items, Some(2));
        let exact = quotas.collection("b", "c", false);
        assert_eq!((exact.max_items, exact.max_bytes_per_item), (Some(3), Some(7)));
    }

    #[test]
    fn personal_buckets_are_limited_by_policy_and_by_collection() {
        let quotas = read(&[
            ("quotas.bucket_max_bytes", "1"),
            ("quotas.user_fxa_max_bytes", "2"),
            ("quotas.collection_max_items", "1"),
            ("quotas.default_collection_crypto_max_items", "2"),
        ]);

        assert!(quotas.name_personal_buckets());
        assert_eq!(quotas.bucket("b", None).max_bytes, Some(1));
        assert_eq!(quotas.bucket("b", Some("account")).max_bytes, Some(1));
        assert_eq!(quotas.bucket("b", Some("fxa")).max_bytes, Some(2));
        assert_eq!(quotas.collection("b", "crypto", false).max_items, Some(1));
        assert_eq!(quotas.collection("b", "crypto", true).max_items, Some(2));
    }

    #[test]
    fn what_is_no_limit_is_not_a_setting() {
        let mut layers = Layers::new("");
        layers.set("quotas.bucket_b_max_things", "1");
        layers.set("quotas.bucket_max_bytes", "-1");

        Quotas::read(&mut layers, &Plugins::default());

        assert_eq!(layers.finish().unwrap_err().lines().len(), 2);
    }
}
