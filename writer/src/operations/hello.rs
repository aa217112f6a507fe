//! `GET /v1/` (`kinto-http-api.md` §1.1).

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use shared::http::Reply;
use tokio::time::timeout;

use crate::{app::App, config::Plugin, context::User, service};

/// How long a provider may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// The hello view: what this server is and can, and who the client is to it.
pub async fn hello(
    app: &App,
    headers: &HeaderMap,
    user: &User,
    profile: Option<Map<String, Value>>,
) -> Reply {
    let (config, project) = (&app.config, &app.config.project);
    let mut capabilities = json!({});
    if config.identity.has_basicauth() {
        capabilities["basicauth"] = json!({
            "description": "Very basic authentication sessions. Not for production use.",
            "url": "https://docs.kinto-storage.org/en/stable/api/1.x/authentication.html",
        });
    }
    if config.plugins.has(Plugin::Accounts) {
        capabilities["accounts"] = json!({
            "description": "Manage user accounts.",
            "url": "https://kinto.readthedocs.io/en/latest/api/1.x/accounts.html",
            "validation_enabled": false,
        });
    }
    if config.plugins.has(Plugin::OpenId) && !app.authn.providers().is_empty() {
        capabilities["openid"] = openid(app).await;
    }
    let signer = &config.signer.resources;
    if !signer.is_empty() {
        capabilities["signer"] = json!({
            "description":
                "Digital signatures for integrity and authenticity of records.",
            "url": "https://github.com/mozilla/remote-settings/tree/main/kinto-remote-settings",
            "version": env!("CARGO_PKG_VERSION"),
            "plugin_userid": crate::signoff::effects::PLUGIN_USER,
            "group_check_enabled": true,
            "to_review_enabled": signer.review_by_default(),
            "editors_group": "{collection_id}-editors",
            "reviewers_group": "{collection_id}-reviewers",
            "resources": signer.shown(),
        });
    }
    let mut body = json!({
        "project_name": project.name,
        "project_version": project.version,
        "http_api_version": "1.23",
        "project_docs": project.docs,
        "url": format!("{}/v1/", service::origin(app, headers)),
        "config": null,
        "settings": {
            "batch_max_requests": config.batch_max_requests,
            "readonly": false,
            "explicit_permissions": config.explicit_permissions,
        },
        "capabilities": capabilities,
    });
    if let Some(id) = &user.id {
        body["user"] = json!({"id": id, "principals": user.principals});
        if let Some(profile) = profile {
            body["user"]["profile"] = Value::Object(profile);
        }
    }
    Reply::json(StatusCode::OK, &body)
}

/// What clients need for a login. A provider that is away is shown as the settings know it.
async fn openid(app: &App) -> Value {
    let mut providers = Vec::new();
    for provider in app.authn.providers() {
        let (name, settings) = (&provider.name, &provider.settings);
        let metadata = timeout(PATIENCE, provider.metadata()).await.ok().flatten();
        let metadata = metadata.as_ref();
        providers.push(json!({
            "name": name,
            "issuer": metadata.map_or(&settings.issuer, |metadata| &metadata.issuer),
            "auth_path": format!("/openid/{name}/login"),
            "client_id": settings.client_id,
            "audience": settings.audience,
            "header_type": settings.header_type,
            "userinfo_endpoint": metadata.map(|metadata| &metadata.userinfo_endpoint),
        }));
    }
    json!({
        "description": "OpenID connect support.",
        "url": "http://kinto.readthedocs.io/en/stable/api/1.x/authentication.html",
        "providers": providers,
    })
}
