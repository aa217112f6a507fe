//! Which collection is whose source, preview or destination: `signer.resources`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shared::model::{Id, ListPath, ObjectPath};

use super::Review;

/// A bucket, or one of its collections.
type Place = (Id, Option<Id>);

/// A configured line: buckets, or collections.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    source: Place,
    preview: Option<Place>,
    destination: Place,
}

impl Line {
    /// The preview, if any, and the destination.
    fn targets(&self) -> impl Iterator<Item = &Place> {
        self.preview.iter().chain([&self.destination])
    }

    /// The line as if it named one collection of its buckets.
    fn narrowed(&self, collection: &Id) -> Self {
        let place = |(bucket, named): &Place| {
            (bucket.clone(), Some(named.clone().unwrap_or_else(|| collection.clone())))
        };
        Self {
            source: place(&self.source),
            preview: self.preview.as_ref().map(place),
            destination: place(&self.destination),
        }
    }
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
    /// Collections of a bucket's line that have settings of their own (§1.3).
    implicit: Vec<Line>,
    review: Review,
}

impl Resources {
    /// Parses the lines of `signer.resources` (`remote-settings.md` §1.2).
    ///
    /// # Errors
    ///
    /// The first line that is wrong, and why.
    pub fn parse(lines: &[String]) -> Result<Self, String> {
        let mut parsed: Vec<Line> = Vec::new();
        for text in lines {
            let line = parse_line(text)?;
            if parsed.iter().any(|earlier| earlier.source == line.source) {
                return Err(malformed("cannot repeat resource", text));
            }
            parsed.push(line);
        }
        let sources: BTreeSet<&Place> = parsed.iter().map(|line| &line.source).collect();
        let destinations: BTreeSet<&Place> = parsed.iter().map(|line| &line.destination).collect();
        let previews: Vec<&Place> =
            parsed.iter().filter_map(|line| line.preview.as_ref()).collect();
        let distinct: BTreeSet<&Place> = previews.iter().copied().collect();
        if destinations.len() < parsed.len() {
            return Err("Resources setting has repeated destination URI".to_owned());
        }
        if distinct.len() < previews.len() {
            return Err("Resources setting has repeated preview URI".to_owned());
        }
        if !sources.is_disjoint(&distinct)
            || !sources.is_disjoint(&destinations)
            || !destinations.is_disjoint(&distinct)
        {
            return Err("cannot repeat URIs across resources".to_owned());
        }
        let resources = Self { lines: parsed, ..Self::default() };
        resources.check_overlaps()?;
        Ok(resources)
    }

    /// Buckets overlap with collections: none may be source and target, or target of two sources.
    fn check_overlaps(&self) -> Result<(), String> {
        for line in &self.lines {
            if line.source.1.is_some() && self.is_signed_bucket(&line.source.0) {
                return Err("cannot repeat URIs across resources".to_owned());
            }
            for (bucket, collection) in line.targets() {
                let Some(collection) = collection else { continue };
                if self.sources_of(bucket, collection).len() > 1 {
                    return Err("Resources setting has repeated destination URI".to_owned());
                }
            }
        }
        Ok(())
    }

    /// Sets where a review is needed.
    pub fn set_review(&mut self, review: Review) {
        self.review = review;
    }

    /// Notes which collections have settings of their own, by the names of all settings: any
    /// `signer.{bucket}.{collection}.…` makes a resource of the collection (§1.3).
    pub fn set_implicit<'k>(&mut self, keys: impl Iterator<Item = &'k str>) {
        for key in keys {
            for line in self.lines.iter().filter(|line| line.source.1.is_none()) {
                let scope = format!("signer.{}.", line.source.0);
                let Some(id) = key.strip_prefix(&scope).and_then(own_settings) else { continue };
                let narrowed = line.narrowed(&id);
                let known = self.lines.iter().chain(&self.implicit);
                if !known.into_iter().any(|known| known.source == narrowed.source) {
                    self.implicit.push(narrowed);
                }
            }
        }
    }

    /// Whether nothing is signed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The sources, each a bucket or a collection, implicit ones included.
    pub fn sources(&self) -> impl Iterator<Item = (&Id, Option<&Id>)> {
        self.lines.iter().chain(&self.implicit).map(|line| (&line.source.0, line.source.1.as_ref()))
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
        let names = |(b, c): (&Id, Option<&Id>)| {
            b.as_str() == bucket && c.is_some_and(|c| c.as_str() == collection)
        };
        self.review.enabled(bucket, collection, self.sources().any(names))
    }

    /// Whether the settings name collections by patterns.
    pub const fn has_patterns(&self) -> bool {
        self.review.has_patterns()
    }

    /// The triple of which this collection is the source. A line that names the collection goes
    /// before one that names its bucket.
    pub fn of_source(&self, bucket: &Id, collection: &Id) -> Option<Triple> {
        if self.role(bucket, collection) != Some(Role::Source) {
            return None;
        }
        let named = (bucket.clone(), Some(collection.clone()));
        let whole = (bucket.clone(), None);
        let line = [named, whole]
            .into_iter()
            .find_map(|uri| self.lines.iter().find(|line| line.source == uri))?;
        let place = |(bucket, named): &Place| {
            let id = named.clone().unwrap_or_else(|| collection.clone());
            ObjectPath::collection(bucket.clone(), id)
        };
        Some(Triple {
            source: ObjectPath::collection(bucket.clone(), collection.clone()),
            preview: line.preview.as_ref().map(place),
            destination: place(&line.destination),
        })
    }

    /// What the collection is to sign-off, if anything. One that is signed for some source is not
    /// a source itself, also where its bucket holds sources.
    pub fn role(&self, bucket: &str, collection: &str) -> Option<Role> {
        let matches = |(b, c): &Place| {
            b.as_str() == bucket && c.as_ref().is_none_or(|c| c.as_str() == collection)
        };
        if self.lines.iter().any(|line| line.targets().any(matches)) {
            return Some(Role::Signed);
        }
        self.lines.iter().any(|line| matches(&line.source)).then_some(Role::Source)
    }

    /// Whether the bucket as a whole is a preview or a destination.
    pub fn is_signed_bucket(&self, bucket: &str) -> bool {
        let whole = |(b, c): &Place| b.as_str() == bucket && c.is_none();
        self.lines.iter().any(|line| line.targets().any(whole))
    }

    /// The sources whose preview or destination this collection would be.
    pub fn sources_of(&self, bucket: &str, collection: &Id) -> Vec<ObjectPath> {
        let mut sources = Vec::new();
        for line in &self.lines {
            let id = line.source.1.as_ref().unwrap_or(collection);
            let Some(triple) = self.of_source(&line.source.0, id) else { continue };
            let hit = triple
                .targets()
                .any(|target| target.bucket_id() == bucket && target.id == *collection);
            if hit && !sources.contains(&triple.source) {
                sources.push(triple.source);
            }
        }
        sources
    }

    /// The sources of which some are published into this bucket: collections, or buckets whose
    /// collections may be.
    pub fn sources_into(&self, bucket: &str) -> impl Iterator<Item = (&Id, Option<&Id>)> {
        let into = move |line: &&Line| line.targets().any(|(b, _)| b.as_str() == bucket);
        self.lines.iter().filter(into).map(|line| (&line.source.0, line.source.1.as_ref()))
    }

    /// The resources as the capability shows them (§1.4). `existing` are the collections that
    /// there are: a pattern is shown as what it matches.
    pub fn shown(&self, existing: &[(Id, Id)]) -> Value {
        let mut resources: Vec<Line> = self.lines.iter().chain(&self.implicit).cloned().collect();
        for (bucket, id) in existing {
            let whole = self.lines.iter().find(|line| line.source == (bucket.clone(), None));
            let Some(narrowed) = whole.map(|line| line.narrowed(id)) else { continue };
            let is_known = resources.iter().any(|known| known.source == narrowed.source);
            if self.review.is_patterned(bucket, id) && !is_known {
                resources.push(narrowed);
            }
        }
        resources.iter().map(|line| self.shown_line(line)).collect()
    }

    fn shown_line(&self, line: &Line) -> Value {
        let place = |(bucket, collection): &Place| {
            json!({
                "bucket": bucket.as_str(),
                "collection": collection.as_ref().map(Id::as_str),
            })
        };
        let mut shown =
            json!({"source": place(&line.source), "destination": place(&line.destination)});
        if let Some(preview) = &line.preview {
            shown["preview"] = place(preview);
        }
        let review = match &line.source {
            (bucket, None) => self.review.enabled_in(bucket),
            (bucket, Some(id)) => self.review.enabled(bucket, id, true),
        };
        if review != self.review.by_default() {
            shown["to_review_enabled"] = review.into();
        }
        shown
    }

    /// `to_review_enabled` where nothing overrides it.
    pub const fn review_by_default(&self) -> bool {
        self.review.by_default()
    }
}

/// The collection that a setting is about, after `signer.{bucket}.`. The bucket's own signer is
/// none: `autograph.hawk_id`, `ecdsa.private_key` (§12, trap 61).
fn own_settings(rest: &str) -> Option<Id> {
    let (id, name) = rest.split_once('.')?;
    let of_bucket = match id {
        "autograph" => true,
        "ecdsa" => ["private_key", "public_key"].contains(&name),
        "local" => ["x5u", "chain_path"].contains(&name),
        _ => false,
    };
    Id::new(id).ok().filter(|_| !of_bucket)
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

fn malformed(why: &str, line: &str) -> String {
    format!("Malformed resource: {why} (in '{line}'). See kinto-remote-settings README.")
}

fn parse_line(line: &str) -> Result<Line, String> {
    let malformed = |why: &str| malformed(why, line);
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

fn parse_uri(word: &str) -> Result<Place, &'static str> {
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
mod tests;
