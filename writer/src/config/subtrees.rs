//! Objects that a setting names by their URIs, each with all that is below it.

use shared::{config::Layers, model::ObjectPath};

/// The objects, in the order of the setting.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subtrees(Vec<ObjectPath>);

impl Subtrees {
    /// Reads a list of URIs: `/buckets/b`, `/buckets/b/collections/c`, …
    pub fn read(layers: &mut Layers, key: &str) -> Self {
        let mut paths = Vec::new();
        for word in layers.words(key) {
            match ObjectPath::parse(&word) {
                Some(path) => paths.push(path),
                None => layers.problem(format!(
                    "{key}: `{word}` is not the URI of a bucket, group, collection or record"
                )),
            }
        }
        Self(paths)
    }

    /// Whether the object is one of them, or below one.
    pub fn contain(&self, path: &ObjectPath) -> bool {
        !self.0.is_empty()
            && (self.0.contains(path) || path.ancestors().any(|above| self.0.contains(&above)))
    }

    /// Whether they contain the object, or something in it.
    pub fn touch(&self, path: &ObjectPath) -> bool {
        self.contain(path) || self.0.iter().any(|one| one.ancestors().any(|above| above == *path))
    }

    /// The objects.
    pub fn iter(&self) -> impl Iterator<Item = &ObjectPath> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(uri: &str) -> ObjectPath {
        ObjectPath::parse(uri).unwrap()
    }

    #[test]
    fn what_is_named_holds_all_that_is_below() {
        let mut layers = Layers::new("");
        let text = "/buckets/main /buckets/b/collections/c\n/buckets/b/collections/d/records/r";
        layers.set("some.resources", text);

        let subtrees = Subtrees::read(&mut layers, "some.resources");

        for (uri, contained) in [
            ("/buckets/main/collections/c/records/r", true),
            ("/buckets/main/groups/g", true),
            ("/buckets/mains", false),
            ("/buckets/b", false),
            ("/buckets/b/collections/c", true),
            ("/buckets/b/collections/d", false),
            ("/buckets/b/collections/d/records/r", true),
            ("/buckets/b/collections/d/records/s", false),
        ] {
            assert_eq!(subtrees.contain(&path(uri)), contained, "{uri}");
        }
        assert!(subtrees.touch(&path("/buckets/b/collections/d")));
        assert!(!subtrees.touch(&path("/buckets/b/collections/e")));
    }

    #[test]
    fn what_is_no_uri_is_told() {
        let mut layers = Layers::new("");
        layers.set("some.resources", "/buckets/b/records/r buckets/b /buckets/ok");

        let subtrees = Subtrees::read(&mut layers, "some.resources");

        assert_eq!(layers.finish().unwrap_err().lines().len(), 2);
        assert!(subtrees.contain(&path("/buckets/ok")));
    }
}
