//! What requests may hold: path, query string, headers, body.

use serde_json::{Map, Value, json};
use shared::model::{Permission, Resource};

use crate::endpoints::{Does, Endpoint, Scope};

/// The parameters of a path: `/buckets/{bucket_id}/groups/{id}` has two.
pub(super) fn of_path(path: &str) -> Vec<Value> {
    let names = path.split('{').skip(1).filter_map(|rest| rest.split('}').next());
    names
        .map(|name| json!({"name": name, "in": "path", "required": true, "type": "string"}))
        .collect()
}

/// The others, of one action.
pub(super) fn of(endpoint: &Endpoint, does: Does) -> Vec<Value> {
    let body = || body(endpoint.scope, does);
    match does {
        Does::List | Does::Count => [filters(), vec![texts("_fields")], preconditions()].concat(),
        Does::DeleteList => [filters(), preconditions()].concat(),
        Does::Get => [vec![texts("_fields")], preconditions()].concat(),
        Does::Create | Does::Update => [preconditions(), vec![body()]].concat(),
        Does::Patch => [preconditions(), vec![behavior(), body()]].concat(),
        Does::Delete => [vec![text("last_modified")], preconditions()].concat(),
        Does::Batch => vec![batch()],
        Does::Changes => changes(),
        Does::Redirect => LOGIN.map(text).to_vec(),
        Does::Show | Does::Inspect | Does::Probe | Does::ShowText | Does::Command | Does::Purge => {
            Vec::new()
        }
    }
}

/// What the two URLs of a login read, each its own.
const LOGIN: [&str; 7] =
    ["callback", "scope", "prompt", "state", "code", "error", "error_description"];

fn filters() -> Vec<Value> {
    let mut all: Vec<Value> = ["_limit", "_since", "_to", "_before", "last_modified"]
        .into_iter()
        .map(|name| {
            json!({"name": name, "in": "query", "required": false, "type": "integer",
                   "minimum": 0, "maximum": 1_u64 << 63})
        })
        .collect();
    all.extend([texts("_sort"), text("_token"), text("id")]);
    all
}

fn changes() -> Vec<Value> {
    let mut expected = text("_expected");
    expected["required"] = true.into();
    let mut limit = text("_limit");
    limit["type"] = "integer".into();
    vec![expected, text("_since"), limit]
}

fn text(name: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "type": "string"})
}

fn texts(name: &str) -> Value {
    json!({"name": name, "in": "query", "required": false, "type": "array",
           "items": {"type": "string"}})
}

fn preconditions() -> Vec<Value> {
    let header = |name: &str| {
        json!({"name": name, "in": "header", "required": false, "type": "string",
               "pattern": "^\"([0-9]+?)\"$|\\*"})
    };
    vec![header("If-Match"), header("If-None-Match")]
}

fn behavior() -> Value {
    json!({"name": "Response-Behavior", "in": "header", "required": false, "type": "string",
           "enum": ["full", "light", "diff"]})
}

/// `{"data": {…}, "permissions": {…}}`; the rights are those that the resource has.
fn body(scope: Scope, does: Does) -> Value {
    let rights: Map<String, Value> = match scope {
        Scope::Service => Map::new(),
        Scope::Plural(resource) | Scope::Object(resource) => Permission::of(resource)
            .iter()
            .map(|right| {
                let principals = json!({"type": "array", "items": {"type": "string"}});
                (right.name().to_owned(), principals)
            })
            .collect(),
    };
    let schema = json!({
        "type": "object",
        "properties": {
            "data": data(scope),
            "permissions":
                {"type": "object", "properties": rights, "additionalProperties": false},
        },
        "additionalProperties": false,
    });
    json!({"name": "body", "in": "body", "required": does == Does::Patch, "schema": schema})
}

/// Members that mean something; all others are kept as they are.
fn data(scope: Scope) -> Value {
    let schema = json!({"type": "object"});
    let properties = match scope {
        Scope::Plural(Resource::Bucket) | Scope::Object(Resource::Bucket) => {
            json!({"collection:schema": schema, "group:schema": schema, "record:schema": schema})
        }
        Scope::Plural(Resource::Collection) | Scope::Object(Resource::Collection) => {
            json!({"schema": schema, "cache_expires": {"type": "integer"}})
        }
        Scope::Plural(Resource::Group) | Scope::Object(Resource::Group) => {
            json!({"members": {"type": "array", "items": {"type": "string"}}})
        }
        Scope::Plural(Resource::Account) | Scope::Object(Resource::Account) => {
            json!({"password": {"type": "string"}})
        }
        Scope::Plural(Resource::Record | Resource::History)
        | Scope::Object(Resource::Record | Resource::History)
        | Scope::Service => json!({}),
    };
    json!({"type": "object", "properties": properties, "additionalProperties": true})
}

fn batch() -> Value {
    let request = json!({
        "type": "object",
        "properties": {
            "method": {
                "type": "string",
                "enum": ["GET", "HEAD", "DELETE", "TRACE", "POST", "PUT", "PATCH"],
            },
            "path": {"type": "string", "pattern": "^/"},
            "headers": {"type": "object", "additionalProperties": {"type": "string"}},
            "body": {"type": "object"},
        },
        "additionalProperties": false,
    });
    let mut complete = request.clone();
    complete["required"] = json!(["path"]);
    let schema = json!({
        "type": "object",
        "required": ["requests"],
        "properties": {"defaults": request, "requests": {"type": "array", "items": complete}},
        "additionalProperties": false,
    });
    json!({"name": "body", "in": "body", "required": true, "schema": schema})
}
