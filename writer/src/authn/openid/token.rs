//! JSON Web Tokens: signed by the provider, for us, and valid now (§14.3 of
//! `platform-features.md`). What a token says of itself decides nothing: not its algorithm, which
//! must be one of the settings and of the key's kind, and not where its key is.

use jsonwebtoken::{
    DecodingKey, Validation,
    dangerous::insecure_decode_claims,
    decode, decode_header,
    jwk::{Jwk, PublicKeyUse},
};
use serde_json::{Map, Value};

use crate::config::OpenIdSettings;

/// Clocks may differ by so much, in seconds.
const LEEWAY: u64 = 30;
/// Longest name of a key, in bytes.
const MAX_KEY_ID: usize = 256;

/// A provider's keys.
#[derive(Debug)]
pub(super) struct Keys(Vec<Jwk>);

impl Keys {
    /// Reads a JWKS; keys of kinds that are not known here are left out.
    pub(super) fn parse(document: &Value) -> Option<Self> {
        let keys = document.get("keys")?.as_array()?;
        let known = keys.iter().filter_map(|key| serde_json::from_value::<Jwk>(key.clone()).ok());
        Some(Self(known.filter(is_for_signatures).collect()))
    }

    /// The key of exactly this name.
    fn find(&self, key_id: &str) -> Option<&Jwk> {
        let mut named = self.0.iter().filter(|key| key.common.key_id.as_deref() == Some(key_id));
        match (named.next(), named.next()) {
            (Some(key), None) => Some(key),
            _ => None,
        }
    }

    /// Whether there is a key of this name.
    pub(super) fn has(&self, key_id: &str) -> bool {
        self.find(key_id).is_some()
    }
}

fn is_for_signatures(key: &Jwk) -> bool {
    key.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
}

/// The name of the key that a token claims to be signed with.
pub(super) fn key_id(token: &str) -> Option<String> {
    let header = decode_header(token).ok()?;
    // An extension that must be understood, and is not.
    let is_plain = header.crit.is_none() && header.enc.is_none() && header.zip.is_none();
    header.kid.filter(|id| is_plain && !id.is_empty() && id.len() <= MAX_KEY_ID)
}

/// The claims of a token that is good.
///
/// # Errors
///
/// What is wrong, for the log.
pub(super) fn verify(
    token: &str,
    keys: &Keys,
    issuer: &str,
    settings: &OpenIdSettings,
) -> Result<Map<String, Value>, String> {
    let id = key_id(token).ok_or("no key id")?;
    let jwk = keys.find(&id).ok_or("unknown key")?;
    let algorithm = decode_header(token).map_err(|error| error.to_string())?.alg;
    if !settings.algorithms.contains(&algorithm) {
        return Err(format!("algorithm {algorithm:?}"));
    }
    let key = DecodingKey::from_jwk(jwk).map_err(|error| error.to_string())?;
    let meant = jwk.common.key_algorithm.map(|meant| meant.to_string());
    let fits = meant.is_none_or(|meant| meant == format!("{algorithm:?}"));
    if key.family() != algorithm.family() || !fits {
        return Err(format!("algorithm {algorithm:?} is not the key's"));
    }
    let mut validation = Validation::new(algorithm);
    validation.leeway = LEEWAY;
    validation.validate_nbf = true;
    validation.set_audience(&[&settings.audience]);
    validation.set_issuer(&[issuer]);
    validation.set_required_spec_claims(&["exp", "iss", "aud"]);
    let decoded = decode::<Map<String, Value>>(token, &key, &validation);
    decoded.map(|token| token.claims).map_err(|error| error.to_string())
}

/// When a token says that it ends, in seconds since the epoch. It is not verified: good to forget
/// a token earlier, never to trust it longer.
pub(super) fn claimed_end(token: &str) -> Option<i64> {
    let claims: Map<String, Value> = insecure_decode_claims(token).ok()?;
    claims.get("exp")?.as_i64()
}
