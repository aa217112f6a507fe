//! What this service says of itself: `GET /v1/`, `/__version__`, `/contribute.json`
//! (`kinto-http-api.md` §1.1-1.2).

use std::time::Duration;

use futures_util::FutureExt as _;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};
use shared::{http::Reply, model::Timestamp, wire};
use tokio::time::timeout;

use crate::{
    app::App,
    authn::Profile,
    config::Plugin,
    endpoints,
    plugins::{self, default_bucket},
    service,
    store::objects,
    transaction,
    user::User,
};

/// How long a provider may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// What this server is and can, for the hello view.
pub async fn about(app: &App, headers: &HeaderMap) -> Value {
    let (config, service) = (&app.config, &app.config.service);
    let mut body = json!({
        "project_name": service.project.name,
        "project_version": service.project.version,
        "http_api_version": API_VERSION,
        "project_docs": service.project.docs,
        "url": format!("{}/v1/", service::origin(app, headers)),
        "config": service.file,
        "settings": {
            "batch_max_requests": service.batch_max_requests,
            "readonly": service.readonly,
            "explicit_permissions": config.explicit_permissions,
        },
        "capabilities": capabilities(app).await,
    });
    if let Some(end) = &service.end {
        body["eos"] = end.text.as_str().into();
    }
    body
}

/// The hello view: what this server is and can, and who the client is to it.
pub fn hello(app: &App, about: Value, user: &User, profile: Option<Profile>) -> Reply {
    let (config, service, mut body) = (&app.config, &app.config.service, about);
    if let Some(id) = &user.id {
        body["user"] = json!({"id": id, "principals": user.principals});
        if let Some(profile) = profile {
            body["user"]["profile"] = Value::Object(profile);
        }
        if config.plugins.has(Plugin::DefaultBucket) {
            let secret = &config.extras.default_bucket_secret;
            body["user"]["bucket"] = default_bucket::bucket_id(secret, id).into();
        }
    }
    let reply = Reply::json(StatusCode::OK, &body);
    // What cannot change may be kept (§1.1.3).
    if service.readonly { reply.lifetime(service.hello_lifetime, Timestamp::now()) } else { reply }
}

/// The version of Kinto's HTTP API that is spoken here.
pub const API_VERSION: &str = "1.23";

const DOCS: &str = "https://docs.kinto-storage.org/en/stable/";

/// By name: what clients detect features by (§1.1.4).
async fn capabilities(app: &App) -> Value {
    let config = &app.config;
    let mut all = Map::new();
    if config.identity.has_basicauth() {
        let text = "Very basic authentication sessions. Not for production use.";
        all.insert("basicauth".to_owned(), capability(text, "api/1.x/authentication.html"));
    }
    if config.schema_validation {
        let text = "Validates collection records with JSON schemas.";
        let page = "api/1.x/collections.html#collection-json-schema";
        all.insert("schema".to_owned(), capability(text, page));
    }
    for (plugin, name, text, page) in PLUGINS {
        if config.plugins.has(plugin) {
            all.insert(name.to_owned(), capability(text, page));
        }
    }
    if let Some(accounts) = all.get_mut("accounts") {
        accounts["validation_enabled"] = false.into();
    }
    if config.plugins.has(Plugin::OpenId) && !app.authn.providers().is_empty() {
        all.insert("openid".to_owned(), openid(app).await);
    }
    for (name, value) in plugins::capabilities(config) {
        all.insert(name.to_owned(), value);
    }
    if (endpoints::MONITOR.is_on)(config) {
        all.insert("changes".to_owned(), wire::capability(&config.changes));
    }
    if !config.signer.resources.is_empty() {
        all.insert("signer".to_owned(), signer(app).await);
    }
    Value::Object(all)
}

const PLUGINS: [(Plugin, &str, &str, &str); 4] = [
    (Plugin::Accounts, "accounts", "Manage user accounts.", "api/1.x/accounts.html"),
    (
        Plugin::Counters,
        "counters_endpoint",
        "The __counters__ endpoint exposes how many objects are stored.",
        "api/1.x/counters.html",
    ),
    (
        Plugin::DefaultBucket,
        "default_bucket",
        "The bucket `default` is each user's own; its collections are created on demand.",
        "api/1.x/buckets.html#personal-bucket-default",
    ),
    (
        Plugin::Flush,
        "flush_endpoint",
        "The __flush__ endpoint removes all data.",
        "api/1.x/flush.html",
    ),
];

fn capability(description: &str, page: &str) -> Value {
    json!({"description": description, "url": format!("{DOCS}{page}")})
}

/// Patterns are shown as the collections that they match: where these cannot be read, without.
async fn signer(app: &App) -> Value {
    let resources = &app.config.signer.resources;
    let mut existing = Vec::new();
    if resources.has_patterns() {
        let buckets: Vec<String> = resources.sources().map(|(b, _)| b.to_string()).collect();
        let read = transaction::snapshot(app, &buckets, |tx, buckets| {
            objects::collections_in(tx, buckets).boxed()
        });
        existing = read.await.unwrap_or_default();
    }
    json!({
        "description": "Digital signatures for integrity and authenticity of records.",
        "url": "https://github.com/mozilla/remote-settings/tree/main/kinto-remote-settings",
        "version": env!("CARGO_PKG_VERSION"),
        "plugin_userid": crate::signoff::effects::PLUGIN_USER,
        "group_check_enabled": true,
        "to_review_enabled": resources.review_by_default(),
        "editors_group": "{collection_id}-editors",
        "reviewers_group": "{collection_id}-reviewers",
        "resources": resources.shown(&existing),
    })
}

/// What the build left in a file, or what the binary knows of itself.
pub fn version(app: &App) -> Reply {
    let service = &app.config.service;
    let own = || {
        json!({
            "name": service.project.name,
            "version": env!("CARGO_PKG_VERSION"),
            "source": env!("CARGO_PKG_REPOSITORY"),
            "commit": option_env!("COUNTERSIGN_COMMIT").unwrap_or_default(),
        })
    };
    Reply::json(StatusCode::OK, &service.version.clone().unwrap_or_else(own))
}

/// How to take part in the project.
pub fn contribute(app: &App) -> Reply {
    const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");
    Reply::json(
        StatusCode::OK,
        &json!({
            "name": "Countersign",
            "description": "Signed, reviewed settings for millions of clients.",
            "repository": {"url": REPOSITORY, "license": env!("CARGO_PKG_LICENSE")},
            "participate": {
                "home": format!("{REPOSITORY}/blob/main/CONTRIBUTING.md"),
                "docs": app.config.service.project.docs,
            },
            "bugs": {
                "list": format!("{REPOSITORY}/issues"),
                "report": format!("{REPOSITORY}/issues/new"),
            },
            "keywords": ["JSON", "Rust", "REST", "API", "PostgreSQL"],
        }),
    )
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
    let mut capability = capability("OpenID connect support.", "api/1.x/authentication.html");
    capability["providers"] = Value::Array(providers);
    capability
}
