//! Review and publication: which collections, who decides, and what may be published
//! (`remote-settings.md` §1.1-1.3).

use std::collections::BTreeSet;

use shared::{config::Layers, verifiable::Floats};

use crate::signoff::{Resources, Review};

/// How sources are reviewed and published.
#[derive(Debug, Clone)]
pub struct SignOff {
    /// Who may write previews and destinations directly (D2).
    pub destination_writers: Vec<String>,
    /// Whether records may hold floats, which clients read differently.
    pub floats: Floats,
    /// Who may write the sources that are made at the start; `None` makes none (§1.5).
    pub auto_create_for: Option<Vec<String>>,
    /// Whether a deleted source takes its preview and destination with it, without tombstones.
    pub hard_delete: bool,
    /// Whether a refresh publishes attributes of a source where no change waits (§1.12).
    pub refresh_publishes_attributes: bool,
}

impl SignOff {
    /// Reads the settings.
    pub fn read(layers: &mut Layers) -> Self {
        let principals = layers.words("signer.auto_create_resources_principals");
        Self {
            destination_writers: layers.words("signer.destination_write_principals"),
            floats: if layers.flag("signer.allow_floats") {
                Floats::Allowed
            } else {
                Floats::Refused
            },
            auto_create_for: layers.flag("signer.auto_create_resources").then_some(principals),
            hard_delete: layers.flag("signer.hard_delete_destination_on_source_deletion"),
            refresh_publishes_attributes: layers.flag("signer.refresh_publishes_attributes"),
        }
    }
}

/// Reads `signer.resources`, with where review is on.
pub(super) fn resources(layers: &mut Layers) -> Resources {
    let lines = layers.lines("signer.resources");
    let mut resources = Resources::parse(&lines).unwrap_or_else(|problem| {
        layers.problem(format!("signer.resources: {problem}"));
        Resources::default()
    });
    let keys = layers.keys(|key| key.starts_with("signer."));
    resources.set_implicit(keys.iter().map(String::as_str));
    let review = review(layers, &resources);
    resources.set_review(review);
    resources
}

/// What is set in files and in the environment of known sources, and in files of patterns. Names of
/// the environment cannot be told apart otherwise (§12, trap 62), and what a file says of something
/// that is no source is a mistake, which is told as every unknown key.
fn review(layers: &mut Layers, resources: &Resources) -> Review {
    const NAME: &str = "to_review_enabled";
    let mut review = Review::new(layers.flag(&format!("signer.{NAME}")));
    let mut scopes: BTreeSet<String> = layers
        .keys(|key| key.starts_with("signer.") && key.ends_with(NAME) && key.contains('('))
        .iter()
        .filter_map(|key| key.strip_prefix("signer.")?.strip_suffix(NAME)?.strip_suffix('.'))
        .map(str::to_owned)
        .collect();
    for (bucket, collection) in resources.sources() {
        scopes.insert(bucket.to_string());
        scopes.extend(collection.map(|collection| format!("{bucket}.{collection}")));
        scopes.extend(collection.map(|collection| format!("{bucket}_{collection}")));
    }
    for scope in scopes {
        let key = format!("signer.{scope}.{NAME}");
        if layers.optional(&key).is_none() {
            continue;
        }
        let enabled = layers.flag(&key);
        if scope.matches('.').count() > 1 {
            layers.problem(format!("{key} is about no collection: a pattern has no dots in it"));
        }
        if let Err(problem) = review.add(&scope, enabled) {
            layers.problem(format!("{key}: {problem}"));
        }
    }
    review
}
