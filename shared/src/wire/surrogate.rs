//! The names by which caches are told to forget answers: `Surrogate-Key` and `Cache-Tag`.
//!
//! Readers write them on answers, the writer purges by them: both take them from here.

/// The longest key, in bytes, that both Fastly and Cloudflare accept.
const MAX_BYTES: usize = 1_024;

/// The key of what depends on one thing: what answers carry, and what is purged when that changes.
///
/// ASCII without blanks, commas and quotes: valid in `Surrogate-Key` (separated by blanks), in
/// `Cache-Tag` (by commas), and nothing that a regular expression would read otherwise.
/// Cloudflare does not tell upper from lower case: it purges more, then, never less.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SurrogateKey(String);

impl SurrogateKey {
    /// Of every answer: `countersign`. For operators; no publication purges it.
    pub fn everything() -> Self {
        Self("countersign".to_owned())
    }

    /// Of a bucket and of all that is in it: `bucket:{bucket}`.
    pub fn bucket(bucket: &str) -> Self {
        Self::cut(format!("bucket:{bucket}"))
    }

    /// Of a bucket and of its list of collections, but not of what is in these:
    /// `collections:{bucket}`.
    pub fn collections(bucket: &str) -> Self {
        Self::cut(format!("collections:{bucket}"))
    }

    /// Of all that shows a collection: its changeset, its metadata, its records:
    /// `{bucket}/{collection}`.
    pub fn collection(bucket: &str, collection: &str) -> Self {
        Self::cut(format!("{bucket}/{collection}"))
    }

    /// Of what lists all published collections, in any form: `monitor/changes`.
    pub fn monitor() -> Self {
        Self::collection("monitor", "changes")
    }

    /// The keys of an answer about a collection: its changeset, its metadata, its records.
    pub fn of_collection(bucket: &str, collection: &str) -> Vec<Self> {
        vec![Self::everything(), Self::bucket(bucket), Self::collection(bucket, collection)]
    }

    /// The keys of an answer about a bucket: its metadata, its list of collections.
    pub fn of_bucket(bucket: &str) -> Vec<Self> {
        vec![Self::everything(), Self::bucket(bucket), Self::collections(bucket)]
    }

    /// The keys of an answer that lists the published collections.
    pub fn of_monitor() -> Vec<Self> {
        vec![Self::everything(), Self::monitor()]
    }

    /// The keys of every other answer.
    pub fn of_others() -> Vec<Self> {
        vec![Self::everything()]
    }

    /// The key as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Two ids of 512 bytes are too long together: keys that share a beginning are purged together.
    fn cut(mut text: String) -> Self {
        // Ids are ASCII.
        if text.is_char_boundary(MAX_BYTES) {
            text.truncate(MAX_BYTES);
        }
        Self(text)
    }
}

/// The value of `Surrogate-Key`, which Fastly and Varnish read.
pub fn surrogate_key_header(keys: &[SurrogateKey]) -> String {
    joined(keys, " ")
}

/// The value of `Cache-Tag`, which Cloudflare reads.
pub fn cache_tag_header(keys: &[SurrogateKey]) -> String {
    joined(keys, ",")
}

fn joined(keys: &[SurrogateKey], separator: &str) -> String {
    keys.iter().map(SurrogateKey::as_str).collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_listed_as_each_cache_wants_them() {
        let keys = [SurrogateKey::everything(), SurrogateKey::collection("main", "cfr")];

        assert_eq!(surrogate_key_header(&keys), "countersign main/cfr");
        assert_eq!(cache_tag_header(&keys), "countersign,main/cfr");
    }

    #[test]
    fn no_two_things_share_a_key() {
        let keys = [
            SurrogateKey::everything(),
            SurrogateKey::monitor(),
            SurrogateKey::bucket("countersign"),
            SurrogateKey::bucket("main"),
            SurrogateKey::collections("main"),
            SurrogateKey::collection("main", "a"),
            SurrogateKey::collection("main-preview", "a"),
        ];

        let distinct: std::collections::BTreeSet<&SurrogateKey> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }

    #[test]
    fn the_longest_ids_fit() {
        let id = "x".repeat(512);

        assert_eq!(SurrogateKey::collection(&id, &id).as_str().len(), MAX_BYTES);
    }
}
