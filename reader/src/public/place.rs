//! Which object or list a URL names.

use std::borrow::Cow;

type Name<'a> = Cow<'a, str>;

/// An object or a list. Its ids are unchecked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place<'a> {
    /// All buckets.
    Buckets,
    /// A bucket.
    Bucket(Name<'a>),
    /// The collections of a bucket.
    Collections(Name<'a>),
    /// A collection.
    Collection(Name<'a>, Name<'a>),
    /// The records of a collection.
    Records(Name<'a>, Name<'a>),
    /// A record.
    Record(Name<'a>, Name<'a>, Name<'a>),
}

impl<'a> Place<'a> {
    /// Reads the decoded segments of a path that begins with `v1/buckets`.
    pub fn of(segments: Vec<Name<'a>>) -> Option<Self> {
        let mut rest = segments.into_iter().skip(2);
        let Some(bucket) = rest.next() else { return Some(Self::Buckets) };
        match rest.next().as_deref() {
            None => return Some(Self::Bucket(bucket)),
            Some("collections") => {}
            Some(_) => return None,
        }
        let Some(collection) = rest.next() else { return Some(Self::Collections(bucket)) };
        match rest.next().as_deref() {
            None => return Some(Self::Collection(bucket, collection)),
            Some("records") => {}
            Some(_) => return None,
        }
        match (rest.next(), rest.next()) {
            (None, _) => Some(Self::Records(bucket, collection)),
            (Some(record), None) => Some(Self::Record(bucket, collection, record)),
            (Some(_), Some(_)) => None,
        }
    }

    /// The name in metrics and logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Buckets => "buckets",
            Self::Bucket(_) => "bucket",
            Self::Collections(_) => "collections",
            Self::Collection(..) => "collection",
            Self::Records(..) => "records",
            Self::Record(..) => "record",
        }
    }
}
