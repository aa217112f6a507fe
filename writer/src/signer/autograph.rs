//! Signing with a service that speaks Autograph's protocol (`remote-settings.md` §2.7).

use std::{collections::BTreeSet, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{
    HeaderValue, Method, Request, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
    uri::{Parts, PathAndQuery},
};
use serde::Deserialize as _;
use serde_json::Value;
use shared::{
    model::Timestamp,
    signature::{ContentSignature, PublicKey, SignatureError},
};
use tokio::{sync::Mutex, time::Instant};
use url::Url;
use uuid::Uuid;

use super::{
    expiry::days_to_tell,
    hawk,
    x5u::{Chains, X5uError},
};
use crate::{
    config::{AutographSettings, OutgoingSettings, TlsWarning},
    outgoing::{Outgoing, OutgoingError},
    pki::Certified,
};

/// Exactly this, without `charset`: it is part of what Hawk vouches for.
const JSON: &str = "application/json";

/// How often its TLS certificate is looked at.
const CERTIFICATE: Duration = Duration::from_hours(1);

/// A signing service, and our name with it.
#[derive(Debug)]
pub struct Autograph {
    settings: AutographSettings,
    endpoint: Uri,
    outgoing: Outgoing,
    /// Where chains are checked.
    chains: Option<Chains>,
    /// When its TLS certificate was looked at.
    looked: Mutex<Option<Instant>>,
}

/// Why the service gave no signature that can be used.
#[derive(Debug, thiserror::Error)]
pub enum AutographError {
    /// The request could not be made.
    #[error("the request cannot be made: {0}")]
    Request(#[from] http::Error),
    /// No answer.
    #[error(transparent)]
    Away(#[from] OutgoingError),
    /// The service refuses, or fails.
    #[error("it answers {0}")]
    Status(StatusCode),
    /// Its answer is not what it should be.
    #[error("its answer is {0}")]
    Reply(&'static str),
    /// The signature is not that of the key that is said to have made it, or of the document.
    #[error("its signature is wrong: {0}")]
    Wrong(#[from] SignatureError),
    /// Clients would not trust the certificates behind the signature, or cannot have them.
    #[error("the certificate chain at {0}: {1}")]
    Chain(String, X5uError),
}

impl AutographError {
    /// Whether the same request may succeed a moment later. A service that was too slow once has
    /// had its time: clients wait, and so may locks.
    fn is_passing(&self) -> bool {
        match self {
            Self::Away(OutgoingError::Transport(_)) => true,
            Self::Status(status) => matches!(status.as_u16(), 502..=504),
            Self::Away(OutgoingError::Late | OutgoingError::Forbidden(_))
            | Self::Request(_)
            | Self::Reply(_)
            | Self::Wrong(_)
            | Self::Chain(..) => false,
        }
    }
}

impl Autograph {
    /// Connects to nothing yet. The operator chose the address, so it may be a private one; those
    /// of chains are the service's choice, and `outgoing` says where they may be.
    ///
    /// # Errors
    ///
    /// When the URL has no host.
    pub fn new(
        settings: &AutographSettings,
        outgoing: &OutgoingSettings,
    ) -> Result<Self, http::Error> {
        let reach = OutgoingSettings {
            allow_private: true,
            allowed_hosts: BTreeSet::new(),
            timeout: settings.timeout,
        };
        let outgoing = OutgoingSettings { timeout: settings.timeout, ..outgoing.clone() };
        let chains = settings.chains.as_ref().map(|trust| Chains::new(trust, &outgoing));
        let mut parts = Parts::default();
        parts.scheme = settings.server_url.scheme().cloned();
        parts.authority = settings.server_url.authority().cloned();
        parts.path_and_query = Some(PathAndQuery::from_static("/sign/data"));
        Ok(Self {
            settings: settings.clone(),
            endpoint: Uri::from_parts(parts)?,
            outgoing: Outgoing::new(&reach),
            chains,
            looked: Mutex::default(),
        })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Uri {
        &self.endpoint
    }

    /// The chains that its signatures may name, as far as they are known.
    pub fn chains(&self) -> Vec<Certified> {
        self.chains.as_ref().map(Chains::all).unwrap_or_default()
    }

    /// The chain that each key's last signature named.
    pub fn chains_in_use(&self) -> Vec<Certified> {
        self.chains.as_ref().map(Chains::in_use).unwrap_or_default()
    }

    /// Warns where its TLS certificate is about to end; looks once an hour.
    pub async fn watch_certificate(&self, rule: TlsWarning) {
        let mut looked = self.looked.lock().await;
        if looked.is_some_and(|at| at.elapsed() < CERTIFICATE) {
            return;
        }
        match self.outgoing.certificate(&self.endpoint).await {
            Ok(None) => {}
            Ok(Some(certificate)) => {
                if let Some(days) = days_to_tell(&certificate, rule, Timestamp::now()) {
                    let host = self.endpoint.host();
                    tracing::warn!(host, "Only {days} days before Autograph certificate expires");
                }
            }
            // The signature fails as well, and says so; this is asked again with the next one.
            Err(_) => return,
        }
        *looked = Some(Instant::now());
    }

    /// Signs a canonical document with every key, at the same time; in the order of the settings.
    ///
    /// # Errors
    ///
    /// [`AutographError`], the first.
    pub async fn sign(&self, document: &[u8]) -> Result<Vec<ContentSignature>, AutographError> {
        let input = STANDARD.encode(document);
        let keys = self.settings.key_ids.iter();
        try_join_all(keys.map(|key| self.sign_with(key, &input, document))).await
    }

    /// Once more where that may help.
    async fn sign_with(
        &self,
        key_id: &str,
        input: &str,
        document: &[u8],
    ) -> Result<ContentSignature, AutographError> {
        let body = body(input, key_id);
        let signature = match self.ask(&body, document).await {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, endpoint = %self.endpoint, key_id, "asked once more to sign");
                self.ask(&body, document).await
            }
            result => result,
        }?;
        if let Some(chains) = &self.chains {
            let checked = chains.check(key_id, &signature, document).await;
            checked.map_err(|error| AutographError::Chain(signature.x5u.clone(), error))?;
        }
        Ok(signature)
    }

    async fn ask(&self, body: &Bytes, document: &[u8]) -> Result<ContentSignature, AutographError> {
        // Each attempt has its own: a nonce that was seen before is refused.
        let nonce = Uuid::new_v4().simple().to_string();
        let signed = hawk::Signed {
            method: &Method::POST,
            uri: &self.endpoint,
            content_type: JSON,
            body,
            seconds: Timestamp::now().as_millis() / 1_000,
            nonce: &nonce,
        };
        let authorization =
            signed.authorization(&self.settings.hawk_id, &self.settings.hawk_secret.0);
        let request = Request::post(&self.endpoint)
            .header(CONTENT_TYPE, HeaderValue::from_static(JSON))
            .header(AUTHORIZATION, authorization)
            .body(body.clone())?;
        let reply = self.outgoing.send(request).await?;
        if !reply.status().is_success() {
            return Err(AutographError::Status(reply.status()));
        }
        checked(reply.body(), document)
    }
}

/// The service adds the prefix to `input` itself.
fn body(input: &str, key_id: &str) -> Bytes {
    let key_id = Value::from(key_id);
    Bytes::from(format!(r#"[{{"input": "{input}", "keyid": {key_id}}}]"#))
}

/// Reads an answer, and verifies its signature: a wrong one must not reach clients (D13).
fn checked(reply: &[u8], document: &[u8]) -> Result<ContentSignature, AutographError> {
    let reply: Value =
        serde_json::from_slice(reply).map_err(|_| AutographError::Reply("not JSON"))?;
    let one = reply.as_array().filter(|list| list.len() == 1).and_then(|list| list.first());
    let one = one.ok_or(AutographError::Reply("not a list of one signature"))?;
    let text = |name: &str| one[name].as_str().filter(|text| !text.is_empty());
    text("signature").ok_or(AutographError::Reply("without `signature`"))?;
    let x5u = text("x5u").ok_or(AutographError::Reply("without `x5u`"))?;
    Url::parse(x5u).map_err(|_| AutographError::Reply("with an `x5u` that is not a URL"))?;
    let key = text("public_key").ok_or(AutographError::Reply("without `public_key`"))?;
    let signature = ContentSignature::deserialize(one)
        .map_err(|_| AutographError::Reply("not a content signature"))?;
    signature.verify(&PublicKey::from_base64(key)?, document)?;
    Ok(signature)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::signer::LocalSigner;

    #[test]
    fn a_body_is_that_of_the_vector() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/signatures.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();

        let body = body(&STANDARD.encode("test data"), "remote-settings");

        assert_eq!(body, vectors["hawk"]["body"].as_str().unwrap());
    }

    #[test]
    fn only_an_answer_that_verifies_is_taken() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/signatures.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let keys = vectors["keys"].as_object().unwrap();
        let mut keys = keys.values();
        let (key, other) = (keys.next().unwrap(), keys.next().unwrap());
        let pem = key["private_key_pkcs8_pem"].as_str().unwrap();
        let signature = LocalSigner::from_pem(pem).unwrap().sign(b"document").signature;
        let good = json!({
            "ref": "r", "type": "contentsignaturepki", "mode": "p384ecdsa", "signer_id": "rs",
            "public_key": key["public_key_b64"], "signature": signature,
            "x5u": "https://x/chain", "signed_file": "more",
        });
        let with = |name: &str, value: Value| {
            let mut reply = good.clone();
            reply[name] = value;
            json!([reply])
        };
        let verdict =
            |reply: &Value, document: &[u8]| checked(reply.to_string().as_bytes(), document);

        let taken = verdict(&json!([good]), b"document").unwrap();

        assert_eq!(taken.reference.as_deref(), Some("r"));
        assert_eq!(taken.kind.as_deref(), Some("contentsignaturepki"));
        assert!(serde_json::to_value(&taken).unwrap().get("signed_file").is_none());
        for reply in [
            json!([]),
            json!([good, good]),
            good.clone(),
            json!("x"),
            json!([1]),
            with("signature", Value::Null),
            with("signature", "".into()),
            with("signature", "AAAA".into()),
            with("signature", format!("{signature}=").into()),
            with("x5u", Value::Null),
            with("x5u", "".into()),
            with("x5u", "/relative".into()),
            with("mode", "p256ecdsa".into()),
            with("mode", Value::Null),
            with("public_key", Value::Null),
            with("public_key", "x".into()),
            with("public_key", other["public_key_b64"].clone()),
            with("signer_id", 1.into()),
        ] {
            let error = verdict(&reply, b"document").unwrap_err();
            assert!(!error.is_passing(), "{reply}");
        }
        assert!(checked(b"<html>", b"document").is_err());
        assert!(verdict(&json!([good]), b"another document").is_err());
    }
}
