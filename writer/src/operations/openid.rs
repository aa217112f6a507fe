//! Logins at OpenID providers (`kinto-http-api.md` §5.4.4-6): the user goes to the provider, and
//! comes back with a code, which becomes the tokens that the client's callback gets.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use http::{HeaderName, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use shared::{
    error::{ApiError, Detail, Location},
    http::{Query, Reply},
};
use url::{Url, form_urlencoded::Serializer};

use crate::{
    app::App,
    authn::{Provider, callback, random_hex},
    config::{OpenIdSettings, Plugin},
    routes::LoginStep,
    service::{self, ApiRequest},
    store::logins::{self, Login},
    transaction::patience,
};

/// Longest answer of a provider that goes into a URL, in bytes.
const MAX_ANSWER: usize = 32 << 10;
/// What Python's `quote` leaves as it is.
const QUOTE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'-').remove(b'~');
/// Clients on the user's own machine, trusted unless the settings say whom to trust.
const LOCAL_CALLBACKS: [&str; 2] = ["http://localhost:*/*", "http://127.0.0.1:*/*"];

/// Answers one of the two URLs of a login.
///
/// # Errors
///
/// 400, or [`ApiError::Backend`] when the provider, or PostgreSQL, is away.
pub async fn login(
    app: &App,
    provider: &str,
    step: LoginStep,
    request: &ApiRequest,
) -> Result<Reply, ApiError> {
    let query = request.query()?;
    let redirect_uri =
        format!("{}/v1/openid/{provider}/token", service::origin(app, &request.headers));
    let found = app.authn.provider(provider);
    let location = match step {
        LoginStep::Begin => begin(app, found, provider, &query, redirect_uri).await,
        LoginStep::End => end(app, found, provider, &query, redirect_uri).await,
    }?;
    // Tokens are in URLs now: nobody keeps them, and no page is told where its visitor came from.
    Ok(Reply::redirect(&location)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-store"))
        .header(
            HeaderName::from_static("referrer-policy"),
            HeaderValue::from_static("no-referrer"),
        ))
}

/// To the provider.
async fn begin(
    app: &App,
    provider: Option<&Provider>,
    name: &str,
    query: &Query,
    redirect_uri: String,
) -> Result<String, ApiError> {
    let mut problems = Vec::new();
    let callback = required(query, "callback", &mut problems);
    if !callback.is_empty() && Url::parse(callback).is_err() {
        problems.push(Detail::new(Location::QueryString, "callback", "Must be a URL"));
    }
    let scope = required(query, "scope", &mut problems);
    let prompt = query.get("prompt").filter(|prompt| !prompt.is_empty());
    if prompt.is_some_and(|prompt| prompt != "none") {
        let text = "String does not match expected pattern";
        problems.push(Detail::new(Location::QueryString, "prompt", text));
    }
    let provider = known(provider, name, problems)?;
    check_scopes(provider, scope)?;
    if !callback::is_trusted(callback, &trusted_callbacks(app, provider)) {
        return Err(ApiError::invalid(Location::Body, "callback", "Untrusted callback URL"));
    }
    let settings = &provider.settings;
    if settings.userid_field == "email" && !scope.split_whitespace().any(|word| word == "email") {
        let text = format!("Provider {name} requires 'email' scope");
        return Err(ApiError::invalid(Location::Body, "scope", text));
    }
    let metadata = provider.metadata().await.ok_or_else(|| away(provider))?;
    let state = random_hex(settings.state_length)?;
    let verifier = if metadata.knows_pkce() { Some(random_hex(32)?) } else { None };
    let wish = Wish { scope, prompt, redirect_uri, state: &state, verifier: verifier.as_deref() };
    let url = wish.url(&metadata.authorization_endpoint, settings).ok_or_else(|| away(provider))?;
    let login = Login { provider: name.to_owned(), callback: callback.to_owned(), verifier };
    logins::begin(&app.pool, patience(app), &state, &login, settings.state_ttl).await?;
    Ok(url.into())
}

/// What the provider is asked for.
struct Wish<'a> {
    scope: &'a str,
    prompt: Option<&'a str>,
    redirect_uri: String,
    state: &'a str,
    verifier: Option<&'a str>,
}

impl Wish<'_> {
    /// The URL that asks; `None` when the endpoint is none.
    fn url(&self, endpoint: &str, settings: &OpenIdSettings) -> Option<Url> {
        let mut url = Url::parse(endpoint).ok()?;
        let mut pairs = url.query_pairs_mut();
        pairs
            .append_pair("client_id", &settings.client_id)
            .append_pair("response_type", "code")
            .append_pair("scope", self.scope)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("state", self.state);
        if let Some(prompt) = self.prompt {
            pairs.append_pair("prompt", prompt);
        }
        if !settings.audience.is_empty() {
            pairs.append_pair("audience", &settings.audience);
        }
        if let Some(verifier) = self.verifier {
            let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
            pairs
                .append_pair("code_challenge", &challenge)
                .append_pair("code_challenge_method", "S256");
        }
        drop(pairs);
        Some(url)
    }
}

/// Back to the client, with tokens, or with the provider's refusal.
async fn end(
    app: &App,
    provider: Option<&Provider>,
    name: &str,
    query: &Query,
    redirect_uri: String,
) -> Result<String, ApiError> {
    let mut problems = Vec::new();
    let state = required(query, "state", &mut problems);
    let sent = |name| query.get(name).filter(|text| !text.is_empty());
    let (code, error) = (sent("code"), sent("error"));
    if problems.is_empty() && code.is_some() == error.is_some() {
        let text = "Provide either 'state' and 'code', or 'error' and 'error_description', but \
                    not both.";
        problems.push(Detail::new(Location::QueryString, "", text));
    }
    let provider = known(provider, name, problems)?;
    let login = logins::end(&app.pool, patience(app), state).await?;
    let login = login.filter(|login| login.provider == name).ok_or(ApiError::InvalidState)?;
    let Some(code) = code else {
        let refusal = refusal(error.unwrap_or_default(), sent("error_description"));
        return Ok(login.callback + &refusal);
    };
    let form = token_form(&provider.settings, code, &redirect_uri, login.verifier.as_deref());
    let answer = provider
        .trade(form)
        .await
        .map_err(|error| ApiError::backend(format!("{name}: {error}")))?;
    if answer.len() > MAX_ANSWER {
        return Err(away(provider));
    }
    let encoded = STANDARD.encode(answer);
    Ok(format!("{}{}", login.callback, utf8_percent_encode(&encoded, QUOTE)))
}

/// What the provider said instead of a code.
fn refusal(error: &str, description: Option<&str>) -> String {
    let mut members = Serializer::new(String::new());
    members.append_pair("error", error);
    if let Some(description) = description {
        members.append_pair("error_description", description);
    }
    members.finish()
}

fn token_form(
    settings: &OpenIdSettings,
    code: &str,
    redirect_uri: &str,
    verifier: Option<&str>,
) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("code", code)
        .append_pair("client_id", &settings.client_id)
        .append_pair("client_secret", &settings.client_secret.0)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("grant_type", "authorization_code");
    if let Some(verifier) = verifier {
        form.append_pair("code_verifier", verifier);
    }
    form.finish()
}

fn required<'a>(query: &'a Query, name: &str, problems: &mut Vec<Detail>) -> &'a str {
    let text = query.get(name).unwrap_or_default();
    if text.is_empty() {
        problems.push(Detail::new(Location::QueryString, name, "Required"));
    }
    text
}

/// All that is wrong with the URL is told at once.
fn known<'a>(
    provider: Option<&'a Provider>,
    name: &str,
    mut problems: Vec<Detail>,
) -> Result<&'a Provider, ApiError> {
    match provider {
        Some(provider) if problems.is_empty() => Ok(provider),
        Some(_) => Err(ApiError::Invalid(problems)),
        None => {
            let text = format!("Unknown provider '{name}'");
            problems.push(Detail::new(Location::Path, "provider", text));
            Err(ApiError::Invalid(problems))
        }
    }
}

/// Clients get no more rights than the settings let them ask for.
fn check_scopes(provider: &Provider, scope: &str) -> Result<(), ApiError> {
    let allowed = &provider.settings.allowed_scopes;
    let refused: BTreeSet<&str> = scope
        .split_whitespace()
        .filter(|word| !allowed.iter().any(|known| known == word))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    let text = format!("Scopes not allowed: {}", Vec::from_iter(refused).join(", "));
    Err(ApiError::invalid(Location::Body, "scope", text))
}

/// The console is trusted where the settings say which host is ours: a request's own `Host` could
/// name anybody's.
fn trusted_callbacks(app: &App, provider: &Provider) -> Vec<String> {
    let patterns = &provider.settings.trusted_callbacks;
    if !patterns.is_empty() {
        return patterns.clone();
    }
    let mut patterns = LOCAL_CALLBACKS.map(str::to_owned).to_vec();
    let project = &app.config.service.project;
    if let Some(host) = project.host.as_ref().filter(|_| app.config.plugins.has(Plugin::Admin)) {
        let scheme = project.scheme.as_deref().unwrap_or("http");
        patterns.push(format!("{scheme}://{host}/v1/admin/*"));
    }
    patterns
}

fn away(provider: &Provider) -> ApiError {
    ApiError::backend(format!("the OpenID provider {} is away", provider.name))
}
