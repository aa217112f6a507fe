//! Which collection is whose source, preview or destination: `signer.resources`.

use std::collections::BTreeMap;

use shared::model::{Id, ListPath, ObjectPath};

/// A configured line: buckets, or collections.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    source: (Id, Option<Id>),
    preview: Option<(Id, Option<Id>)>,
    destination: (Id, Option<Id>),
}

/// A source collection with its preview, if any, and its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triple {
    /// Where editors write.
    pub source: ObjectPath,
    /// What QA reads.
    pub preview: Option<ObjectPath>,
    /// What clients read.
    pub destination: ObjectPath,
}

/// What a collection is to sign-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Where editors write.
    Source,
    /// Preview or destination: written by sign-off alone.
    Signed,
}

/// The whole of `signer.resources`, and where review is on.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    lines: Vec<Line>,
    review: bool,
    overrides: BTreeMap<String, bool>,
}

impl Resources {
    /// Parses the lines of `signer.resources` (`remote-settings.md` §1.2).
    ///
    /// # Errors
    ///
    /// The first line that is wrong, and why.
    pub fn parse(lines: &[String]) -> Result<Self, String> {
        let lines = lines.iter().map(|line| parse_line(line)).collect::<Result<Vec<_>, _>>()?;
        let mut seen: BTreeMap<(Id, Option<Id>), &str> = BTreeMap::new();
        for line in &lines {
            let roles = [
                (Some(&line.source), "source"),
                (line.preview.as_ref(), "preview"),
                (Some(&line.destination), "destination"),
            ];
            for (uri, role) in roles {
                let Some(uri) = uri else { continue };
                match seen.insert(uri.clone(), role) {
                    None => {}
                    Some("source") if role == "source" => {
                        return Err("cannot repeat resource".to_owned());
                    }
                    Some(earlier) if earlier == role => {
                        return Err(format!("Resources setting has repeated {role} URI"));
                    }
                    Some(_) => return Err("cannot repeat URIs across resources".to_owned()),
                }
            }
        }
        Ok(Self { lines, ..Self::default() })
    }

    /// Sets where a review is needed: everywhere or nowhere, but for `overrides` keyed by
    /// `{bucket}` or `{bucket}.{collection}` of the source (§1.3).
    pub fn set_review(&mut self, review: bool, overrides: BTreeMap<String, bool>) {
        self.review = review;
        self.overrides = overrides;
    }

    /// Whether nothing is signed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The sources: a bucket each, or a collection of it.
    pub fn sources(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.lines.iter().map(|line| {
            let (bucket, collection) = &line.source;
            (bucket.as_str(), collection.as_ref().map(Id::as_str))
        })
    }

    /// The buckets that hold previews or destinations.
    pub fn signed_buckets(&self) -> Vec<String> {
        let targets =
            self.lines.iter().flat_map(|line| [line.preview.as_ref(), Some(&line.destination)]);
        let mut buckets: Vec<String> =
            targets.flatten().map(|(bucket, _)| bucket.to_string()).collect();
        buckets.sort();
        buckets.dedup();
        buckets
    }

    /// Whether approving needs a second person, for this source.
    pub fn review_enabled(&self, bucket: &str, collection: &str) -> bool {
        self.overrides
            .get(&format!("{bucket}.{collection}"))
            .or_else(|| self.overrides.get(bucket))
            .copied()
            .unwrap_or(self.review)
    }

    /// The triple of which this collection is the source. A line that names the collection goes
    /// before one that names its bucket.
    pub fn of_source(&self, bucket: &Id, collection: &Id) -> Option<Triple> {
        let named = (bucket.clone(), Some(collection.clone()));
        let whole = (bucket.clone(), None);
        let line = [named, whole]
            .into_iter()
            .find_map(|uri| self.lines.iter().find(|line| line.source == uri))?;
        let place = |(bucket, named): &(Id, Option<Id>)| {
            let id = named.clone().unwrap_or_else(|| collection.clone());
            ObjectPath::collection(bucket.clone(), id)
        };
        Some(Triple {
            source: ObjectPath::collection(bucket.clone(), collection.clone()),
            preview: line.preview.as_ref().map(place),
            destination: place(&line.destination),
        })
    }

    /// What the collection is to sign-off, if anything.
    pub fn role(&self, bucket: &str, collection: &str) -> Option<Role> {
        let matches = |(b, c): &(Id, Option<Id>)| {
            b.as_str() == bucket && c.as_ref().is_none_or(|c| c.as_str() == collection)
        };
        self.lines.iter().find_map(|line| {
            if matches(&line.source) {
                return Some(Role::Source);
            }
            let signed = line.preview.as_ref().is_some_and(matches) || matches(&line.destination);
            signed.then_some(Role::Signed)
        })
    }

    /// Whether the bucket as a whole is a preview or a destination.
    pub fn is_signed_bucket(&self, bucket: &str) -> bool {
        self.lines.iter().any(|line| {
            let signed = [line.preview.as_ref(), Some(&line.destination)];
            signed.into_iter().flatten().any(|(b, c)| b.as_str() == bucket && c.is_none())
        })
    }

    /// The sources whose preview or destination this collection would be.
    pub fn sources_of(&self, bucket: &str, collection: &Id) -> Vec<ObjectPath> {
        self.lines
            .iter()
            .filter_map(|line| {
                let id = line.source.1.as_ref().unwrap_or(collection);
                let triple = self.of_source(&line.source.0, id)?;
                let targets = [triple.preview.as_ref(), Some(&triple.destination)];
                let hit = targets
                    .into_iter()
                    .flatten()
                    .any(|target| target.bucket_id() == bucket && target.id == *collection);
                hit.then_some(triple.source)
            })
            .collect()
    }

    /// The lines as the capability shows them: source, preview, destination (§1.4).
    pub fn shown(&self) -> serde_json::Value {
        let place = |(bucket, collection): &(Id, Option<Id>)| {
            serde_json::json!({
                "bucket": bucket.as_str(),
                "collection": collection.as_ref().map(Id::as_str),
            })
        };
        self.lines
            .iter()
            .map(|line| {
                let mut shown = serde_json::json!({
                    "source": place(&line.source),
                    "destination": place(&line.destination),
                });
                if let Some(preview) = &line.preview {
                    shown["preview"] = place(preview);
                }
                shown
            })
            .collect()
    }

    /// `to_review_enabled` where nothing overrides it.
    pub fn review_by_default(&self) -> bool {
        self.review
    }
}

impl Triple {
    /// The preview, then the destination.
    pub fn targets(&self) -> impl Iterator<Item = &ObjectPath> {
        self.preview.iter().chain([&self.destination])
    }

    /// The records of one of the three collections.
    pub fn records(collection: &ObjectPath) -> ListPath {
        match &collection.list {
            ListPath::Collections(bucket) => {
                ListPath::Records(bucket.clone(), collection.id.clone())
            }
            // A triple holds collections only; the list of a wrong path is empty.
            ListPath::Buckets
            | ListPath::Groups(_)
            | ListPath::Records(..)
            | ListPath::Accounts
            | ListPath::History(_) => collection.list.clone(),
        }
    }
}

fn parse_line(line: &str) -> Result<Line, String> {
    let malformed = |why: &str| {
        format!("Malformed resource: {why} (in '{line}'). See kinto-remote-settings README.")
    };
    if !line.contains("->") && !line.contains(';') {
        return Err(malformed("not separated with '->'"));
    }
    let spaced = line.replace("->", " ").replace(';', " ");
    let uris = spaced
        .split_whitespace()
        .map(|word| parse_uri(word).map_err(malformed))
        .collect::<Result<Vec<_>, _>>()?;
    let (source, preview, destination) = match uris.as_slice() {
        [source, destination] => (source, None, destination),
        [source, preview, destination] => (source, Some(preview), destination),
        _ => return Err(malformed("should be a pair or a triplet")),
    };
    if uris.iter().any(|uri| uri.1.is_some() != source.1.is_some()) {
        return Err(malformed("cannot mix bucket and collection URIs"));
    }
    if source == destination || preview.is_some_and(|uri| uri == source || uri == destination) {
        return Err(malformed("cannot have same value for source,  preview or destination"));
    }
    Ok(Line { source: source.clone(), preview: preview.cloned(), destination: destination.clone() })
}

fn parse_uri(word: &str) -> Result<(Id, Option<Id>), &'static str> {
    let id = |text: &str| Id::new(text).map_err(|_| "bucket or collection id is invalid");
    match *word.split('/').collect::<Vec<_>>() {
        ["", "buckets", bucket] => Ok((id(bucket)?, None)),
        ["", "buckets", bucket, "collections", collection] | [bucket, collection] => {
            Ok((id(bucket)?, Some(id(collection)?)))
        }
        _ => Err("should be a bucket or collection URI"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<Resources, String> {
        Resources::parse(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>())
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn a_bucket_line_keeps_the_collection_s_name() {
        let resources = parse(&[
            "/buckets/work -> /buckets/preview -> /buckets/main",
            "work/special;other/renamed",
        ])
        .unwrap();

        let triple = resources.of_source(&id("work"), &id("cfr")).unwrap();
        assert_eq!(triple.preview.unwrap().to_string(), "/buckets/preview/collections/cfr");
        assert_eq!(triple.destination.to_string(), "/buckets/main/collections/cfr");
        let special = resources.of_source(&id("work"), &id("special")).unwrap();
        assert_eq!(special.preview, None);
        assert_eq!(special.destination.to_string(), "/buckets/other/collections/renamed");
        assert_eq!(resources.role("main", "x"), Some(Role::Signed));
        assert_eq!(resources.role("work", "x"), Some(Role::Source));
        assert_eq!(resources.role("elsewhere", "x"), None);
        assert_eq!(resources.sources_of("main", &id("cfr")).len(), 1);
        assert!(resources.sources_of("main", &id("special")).is_empty());
    }

    #[test]
    fn each_mistake_has_its_text() {
        for (lines, text) in [
            (vec!["/buckets/a /buckets/b"], "not separated with '->'"),
            (vec!["/buckets/a ->"], "pair or a triplet"),
            (vec!["a -> b"], "should be a bucket or collection URI"),
            (vec!["/buckets/_a -> /buckets/b"], "id is invalid"),
            (vec!["/buckets/a -> b/c"], "cannot mix"),
            (vec!["/buckets/a -> /buckets/a"], "cannot have same value"),
            (
                vec!["/buckets/a -> /buckets/b", "/buckets/a -> /buckets/c"],
                "cannot repeat resource",
            ),
            (vec!["/buckets/a -> /buckets/b", "/buckets/c -> /buckets/b"], "repeated destination"),
            (vec!["/buckets/a -> /buckets/b", "/buckets/b -> /buckets/c"], "across resources"),
        ] {
            let problem = parse(&lines).unwrap_err();
            assert!(problem.contains(text), "{lines:?}: {problem}");
        }
    }
}
