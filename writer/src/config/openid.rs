//! One OpenID provider: `multiauth.policy.<name>.*` (`kinto-http-api.md` §5.4.1).

use std::time::Duration;

use jsonwebtoken::Algorithm;
use shared::config::Layers;
use url::Url;

use super::Secret;

/// An OpenID provider, and what is asked of its tokens.
#[derive(Debug, Clone)]
pub struct OpenIdSettings {
    /// Its URL, without a slash at its end.
    pub issuer: String,
    /// Who we are to the provider.
    pub client_id: String,
    /// The password to that name.
    pub client_secret: Secret,
    /// What tokens must have been made for; empty for opaque tokens.
    pub audience: String,
    /// The scheme in `Authorization`.
    pub header_type: String,
    /// The member of the profile that becomes the user's id.
    pub userid_field: String,
    /// How long a verified token needs no second check, at most.
    pub verification_ttl: Duration,
    /// How long a login may take.
    pub state_ttl: Duration,
    /// Random bytes in a login's state.
    pub state_length: usize,
    /// What logins may ask for.
    pub allowed_scopes: Vec<String>,
    /// Patterns of the URLs that logins may return to; none: clients on the user's machine, and
    /// the console.
    pub trusted_callbacks: Vec<String>,
    /// How tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// The member of the profile that lists the user's groups, if they count here.
    pub groups_claim: Option<String>,
    /// Members that the profile must have, with their values.
    pub required_claims: Vec<(String, String)>,
    /// Whether the token's own claims are the profile.
    pub local_validation: bool,
}

/// Signatures with a public key. `none` and those with a shared secret are never taken.
const ALGORITHMS: [(&str, Algorithm); 4] = [
    ("RS256", Algorithm::RS256),
    ("PS256", Algorithm::PS256),
    ("ES256", Algorithm::ES256),
    ("EdDSA", Algorithm::EdDSA),
];

impl OpenIdSettings {
    /// Reads the options of the policy `name`.
    pub fn read(layers: &mut Layers, name: &str) -> Self {
        let key = |option: &str| format!("multiauth.policy.{name}.{option}");
        let seconds = |layers: &mut Layers, option, default| {
            let number = layers.optional_number(&key(option), 1, 31_536_000);
            Duration::from_secs(number.unwrap_or(default))
        };
        let settings = Self {
            issuer: issuer(layers, &key("issuer")),
            client_id: layers.required(&key("client_id"), "the name under which it knows us"),
            client_secret: Secret(layers.text(&key("client_secret"))),
            audience: layers.text(&key("audience")),
            header_type: text(layers, &key("header_type"), "Bearer"),
            userid_field: text(layers, &key("userid_field"), "sub"),
            verification_ttl: seconds(layers, "verification_ttl_seconds", 86_400),
            state_ttl: seconds(layers, "state_ttl_seconds", 3_600),
            state_length: layers
                .optional_number(&key("state_length"), 16, 256)
                .and_then(|bytes| usize::try_from(bytes).ok())
                .unwrap_or(32),
            allowed_scopes: words(layers, &key("allowed_scopes"), &["openid", "email", "profile"]),
            trusted_callbacks: layers.words(&key("trusted_callback_urls")),
            algorithms: algorithms(layers, &key("algorithms")),
            groups_claim: layers.optional(&key("groups_claim")),
            required_claims: claims(layers, &key("required_claims")),
            local_validation: layers.flag(&key("local_validation")),
        };
        if settings.local_validation && settings.audience.is_empty() {
            layers.problem(format!(
                "{} needs an audience: tokens made for others would do",
                key("local_validation")
            ));
        }
        settings
    }
}

fn issuer(layers: &mut Layers, key: &str) -> String {
    let text = layers.required(key, "the provider's URL");
    let insecure_is_fine = layers.flag("outgoing.allow_private");
    match Url::parse(&text) {
        _ if text.is_empty() => {}
        Ok(url) if url.scheme() == "https" || (url.scheme() == "http" && insecure_is_fine) => {}
        _ => layers.problem(format!("{key} is `{text}`: expected an https URL")),
    }
    text.trim_end_matches('/').to_owned()
}

fn text(layers: &mut Layers, key: &str, default: &str) -> String {
    layers.optional(key).unwrap_or_else(|| default.to_owned())
}

fn words(layers: &mut Layers, key: &str, default: &[&str]) -> Vec<String> {
    let words = layers.words(key);
    if words.is_empty() { default.iter().map(ToString::to_string).collect() } else { words }
}

fn algorithms(layers: &mut Layers, key: &str) -> Vec<Algorithm> {
    let mut algorithms = Vec::new();
    for word in words(layers, key, &ALGORITHMS.map(|(name, _)| name)) {
        if let Some((_, algorithm)) = ALGORITHMS.iter().find(|(name, _)| *name == word) {
            algorithms.push(*algorithm);
        } else {
            let known = ALGORITHMS.map(|(name, _)| name).join(", ");
            layers.problem(format!("{key} has `{word}`: known are {known}"));
        }
    }
    algorithms
}

fn claims(layers: &mut Layers, key: &str) -> Vec<(String, String)> {
    let mut claims = Vec::new();
    for word in layers.words(key) {
        match word.split_once('=') {
            Some((name, value)) => claims.push((name.to_owned(), value.to_owned())),
            None => layers.problem(format!("{key} has `{word}`: expected name=value")),
        }
    }
    claims
}
