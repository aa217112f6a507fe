//! Users of an OpenID provider (§5.4): a token is verified by the provider's keys, by its
//! `userinfo` endpoint, or by both, and remembered for a while.

pub mod callback;
mod document;
mod profile;
mod token;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use moka::{Expiry, future::Cache};
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::model::Timestamp;

use self::{document::Document, token::Keys};
use super::{
    basic::split_scheme,
    hash::{Tag, Tagger},
};
use crate::{
    config::OpenIdSettings,
    outgoing::{Outgoing, OutgoingError},
};

/// How old the provider's documents may be.
const OLDEST: Duration = Duration::from_hours(1);
/// How often they are fetched for a key that is not among them.
const OLDEST_FOR_NEW_KEY: Duration = Duration::from_mins(1);
/// Longest token, in bytes.
const MAX_TOKEN: usize = 16 << 10;
/// Size of all profiles that are remembered, in bytes.
const REMEMBERED: u64 = 32 << 20;

/// One provider, and what is known of it.
#[derive(Debug)]
pub struct Provider {
    /// Its name in the settings.
    pub name: String,
    /// The settings.
    pub settings: OpenIdSettings,
    outgoing: Outgoing,
    metadata: Document<Metadata>,
    keys: Document<Keys>,
    tagger: Tagger,
    verified: Cache<Tag, Arc<Verified>>,
}

/// What a provider says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Metadata {
    /// Its name in tokens.
    pub issuer: String,
    /// Where users log in.
    pub authorization_endpoint: String,
    /// Where a code becomes tokens.
    pub token_endpoint: String,
    /// Who a token belongs to.
    #[serde(default)]
    pub userinfo_endpoint: String,
    #[serde(default)]
    jwks_uri: String,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
}

/// A token that was good.
#[derive(Debug)]
pub(super) struct Verified {
    /// The user's id at the provider.
    pub(super) user_id: String,
    /// The user's groups at the provider.
    pub(super) groups: Vec<String>,
    /// What the provider says of the user.
    pub(super) profile: Map<String, Value>,
    size: u32,
    lifetime: Duration,
}

impl Metadata {
    /// Whether logins are protected by PKCE.
    pub fn knows_pkce(&self) -> bool {
        self.code_challenge_methods_supported.iter().any(|method| method == "S256")
    }
}

/// Each token is remembered for a time of its own.
struct Lifetimes;

impl Expiry<Tag, Arc<Verified>> for Lifetimes {
    fn expire_after_create(&self, _: &Tag, token: &Arc<Verified>, _: Instant) -> Option<Duration> {
        Some(token.lifetime)
    }
}

impl Provider {
    /// Asks the provider for nothing yet: it may be away when the service starts.
    pub fn new(name: &str, settings: &OpenIdSettings, outgoing: &Outgoing) -> Self {
        Self {
            name: name.to_owned(),
            settings: settings.clone(),
            outgoing: outgoing.clone(),
            metadata: Document::new(),
            keys: Document::new(),
            tagger: Tagger::new(),
            verified: Cache::builder()
                .max_capacity(REMEMBERED)
                .weigher(|_, token: &Arc<Verified>| token.size)
                .expire_after(Lifetimes)
                .build(),
        }
    }

    /// The token that these credentials hold, if it is good.
    pub(super) async fn identify(&self, authorization: &HeaderValue) -> Option<Arc<Verified>> {
        let (scheme, token) = split_scheme(authorization)?;
        let is_token = token.len() <= MAX_TOKEN && token.bytes().all(|b| b.is_ascii_graphic());
        if !scheme.eq_ignore_ascii_case(&self.settings.header_type) || token.is_empty() || !is_token
        {
            return None;
        }
        let tag = self.tagger.tag(&[token]);
        let known = self.verified.try_get_with(tag, self.verify(token)).await;
        known
            .inspect_err(|reason| tracing::debug!(provider = self.name, %reason, "token refused"))
            .ok()
    }

    async fn verify(&self, token: &str) -> Result<Arc<Verified>, String> {
        let metadata = self.metadata().await.ok_or("the provider is away")?;
        let claims = if self.settings.audience.is_empty() {
            None
        } else {
            let keys = self.keys_for(&metadata, token).await.ok_or("no keys")?;
            Some(token::verify(token, &keys, &metadata.issuer, &self.settings)?)
        };
        let profile = match &claims {
            Some(claims) if self.settings.local_validation => claims.clone(),
            _ => self.user_info(&metadata, token).await?,
        };
        // The token that was verified must be the one that the profile is about.
        let subjects = claims.as_ref().and_then(|claims| claims.get("sub")).zip(profile.get("sub"));
        if subjects.is_some_and(|(claimed, told)| claimed != told) {
            return Err("the profile is another user's".to_owned());
        }
        let user_id = profile::user_id(&profile, &self.settings).ok_or("no usable user id")?;
        let groups = profile::groups(&profile, &self.settings);
        let lifetime = lifetime(token, self.settings.verification_ttl);
        let size = serde_json::to_vec(&profile).map_or(usize::MAX, |bytes| bytes.len() + 256);
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        Ok(Arc::new(Verified { user_id, groups, profile, size, lifetime }))
    }

    /// What the provider says of itself, at most an hour old.
    pub async fn metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.get(OLDEST, self.fetch_metadata()).await
    }

    async fn fetch_metadata(&self) -> Option<Metadata> {
        let url = format!("{}/.well-known/openid-configuration", self.settings.issuer);
        let document = self.fetch(&url).await?;
        let metadata = serde_json::from_value::<Metadata>(document);
        let metadata = metadata.inspect_err(|error| self.warn(&url, &error.to_string())).ok()?;
        if metadata.issuer.trim_end_matches('/') != self.settings.issuer {
            self.warn(&url, &format!("it says that it is {}", metadata.issuer));
            return None;
        }
        Some(metadata)
    }

    /// The keys, fetched anew when the token's is not among them; that may be a forger's wish, so
    /// not more than once a minute.
    async fn keys_for(&self, metadata: &Metadata, token: &str) -> Option<Arc<Keys>> {
        let id = token::key_id(token)?;
        let keys = self.keys.get(OLDEST, self.fetch_keys(metadata)).await?;
        if keys.has(&id) {
            return Some(keys);
        }
        self.keys.get(OLDEST_FOR_NEW_KEY, self.fetch_keys(metadata)).await
    }

    async fn fetch_keys(&self, metadata: &Metadata) -> Option<Keys> {
        Keys::parse(&self.fetch(&metadata.jwks_uri).await?)
    }

    async fn user_info(
        &self,
        metadata: &Metadata,
        token: &str,
    ) -> Result<Map<String, Value>, String> {
        let request = Request::get(&metadata.userinfo_endpoint)
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let reply = self.outgoing.send(request).await.map_err(|error| error.to_string())?;
        if !reply.status().is_success() {
            return Err(format!("userinfo answers {}", reply.status()));
        }
        serde_json::from_slice(reply.body()).map_err(|error| error.to_string())
    }

    /// Gives a code back to the provider, for tokens: its answer as it is.
    ///
    /// # Errors
    ///
    /// [`OutgoingError`] when it is away.
    pub async fn trade(&self, form: String) -> Result<Bytes, OutgoingError> {
        let away = || OutgoingError::Transport("the provider is away".to_owned());
        let metadata = self.metadata().await.ok_or_else(away)?;
        let request = Request::post(&metadata.token_endpoint)
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Bytes::from(form))
            .map_err(|error| OutgoingError::Transport(error.to_string()))?;
        Ok(self.outgoing.send(request).await?.into_body())
    }

    async fn fetch(&self, url: &str) -> Option<Value> {
        let fetched = async {
            let request = Request::get(url).body(Bytes::new()).map_err(|e| e.to_string())?;
            let reply = self.outgoing.send(request).await.map_err(|e| e.to_string())?;
            if reply.status() != StatusCode::OK {
                return Err(format!("it answers {}", reply.status()));
            }
            serde_json::from_slice(reply.body()).map_err(|e| e.to_string())
        };
        fetched.await.inspect_err(|reason: &String| self.warn(url, reason)).ok()
    }

    fn warn(&self, url: &str, reason: &str) {
        tracing::warn!(provider = self.name, url, reason, "OpenID provider");
    }
}

/// Until the token ends, and not longer than the settings allow.
fn lifetime(token: &str, longest: Duration) -> Duration {
    let Some(end) = token::claimed_end(token) else { return longest };
    let left = end.saturating_mul(1_000).saturating_sub(Timestamp::now().as_millis());
    longest.min(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}
