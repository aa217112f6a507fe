//! Where a second person must approve: `to_review_enabled` and what overrides it
//! (`remote-settings.md` §1.3).
//!
//! Asked anew for each request, so that a collection that is made later is judged by the same
//! settings as one that was there at the start (D3).

use std::collections::BTreeMap;

use regex::Regex;

/// Where review is on.
#[derive(Debug, Clone, Default)]
pub struct Review {
    by_default: bool,
    /// Keyed by `{bucket}`, by `{bucket}.{collection}`, or by the deprecated
    /// `{bucket}_{collection}`.
    exact: BTreeMap<String, bool>,
    patterns: Vec<Pattern>,
}

/// A pattern for the ids of buckets and one for those of collections.
#[derive(Debug, Clone)]
struct Pattern {
    bucket: Regex,
    collection: Regex,
    enabled: bool,
}

impl Pattern {
    fn matches(&self, bucket: &str, collection: &str) -> bool {
        self.bucket.is_match(bucket) && self.collection.is_match(collection)
    }
}

impl Review {
    /// Review everywhere, or nowhere.
    pub fn new(by_default: bool) -> Self {
        Self { by_default, ..Self::default() }
    }

    /// Adds the setting `signer.{scope}.to_review_enabled`.
    ///
    /// # Errors
    ///
    /// Why the scope is not a pattern.
    pub fn add(&mut self, scope: &str, enabled: bool) -> Result<(), String> {
        match scope.split_once('.') {
            Some((bucket, collection)) if scope.contains('(') && !collection.contains('.') => {
                let (bucket, collection) = (anchored(bucket)?, anchored(collection)?);
                self.patterns.push(Pattern { bucket, collection, enabled });
            }
            _ => drop(self.exact.insert(scope.to_owned(), enabled)),
        }
        Ok(())
    }

    /// What holds where nothing overrides it.
    pub const fn by_default(&self) -> bool {
        self.by_default
    }

    /// Whether some override is a pattern.
    pub const fn has_patterns(&self) -> bool {
        !self.patterns.is_empty()
    }

    /// Whether a pattern names this source.
    pub fn is_patterned(&self, bucket: &str, collection: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(bucket, collection))
    }

    /// Whether the source needs a review. `has_own_settings` are collections with a line, or with
    /// settings, of their own: only these may use the deprecated name.
    ///
    /// Where patterns contradict each other, a review is needed.
    pub fn enabled(&self, bucket: &str, collection: &str, has_own_settings: bool) -> bool {
        let exact = |scope: String| self.exact.get(&scope).copied();
        let patterns = || {
            let matching = self.patterns.iter().filter(|p| p.matches(bucket, collection));
            matching.map(|pattern| pattern.enabled).reduce(|a, b| a || b)
        };
        exact(format!("{bucket}.{collection}"))
            .or_else(patterns)
            .or_else(|| exact(format!("{bucket}_{collection}")).filter(|_| has_own_settings))
            .or_else(|| self.of_bucket(bucket))
            .unwrap_or(self.by_default)
    }

    /// Whether a bucket's collections need a review, where nothing is said of the collection.
    pub fn enabled_in(&self, bucket: &str) -> bool {
        self.of_bucket(bucket).unwrap_or(self.by_default)
    }

    fn of_bucket(&self, bucket: &str) -> Option<bool> {
        self.exact.get(bucket).copied()
    }
}

/// Matches whole ids only. The engine takes linear time, and knows no look-around.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let problem = |error: regex::Error| format!("`{pattern}` is not a pattern: {error}");
    // By itself first: a pattern must not close the group that is put around it.
    Regex::new(pattern).map_err(problem)?;
    Regex::new(&format!("^(?:{pattern})$")).map_err(problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(by_default: bool, overrides: &[(&str, bool)]) -> Review {
        let mut review = Review::new(by_default);
        for (scope, enabled) in overrides {
            review.add(scope, *enabled).unwrap();
        }
        review
    }

    #[test]
    fn the_most_specific_setting_wins() {
        let review = review(
            true,
            &[
                ("work.cfr", false),
                (r"work.quick-(\w+)-(desktop|mobile)", false),
                ("work.quick-fr-desktop", true),
                ("work_old", false),
                ("lax", false),
                ("lax.strict", true),
            ],
        );

        for (bucket, collection, own, expected) in [
            ("work", "cfr", true, false),
            ("work", "cfr2", false, true),
            ("work", "quick-en-mobile", false, false),
            ("work", "quick-en-mobile-2", false, true),
            ("work", "a-quick-en-mobile", false, true),
            ("work", "quick-fr-desktop", true, true),
            ("work", "old", true, false),
            ("work", "old", false, true),
            ("other", "quick-en-mobile", false, true),
            ("lax", "any", false, false),
            ("lax", "strict", true, true),
        ] {
            assert_eq!(
                review.enabled(bucket, collection, own),
                expected,
                "{bucket}/{collection} {own}"
            );
        }
        assert!(review.enabled_in("work") && !review.enabled_in("lax"));
        assert!(review.is_patterned("work", "quick-en-mobile"));
        assert!(!review.is_patterned("work", "cfr"));
    }

    #[test]
    fn patterns_that_contradict_each_other_ask_for_a_review() {
        let review = review(false, &[(r"work.(a\w*)", true), (r"work.(\w*b)", false)]);

        assert!(review.enabled("work", "ab", false));
        assert!(!review.enabled("work", "b", false));
    }

    #[test]
    fn patterns_are_checked() {
        for bad in [r"work.(\w+", "work.(?=a)b", "work.a)(b", r"work.(a)\1"] {
            let problem = Review::new(true).add(bad, false).unwrap_err();
            assert!(problem.contains("is not a pattern"), "{bad}: {problem}");
        }
    }

    #[test]
    fn a_pattern_takes_linear_time() {
        let review = review(true, &[("work.((a+)+)", false)]);

        assert!(review.enabled("work", &format!("{}b", "a".repeat(500)), false));
    }
}
