//! A schema as a document: its subschemas, what they refer to, and how deep they go.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};
use shared::model::Resource;

use super::{
    Failure,
    budget::{self, Cost},
};
use crate::python;

/// The keyword that stands where a reference leads nowhere.
pub(super) const UNRESOLVABLE: &str = "countersign:unresolvable";

/// Members of objects that schemas are not about.
const INTERNALS: [&str; 2] = ["last_modified", "__permissions__"];

/// Largest schema, as JSON.
const MAX_BYTES: usize = 256 << 10;
/// Most patterns in a schema: each is compiled.
const MAX_PATTERNS: usize = 200;
/// How many subschemas may apply to one and the same value, one within the other: with the
/// nesting of values, the depth of the evaluation.
const MAX_CHAIN: usize = 24;

/// Keywords whose members are named subschemas.
const MAPS: [&str; 7] = [
    "$defs",
    "definitions",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "patternProperties",
    "properties",
];
/// Keywords whose values are data.
const DATA: [&str; 6] = ["$vocabulary", "const", "default", "enum", "example", "examples"];
/// Keywords whose subschemas apply to the same value.
const IN_PLACE: [&str; 9] =
    ["allOf", "anyOf", "dependencies", "dependentSchemas", "else", "if", "not", "oneOf", "then"];
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Takes out of an object what is not its own, and of the schema that it must be there (§2.13.2).
pub(super) fn without_internals(
    schema: &Map<String, Value>,
    object: &Map<String, Value>,
    id: Option<&str>,
    resource: Resource,
) -> (Value, Value) {
    let knows_id = schema.get("properties").is_some_and(|known| known.get("id").is_some());
    let internal = |name: &str| {
        INTERNALS.contains(&name)
            || (name == "schema" && resource == Resource::Record)
            || (name == "id" && !knows_id)
    };
    let mut schema = schema.clone();
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !name.as_str().is_some_and(internal));
        if required.is_empty() {
            schema.remove("required");
        }
    }
    let mut instance = object.clone();
    instance.retain(|name, _| !internal(name));
    if let Some(id) = id.filter(|_| knows_id) {
        instance.insert("id".to_owned(), id.into());
    }
    (Value::Object(schema), Value::Object(instance))
}

/// The subschemas of a document.
pub(super) struct Outline<'a> {
    root: &'a Value,
    base: &'a str,
    schemas: HashSet<*const Value>,
    anchors: HashMap<&'a str, &'a Value>,
    references: HashSet<&'a str>,
    patterns: usize,
    name_states: usize,
    bytes: usize,
}

impl<'a> Outline<'a> {
    /// Finds them.
    ///
    /// # Errors
    ///
    /// What of the document is beyond our limits.
    pub(super) fn of(root: &'a Value) -> Result<Self, String> {
        let mut outline = Self {
            root,
            base: root.get("$id").and_then(Value::as_str).unwrap_or_default().trim_end_matches('#'),
            schemas: HashSet::new(),
            anchors: HashMap::new(),
            references: HashSet::new(),
            patterns: 0,
            name_states: 0,
            bytes: root.to_string().len(),
        };
        if outline.bytes > MAX_BYTES {
            return Err(format!("The schema is larger than {MAX_BYTES} bytes"));
        }
        outline.visit(root)?;
        if outline.patterns > MAX_PATTERNS {
            return Err(format!("The schema has more than {MAX_PATTERNS} patterns"));
        }
        outline.check_chains()?;
        Ok(outline)
    }

    /// How many patterns there are.
    pub(super) fn patterns(&self) -> usize {
        self.patterns
    }

    /// The most states that the patterns of one `patternProperties` have.
    pub(super) fn name_states(&self) -> usize {
        self.name_states
    }

    /// How large the document is.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every reference that leads nowhere, with the reason.
    pub(super) fn unresolvable(&self) -> HashMap<&'a str, String> {
        let leads_nowhere =
            |reference: &&'a str| Some((*reference, self.resolve(reference).err()?));
        self.references.iter().filter_map(leads_nowhere).collect()
    }

    fn visit(&mut self, schema: &'a Value) -> Result<(), String> {
        if let Value::Array(items) = schema {
            return items.iter().try_for_each(|item| self.visit(item));
        }
        let Value::Object(keywords) = schema else { return Ok(()) };
        self.schemas.insert(schema);
        for (name, value) in keywords {
            match (name.as_str(), value) {
                ("$id", Value::String(id)) if !std::ptr::eq(schema, self.root) => {
                    let anchor = id.strip_prefix('#');
                    let anchor = anchor.ok_or("\"$id\" within a schema is not supported")?;
                    self.anchors.insert(anchor, schema);
                }
                ("$anchor" | "$dynamicAnchor", Value::String(anchor)) => {
                    self.anchors.insert(anchor, schema);
                }
                ("pattern", Value::String(_)) => self.patterns += 1,
                (name, Value::String(reference)) if REFERENCES.contains(&name) => {
                    self.references.insert(reference);
                }
                (name, _) if DATA.contains(&name) => {}
                (name, value @ Value::Object(members)) if MAPS.contains(&name) => {
                    if name == "patternProperties" {
                        self.patterns += members.len();
                        self.name_states = self.name_states.max(budget::name_states(value));
                    }
                    members.values().try_for_each(|member| self.visit(member))?;
                }
                (_, value) => self.visit(value)?,
            }
        }
        Ok(())
    }

    /// The subschema that a reference names.
    fn resolve(&self, reference: &str) -> Result<&'a Value, String> {
        let (document, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        if !document.is_empty() && document != self.base {
            return Err(format!("Unresolvable: {reference}"));
        }
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8_lossy();
        let whole = || python::repr(self.root);
        if fragment.is_empty() {
            return Ok(self.root);
        }
        if fragment.starts_with('/') {
            let target = self.root.pointer(&fragment);
            let known = |target: &&Value| {
                target.is_boolean() || self.schemas.contains(&std::ptr::from_ref(*target))
            };
            return target.filter(known).ok_or_else(|| {
                format!("PointerToNowhere: '{fragment}' does not exist within {}", whole())
            });
        }
        let anchor = self.anchors.get(&*fragment).copied();
        anchor
            .ok_or_else(|| format!("NoSuchAnchor: '{fragment}' does not exist within {}", whole()))
    }

    /// Refuses what would be evaluated too deep, or within itself without end.
    fn check_chains(&self) -> Result<(), String> {
        let mut heights = HashMap::new();
        let mut schemas = Vec::new();
        collect(self.root, &mut schemas);
        schemas.into_iter().try_for_each(|schema| self.height(schema, 0, &mut heights).map(|_| ()))
    }

    fn height(
        &self,
        schema: &'a Value,
        above: usize,
        heights: &mut HashMap<*const Value, usize>,
    ) -> Result<usize, String> {
        if let Some(&height) = heights.get(&std::ptr::from_ref(schema)) {
            return if above + height > MAX_CHAIN { Err(too_deep()) } else { Ok(height) };
        }
        if above >= MAX_CHAIN {
            return Err(too_deep());
        }
        let mut height = 0;
        for next in self.in_place(schema) {
            height = height.max(self.height(next, above + 1, heights)?);
        }
        heights.insert(schema, height + 1);
        Ok(height + 1)
    }

    fn in_place(&self, schema: &'a Value) -> Vec<&'a Value> {
        let mut below = Vec::new();
        for (name, value) in schema.as_object().into_iter().flatten() {
            let name = name.as_str();
            if let Some(reference) = value.as_str().filter(|_| REFERENCES.contains(&name)) {
                below.extend(self.resolve(reference).ok());
            } else if !IN_PLACE.contains(&name) {
                // Its subschemas apply to parts of the value.
            } else if let Value::Array(items) = value {
                below.extend(items);
            } else if let Some(members) = value.as_object().filter(|_| MAPS.contains(&name)) {
                below.extend(members.values());
            } else {
                below.push(value);
            }
        }
        below
    }
}

fn too_deep() -> String {
    format!("The schema refers to itself, or more than {MAX_CHAIN} levels deep")
}

/// How many bytes the longest name has that a path through the document may hold.
pub(super) fn longest_name(document: &Value) -> usize {
    match document {
        Value::Array(items) => items.iter().map(longest_name).max().unwrap_or(0),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len().max(longest_name(value)))
            .max()
            .unwrap_or(0),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

fn collect<'a>(schema: &'a Value, schemas: &mut Vec<&'a Value>) {
    match schema {
        Value::Array(items) => items.iter().for_each(|item| collect(item, schemas)),
        Value::Object(members) => {
            schemas.push(schema);
            members.values().for_each(|member| collect(member, schemas));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The document as it is compiled: each subschema counts what it costs, and references that lead
/// nowhere fail where they are evaluated, not before (§2.13.7).
pub(super) fn instrumented(schema: &Value, unresolvable: &HashMap<&str, String>) -> Value {
    let mut schema = schema.clone();
    instrument(&mut schema, unresolvable);
    schema
}

fn instrument(schema: &mut Value, unresolvable: &HashMap<&str, String>) {
    if let Value::Array(items) = schema {
        for item in items {
            instrument(item, unresolvable);
        }
        return;
    }
    let Value::Object(keywords) = schema else { return };
    let reason =
        REFERENCES.iter().find_map(|name| unresolvable.get(keywords.get(*name)?.as_str()?));
    if let Some(reason) = reason {
        *schema = json!({UNRESOLVABLE: reason});
        return;
    }
    let cost = Cost::of(keywords);
    for (name, value) in keywords.iter_mut() {
        if DATA.contains(&name.as_str()) {
            continue;
        }
        if let Value::Object(members) = value
            && MAPS.contains(&name.as_str())
        {
            members.values_mut().for_each(|member| instrument(member, unresolvable));
        } else {
            instrument(value, unresolvable);
        }
    }
    add_cost(keywords, &cost);
}

/// As the last of what is evaluated before branches and references: what fails earlier is cheap. A
/// pattern is not, and comes after it.
fn add_cost(keywords: &mut Map<String, Value>, cost: &Cost) {
    let pattern = keywords.remove("pattern");
    let all = keywords.entry("allOf").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(all) = all {
        all.push(json!({budget::KEYWORD: cost.to_value()}));
        all.extend(pattern.map(|pattern| json!({"pattern": pattern})));
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::of_schema(text)
    }
}
