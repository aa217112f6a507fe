//! From a document to a validator that is safe to run.

use jsonschema::{
    Draft, Keyword, PatternOptions, Retrieve, Uri, ValidationError, Validator,
    error::ValidationErrorKind, paths::Location,
};
use serde_json::{Map, Value};

use super::{
    Failure, Verdict,
    budget::{self, Budget, Cost, Exhausted},
    describe,
    document::{self, Outline, UNRESOLVABLE},
};
use crate::python;

/// Largest compiled pattern: smaller ones are ordinary, such as `^https://.{1,100}$`.
const PATTERN_BYTES: usize = 256 << 10;

/// About how many bytes of memory a validator takes for each of its document, and for a pattern.
const WEIGHT: usize = 20;
const PATTERN_WEIGHT: usize = 16 << 10;

/// A schema, compiled.
pub(super) struct Compiled {
    validator: Validator,
    bytes: usize,
    patterns: usize,
    /// The most states that the patterns of one `patternProperties` have.
    name_states: usize,
    /// Bytes of the longest name in the document.
    longest_name: usize,
    document: Value,
}

impl Compiled {
    /// About how many bytes it takes.
    pub(super) fn weight(&self) -> u32 {
        let weight = self.bytes * WEIGHT + self.patterns * PATTERN_WEIGHT;
        u32::try_from(weight).unwrap_or(u32::MAX)
    }

    /// Validates an object in milliseconds: the first thing that is wrong, if anything.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] when it takes longer.
    pub(super) fn validate_quickly(&self, instance: &Value) -> Result<Verdict, Exhausted> {
        if self.is_valid(instance, Budget::QUICK)? {
            return Ok(Ok(()));
        }
        self.describe(instance, Budget::QUICK).map(Err)
    }

    /// Validates an object in a fraction of a second.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong; also that it takes too long to say.
    pub(super) fn validate(&self, instance: &Value) -> Verdict {
        let too_long = |Exhausted| Failure::of_schema("Validation with this schema takes too long");
        if self.is_valid(instance, Budget::FULL).map_err(too_long)? {
            return Ok(());
        }
        let told = self.describe(instance, Budget::FULL);
        Err(told.unwrap_or_else(|Exhausted| {
            Failure::of_schema("The object is not valid; to tell why takes too much memory")
        }))
    }

    /// Without errors, which may take much memory and are seldom wanted.
    pub(super) fn is_valid(&self, instance: &Value, budget: Budget) -> Result<bool, Exhausted> {
        if budget.is_too_small_for(instance, self.bytes)
            || budget.is_too_small_for_names(instance, self.name_states)
        {
            return Err(Exhausted);
        }
        budget::within(budget, 0, || self.validator.is_valid(instance))
    }

    fn describe(&self, instance: &Value, budget: Budget) -> Result<Failure, Exhausted> {
        let path = budget::longest_path(instance, self.longest_name);
        budget::within(budget, path, || match self.validator.validate(instance) {
            Ok(()) => Failure::of_schema("The schema cannot be evaluated"),
            Err(error) => describe::failure(&error, &self.document, instance),
        })
    }
}

/// Compiles a schema that may have been stored long ago.
///
/// # Errors
///
/// Why it cannot be used.
pub(super) fn compile(document: Value) -> Result<Compiled, Failure> {
    let draft = draft_of(&document);
    let outline = Outline::of(&document)?;
    let instrumented = document::instrumented(&document, &outline.unresolvable());
    let validator = build(&instrumented, draft)
        .map_err(|error| Failure::of_schema(describe::schema_failure(&error)))?;
    let (bytes, patterns) = (outline.bytes(), outline.patterns());
    let (name_states, longest_name) = (outline.name_states(), document::longest_name(&document));
    Ok(Compiled { validator, bytes, patterns, name_states, longest_name, document })
}

/// Checks a schema that is to be saved, in the dialect in which it will be used (§2.13.4).
///
/// # Errors
///
/// What is wrong, as the last element of its path followed by the problem (§2.6.6).
pub(crate) fn check_document(document: &Value) -> Result<(), String> {
    let draft = if has_dialect(document) { draft_of(document) } else { Draft::Draft7 };
    if let Some(error) = meta_error(document, draft) {
        return Err(error);
    }
    let outline = Outline::of(document)?;
    let instrumented = document::instrumented(document, &outline.unresolvable());
    match build(&instrumented, draft_of(document)) {
        Ok(_) => Ok(()),
        Err(error) => Err(describe::schema_failure(&error)),
    }
}

fn meta_error(document: &Value, draft: Draft) -> Option<String> {
    let validator = match draft {
        Draft::Draft4 => jsonschema::draft4::meta::validator(),
        Draft::Draft6 => jsonschema::draft6::meta::validator(),
        Draft::Draft7 => jsonschema::draft7::meta::validator(),
        Draft::Draft201909 => jsonschema::draft201909::meta::validator(),
        Draft::Draft202012 | _ => jsonschema::draft202012::meta::validator(),
    };
    // The problem that is nearest to the root says most.
    let errors = validator.iter_errors(document);
    let nearest = errors.min_by_key(|error| error.instance_path().as_str().matches('/').count())?;
    Some(describe::schema_failure(&nearest))
}

fn has_dialect(document: &Value) -> bool {
    dialect(document).is_some()
}

fn dialect(document: &Value) -> Option<Draft> {
    let named = document.get("$schema")?.as_str()?;
    Some(match named.trim_end_matches('#') {
        "http://json-schema.org/draft-04/schema" => Draft::Draft4,
        "http://json-schema.org/draft-06/schema" => Draft::Draft6,
        "http://json-schema.org/draft-07/schema" => Draft::Draft7,
        "https://json-schema.org/draft/2019-09/schema" => Draft::Draft201909,
        "https://json-schema.org/draft/2020-12/schema" => Draft::Draft202012,
        _ => return None,
    })
}

/// The dialect that the schema names, else the latest in which it is a schema.
fn draft_of(document: &Value) -> Draft {
    dialect(document).unwrap_or_else(|| {
        let latest = jsonschema::draft202012::meta::is_valid(document);
        if latest { Draft::Draft202012 } else { Draft::Draft7 }
    })
}

fn build(schema: &Value, draft: Draft) -> Result<Validator, ValidationError<'static>> {
    let patterns = PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES);
    let mut options = jsonschema::options();
    if matches!(draft, Draft::Draft201909 | Draft::Draft202012) {
        // The library knows the keyword still; these dialects do not.
        options = options.with_keyword("dependencies", ignored);
    }
    options
        .with_draft(draft)
        .should_validate_formats(false)
        .with_pattern_options(patterns)
        .with_retriever(Nothing)
        .with_keyword(budget::KEYWORD, cost)
        .with_keyword(UNRESOLVABLE, unresolvable)
        .build(schema)
}

type CustomKeyword<'a> = Result<Box<dyn for<'i> Keyword<'i>>, ValidationError<'a>>;

#[expect(clippy::unnecessary_wraps, reason = "the library asks for it")]
fn ignored<'a>(_: &'a Map<String, Value>, _: &'a Value, _: Location) -> CustomKeyword<'a> {
    Ok(Box::new(Ignored))
}

/// A keyword that the dialect does not have.
struct Ignored;

impl<'i> Keyword<'i> for Ignored {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        true
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the library asks for it")]
fn cost<'a>(_: &'a Map<String, Value>, cost: &'a Value, _: Location) -> CustomKeyword<'a> {
    Ok(Box::new(Cost::from_value(cost)))
}

#[expect(clippy::unnecessary_wraps, reason = "the library asks for it")]
fn unresolvable<'a>(
    _: &'a Map<String, Value>,
    reason: &'a Value,
    _: Location,
) -> CustomKeyword<'a> {
    Ok(Box::new(Unresolvable(python::text(reason))))
}

/// Fails where a reference leads nowhere.
struct Unresolvable(String);

impl<'i> Keyword<'i> for Unresolvable {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        Err(ValidationError::custom(self.0.clone()))
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        false
    }
}

/// Fetches nothing, from nowhere.
struct Nothing;

impl Retrieve for Nothing {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err(format!("{uri} is not fetched").into())
    }
}

/// Whether the error is that a reference leads nowhere.
pub(super) fn is_unresolvable(error: &ValidationError<'_>) -> bool {
    matches!(error.kind(), ValidationErrorKind::Custom { .. })
}
