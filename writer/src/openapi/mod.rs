//! `GET /v1/__api__`: this service as Swagger 2.0 describes it (`kinto-http-api.md` §1.3), made
//! from the table that it is routed by (`endpoints/`).

mod parameters;
mod responses;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use shared::http::Reply;

use crate::{
    app::App,
    config::{Config, Method},
    endpoints::{self, Action, Does, Endpoint},
    operations::API_VERSION,
    service,
};

/// The document.
pub fn document(app: &App, headers: &HeaderMap) -> Reply {
    let config = &app.config;
    let origin = service::origin(app, headers);
    let (scheme, host) = origin.split_once("://").unwrap_or(("http", "localhost"));
    let mut tags: Vec<String> = Vec::new();
    let mut paths = Map::new();
    for endpoint in endpoints::ALL.iter().filter(|endpoint| (endpoint.is_on)(config)) {
        let mut item = Map::new();
        let named = parameters::of_path(endpoint.path);
        if !named.is_empty() {
            item.insert("parameters".to_owned(), named.into());
        }
        for action in endpoint.enabled(config) {
            let method = action.method.as_str().to_lowercase();
            item.insert(method, operation(config, endpoint, action));
        }
        tags.push(tag(endpoint));
        paths.insert(endpoint.path.to_owned(), item.into());
    }
    tags.sort();
    tags.dedup();
    let tags: Vec<Value> = tags.into_iter().map(|name| json!({"name": name})).collect();
    let document = json!({
        "swagger": "2.0",
        "info": {"title": config.service.project.name, "version": API_VERSION},
        "host": with_port(scheme, host),
        "basePath": "/v1",
        "schemes": [scheme],
        "securityDefinitions": security_definitions(config),
        "tags": tags,
        "paths": paths,
        "definitions": responses::definitions(),
    });
    Reply::json(StatusCode::OK, &document)
}

fn operation(config: &Config, endpoint: &Endpoint, action: &Action) -> Value {
    let produces: &[&str] = if action.does == Does::ShowText {
        &["text/plain", "application/json"]
    } else {
        &["application/json"]
    };
    let mut operation = json!({
        "operationId": operation_id(endpoint, action),
        "tags": [tag(endpoint)],
        "security": security(config, action.does),
        "produces": produces,
        "parameters": parameters::of(endpoint, action.does),
        "responses": responses::of(action.does),
    });
    if let Some(kinds) = consumes(action.does) {
        operation["consumes"] = json!(kinds);
    }
    operation
}

/// JSON-Patch is left out, as in the reference: its bodies are lists.
fn consumes(does: Does) -> Option<&'static [&'static str]> {
    match does {
        Does::Create | Does::Update | Does::Batch => Some(&["application/json"]),
        Does::Patch => Some(&["application/json", "application/merge-patch+json"]),
        Does::List
        | Does::Count
        | Does::DeleteList
        | Does::Get
        | Does::Delete
        | Does::Show
        | Does::Inspect
        | Does::Changes
        | Does::Probe
        | Does::ShowText
        | Does::Command
        | Does::Redirect
        | Does::Purge => None,
    }
}

/// `record-plural` and `GET` make `get_records`.
fn operation_id(endpoint: &Endpoint, action: &Action) -> String {
    if let Some(id) = action.id {
        return id.to_owned();
    }
    let verb = match action.does {
        Does::List
        | Does::Get
        | Does::Show
        | Does::Inspect
        | Does::Changes
        | Does::Probe
        | Does::ShowText
        | Does::Redirect => "get",
        Does::Count => "count",
        Does::Create | Does::Batch | Does::Command => "create",
        Does::Update => "update",
        Does::Patch => "patch",
        Does::DeleteList | Does::Delete | Does::Purge => "delete",
    };
    let plural = if action.does == Does::Create { "" } else { "s" };
    let noun = endpoint.name.replace("-plural", plural).replace("-object", "");
    format!("{verb}_{noun}")
}

fn tag(endpoint: &Endpoint) -> String {
    let is_utility = endpoint
        .actions
        .iter()
        .all(|action| matches!(action.does, Does::Show | Does::Probe | Does::ShowText));
    if is_utility {
        return "Utilities".to_owned();
    }
    let name = endpoint.name.replace("-plural", "s").replace("-object", "s");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + letters.as_str()
    })
}

/// One entry a policy that clients can be told about.
fn security_definitions(config: &Config) -> Map<String, Value> {
    let mut definitions = Map::new();
    for policy in &config.identity.policies {
        // As in the reference, the policy of accounts is not among them.
        let definition = match &policy.method {
            Method::BasicAuth => json!({"type": "basic"}),
            Method::OpenId(_) => {
                let login = format!("/openid/{}/login", policy.name);
                json!({"type": "oauth2", "authorizationUrl": login})
            }
            Method::Accounts => continue,
        };
        definitions.insert(policy.name.clone(), definition);
    }
    definitions
}

/// Any of the policies, or none at all where everybody may.
fn security(config: &Config, does: Does) -> Vec<Value> {
    if is_public(does) {
        return Vec::new();
    }
    let names = security_definitions(config).into_iter().map(|(name, _)| name);
    names.map(|name| json!({name: []})).collect()
}

fn is_public(does: Does) -> bool {
    match does {
        Does::Show
        | Does::Probe
        | Does::ShowText
        | Does::Batch
        | Does::Command
        | Does::Redirect => true,
        Does::List
        | Does::Count
        | Does::Create
        | Does::DeleteList
        | Does::Get
        | Does::Update
        | Does::Patch
        | Does::Delete
        | Does::Inspect
        | Does::Changes
        | Does::Purge => false,
    }
}

/// The reference always shows a port.
fn with_port(scheme: &str, host: &str) -> String {
    let name = host.rsplit_once(']').map_or(host, |(_, after)| after);
    if name.contains(':') {
        return host.to_owned();
    }
    let port = if scheme == "https" { 443 } else { 80 };
    format!("{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_a_port() {
        assert_eq!(with_port("http", "localhost"), "localhost:80");
        assert_eq!(with_port("https", "localhost"), "localhost:443");
        assert_eq!(with_port("http", "localhost:8888"), "localhost:8888");
        assert_eq!(with_port("http", "[::1]"), "[::1]:80");
        assert_eq!(with_port("http", "[::1]:8888"), "[::1]:8888");
    }

    #[test]
    fn operations_have_the_reference_s_names() {
        let ids = |endpoint: &Endpoint| -> Vec<String> {
            endpoint.actions.iter().map(|action| operation_id(endpoint, action)).collect()
        };

        assert_eq!(
            ids(&endpoints::RECORDS),
            ["count_records", "get_records", "create_record", "delete_records"]
        );
        assert_eq!(
            ids(&endpoints::GROUP),
            ["get_group", "update_group", "patch_group", "delete_group"]
        );
        assert_eq!(ids(&endpoints::HELLO), ["server_info"]);
        assert_eq!(
            [tag(&endpoints::RECORD), tag(&endpoints::HELLO), tag(&endpoints::HISTORY)],
            ["Records", "Utilities", "History"]
        );
    }
}
