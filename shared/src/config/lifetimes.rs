//! How long caches may keep what everybody may read (`kinto-http-api.md` §1.13).

use std::collections::BTreeMap;

use http::{HeaderValue, header};
use serde_json::{Map, Value};

use super::Layers;
use crate::{
    http::Reply,
    model::{ListPath, Resource, Timestamp},
};

/// Lifetimes in seconds, by the settings that give them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifetimes(BTreeMap<String, u32>);

const RECORDS: &str = "record_cache_expires_seconds";
const RESOURCES: [Resource; 4] =
    [Resource::Bucket, Resource::Group, Resource::Collection, Resource::Account];

impl Lifetimes {
    /// Reads `{resource}_cache_expires_seconds` and, for records, those of one bucket or one
    /// collection: `{b}.`, `{b}.{c}.`, or Kinto's former `{b}_`, `{b}_{c}_`.
    pub fn read(layers: &mut Layers) -> Self {
        let mut keys = layers.keys(|key| key.ends_with(RECORDS));
        keys.extend(RESOURCES.map(|resource| format!("{}_cache_expires_seconds", resource.name())));
        keys.push(RECORDS.to_owned());
        let mut lifetimes = BTreeMap::new();
        for key in keys {
            if let Some(seconds) = layers.lifetime(&key) {
                lifetimes.insert(key, seconds);
            }
        }
        Self(lifetimes)
    }

    /// The lifetime of lists and objects that are not records; 0 counts as none.
    fn of(&self, resource: Resource) -> Option<u32> {
        let key = format!("{}_cache_expires_seconds", resource.name());
        self.0.get(&key).copied().filter(|seconds| *seconds > 0)
    }

    /// The lifetime of a collection's records: the most special setting, and not less than the
    /// collection's own attribute.
    fn of_records(&self, bucket: &str, collection: &str, attribute: Option<u32>) -> Option<u32> {
        let setting = [
            format!("{bucket}.{collection}.{RECORDS}"),
            format!("{bucket}.{RECORDS}"),
            RECORDS.to_owned(),
            format!("{bucket}_{collection}_{RECORDS}"),
            format!("{bucket}_{RECORDS}"),
        ]
        .iter()
        .find_map(|key| self.0.get(key).copied());
        setting.max(attribute)
    }

    /// The lifetime of what is in a list; `attribute` is `cache_expires` of a list of records'
    /// collection.
    pub fn of_list(&self, list: &ListPath, attribute: Option<u32>) -> Option<u32> {
        match list {
            ListPath::Records(bucket, collection) => self.of_records(bucket, collection, attribute),
            ListPath::Buckets
            | ListPath::Groups(_)
            | ListPath::Collections(_)
            | ListPath::Accounts
            | ListPath::History(_) => self.of(list.resource()),
        }
    }
}

/// A collection's attribute `cache_expires`.
pub fn cache_expires(collection: &Map<String, Value>) -> Option<u32> {
    u32::try_from(collection.get("cache_expires")?.as_u64()?).ok()
}

/// A reply to everybody, with what caches are told. Nothing is kept where no lifetime is set.
pub fn kept(reply: Reply, lifetime: Option<u32>, now: Timestamp) -> Reply {
    match lifetime {
        Some(seconds) => reply.lifetime(seconds, now),
        None => reply.header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetimes(pairs: &[(&str, u32)]) -> Lifetimes {
        Lifetimes(pairs.iter().map(|(key, seconds)| ((*key).to_owned(), *seconds)).collect())
    }

    #[test]
    fn the_most_special_setting_wins() {
        let all = lifetimes(&[
            ("b.c.record_cache_expires_seconds", 1),
            ("b.record_cache_expires_seconds", 2),
            ("record_cache_expires_seconds", 3),
            ("old_c_record_cache_expires_seconds", 4),
        ]);

        assert_eq!(all.of_records("b", "c", None), Some(1));
        assert_eq!(all.of_records("b", "d", None), Some(2));
        assert_eq!(all.of_records("x", "c", None), Some(3));
        let old = lifetimes(&[
            ("b_c_record_cache_expires_seconds", 5),
            ("b_record_cache_expires_seconds", 6),
        ]);
        assert_eq!(
            (old.of_records("b", "c", None), old.of_records("b", "d", None)),
            (Some(5), Some(6))
        );
        assert_eq!(old.of_records("x", "c", None), None);
    }

    #[test]
    fn the_collection_may_only_lengthen() {
        let ten = lifetimes(&[("record_cache_expires_seconds", 10)]);

        assert_eq!(ten.of_records("b", "c", Some(5)), Some(10));
        assert_eq!(ten.of_records("b", "c", Some(50)), Some(50));
        assert_eq!(lifetimes(&[]).of_records("b", "c", Some(0)), Some(0));
    }

    #[test]
    fn zero_is_no_lifetime_of_other_resources() {
        let zero =
            lifetimes(&[("bucket_cache_expires_seconds", 0), ("group_cache_expires_seconds", 9)]);

        assert_eq!((zero.of(Resource::Bucket), zero.of(Resource::Group)), (None, Some(9)));
    }
}
