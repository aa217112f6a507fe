//! What is answered: each status that an action really has, with its headers and schema.

use serde_json::{Map, Value, json};

use crate::endpoints::Does;

/// The responses of one action. `default` stands for what any URL may answer: 405, 410, 414, 431,
/// 500 and 503.
pub(super) fn of(does: Does) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    let mut add = |status: &str, response: Value| {
        all.insert(status.to_owned(), response);
    };
    add("400", error("The request is invalid."));
    add("default", error("Something else went wrong."));
    for (status, text) in refusals(does) {
        add(status, error(text));
    }
    match does {
        Does::List => {
            add("200", versioned("The objects that match.", "List"));
            add("304", not_modified());
        }
        Does::Count => {
            add("200", counted());
            add("304", not_modified());
        }
        Does::Get => {
            add("200", versioned("The object.", "Object"));
            add("304", not_modified());
        }
        Does::Create | Does::Update => {
            add("200", versioned("The object that was there, or that replaced it.", "Object"));
            add("201", versioned("The new object.", "Object"));
        }
        Does::Patch => add("200", versioned("The changed object.", "Object")),
        Does::Delete => add("200", versioned("What is left of the object.", "Deleted")),
        Does::DeleteList => add("200", versioned("What is left of the objects.", "List")),
        Does::Show | Does::Inspect => {
            add("200", json("What was asked for.", &json!({"type": "object"})));
        }
        Does::Probe => {
            let schema = json!({"type": "object", "additionalProperties": {"type": "boolean"}});
            add("200", json("Everything works.", &schema));
            add("503", json("Something does not work.", &schema));
        }
        Does::ShowText => add("200", json("Metrics.", &json!({"type": "string"}))),
        Does::Changes => {
            add("200", json("What changed.", &reference("Changeset")));
            add("204", json!({"description": "The client knows more already."}));
            add("307", json!({"description": "Another URL for the same."}));
        }
        Does::Redirect => add("307", json!({"description": "Elsewhere."})),
        Does::Batch => add("200", json("One response a request.", &reference("Batch"))),
        Does::Command => add("202", json("It is done.", &json!({"type": "object"}))),
        Does::Purge => {
            let data = json!({"type": "object", "required": ["principal"],
                              "properties": {"principal": {"type": "string"}}});
            let schema = json!({"type": "object", "required": ["data"],
                                "properties": {"data": data}});
            add("200", json("It is deleted.", &schema));
        }
    }
    all
}

/// The refusals that have a status of their own.
fn refusals(does: Does) -> Vec<(&'static str, &'static str)> {
    const RIGHTS: [(&str, &str); 2] =
        [("401", "Nobody is authenticated, and everybody may not."), ("403", "This user may not.")];
    const RESOURCE: [(&str, &str); 3] = [
        ("404", "The object, or what should hold it, does not exist."),
        ("406", "No form that the client accepts."),
        ("412", "It has changed meanwhile."),
    ];
    const WRITE: [(&str, &str); 2] =
        [("409", "The storage refuses it."), ("413", "The body is too large.")];
    const KIND: [(&str, &str); 1] = [("415", "The body is in a form that is not read.")];
    match does {
        Does::List | Does::Count | Does::Get | Does::Inspect => [&RIGHTS[..], &RESOURCE].concat(),
        Does::Create | Does::Update | Does::Patch => {
            [&RIGHTS[..], &RESOURCE, &WRITE, &KIND].concat()
        }
        Does::Delete | Does::DeleteList => [&RIGHTS[..], &RESOURCE, &WRITE].concat(),
        // A refusal of the workflow ends the whole batch.
        Does::Batch => [&RIGHTS[1..], &WRITE, &KIND].concat(),
        Does::Purge => [&RIGHTS[..], &WRITE].concat(),
        Does::Changes => [&RIGHTS[..], &RESOURCE[..1]].concat(),
        Does::Redirect => vec![("503", "The provider is away.")],
        Does::Show | Does::Probe | Does::ShowText | Does::Command => Vec::new(),
    }
}

/// Schemas that several responses share.
pub(super) fn definitions() -> Value {
    let data = json!({
        "type": "object",
        "properties": {"id": {"type": "string"}, "last_modified": {"type": "integer"}},
    });
    let mut deleted = data.clone();
    deleted["properties"]["deleted"] = json!({"type": "boolean"});
    deleted["required"] = json!(["id", "last_modified", "deleted"]);
    let holding = |data: &Value| json!({"type": "object", "required": ["data"], "properties": {"data": data}});
    let mut object = holding(&data);
    object["properties"]["permissions"] = json!({
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "string"}},
    });
    json!({
        "Error": {
            "type": "object",
            "required": ["code", "errno", "error"],
            "properties": {
                "code": {"type": "integer"},
                "errno": {"type": "integer"},
                "error": {"type": "string"},
                "message": {"type": "string"},
                "info": {"type": "string"},
                "details": {},
            },
        },
        "Object": object,
        "Deleted": holding(&deleted),
        "List": holding(&json!({"type": "array", "items": data})),
        "Changeset": {
            "type": "object",
            "required": ["metadata", "timestamp", "changes"],
            "properties": {
                "metadata": {"type": "object"},
                "timestamp": {"type": "integer"},
                "changes": {"type": "array", "items": data},
            },
        },
        "Batch": {
            "type": "object",
            "required": ["responses"],
            "properties": {"responses": {"type": "array", "items": {
                "type": "object",
                "required": ["status", "path", "headers", "body"],
                "properties": {
                    "status": {"type": "integer"},
                    "path": {"type": "string"},
                    "headers": {"type": "object", "additionalProperties": {"type": "string"}},
                    "body": {},
                },
            }}},
        },
    })
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/definitions/{name}")})
}

fn error(description: &str) -> Value {
    json(description, &reference("Error"))
}

fn json(description: &str, schema: &Value) -> Value {
    json!({"description": description, "schema": schema})
}

fn versioned(description: &str, schema: &str) -> Value {
    let mut response = json(description, &reference(schema));
    response["headers"] = version_headers();
    response
}

fn version_headers() -> Value {
    json!({
        "ETag": {"type": "string", "pattern": "^\"[0-9]+\"$"},
        "Last-Modified": {"type": "string"},
    })
}

fn counted() -> Value {
    let mut headers = version_headers();
    for name in ["Total-Objects", "Total-Records"] {
        headers[name] = json!({"type": "integer"});
    }
    json!({"description": "How many objects match.", "headers": headers})
}

fn not_modified() -> Value {
    json!({"description": "Nothing has changed.", "headers": version_headers()})
}
