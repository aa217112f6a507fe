//! Who asks (`kinto-http-api.md` §5): policies are asked in order, and the first that recognises
//! the credentials says who it is. Credentials that none recognises are ignored: the request is
//! anonymous (§5.1.4).

mod attempts;
mod basic;
mod hash;
mod openid;
mod passwords;

use std::collections::HashMap;

use http::{HeaderValue, header::AUTHORIZATION};
use serde_json::{Map, Value};
use shared::{error::ApiError, model::Id};

use self::{basic::Credentials, openid::Verified};
pub use self::{
    openid::{Provider, callback},
    passwords::Passwords,
};
use crate::{
    app::App,
    config::{Config, Method},
    outgoing::Outgoing,
    service::ApiRequest,
    step::SignIn,
    user::Asker,
};

/// Who asks, and how they proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// With the prefixed id: `account:alice`.
    pub asker: Asker,
    /// What an OpenID provider says of the user.
    pub profile: Option<Profile>,
}

/// What an OpenID provider says of a user.
pub type Profile = Map<String, Value>;

/// What the policies know and remember.
#[derive(Debug)]
pub struct Authenticator {
    /// The passwords of accounts.
    pub passwords: Passwords,
    providers: Vec<Provider>,
}

impl Authenticator {
    /// Prepares the policies of the settings; calls nobody yet.
    pub fn new(config: &Config) -> Self {
        let outgoing = Outgoing::new(&config.outgoing);
        let providers = config.identity.providers();
        Self {
            passwords: Passwords::new(&config.identity.accounts),
            providers: providers
                .map(|(name, settings)| Provider::new(name, settings, &outgoing))
                .collect(),
        }
    }

    /// The OpenID provider of the policy `name`.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }

    /// All OpenID providers, in the order of their policies.
    pub fn providers(&self) -> &[Provider] {
        &self.providers
    }
}

/// Random bytes in hexadecimal.
///
/// # Errors
///
/// [`ApiError::Internal`] when the system has none.
pub fn random_hex(bytes: usize) -> Result<String, ApiError> {
    hash::random(bytes)
        .map(|bytes| hash::to_hex(&bytes))
        .map_err(|error| ApiError::Internal(error.into()))
}

/// The identities of one request, or of one batch: each `Authorization` is verified once.
#[derive(Default)]
pub struct Identities {
    known: HashMap<Option<HeaderValue>, Judged>,
    against: Option<SignIn>,
}

/// Who sent credentials, and the account's password that they were compared with, where they were.
#[derive(Debug, Clone, Default)]
struct Judged {
    identity: Option<Identity>,
    sign_in: Option<SignIn>,
}

impl Identities {
    /// Those where an account's password is not the stored one, but that of `sign_in`.
    pub fn against(sign_in: SignIn) -> Self {
        Self { known: HashMap::new(), against: Some(sign_in) }
    }

    /// Whoever sent the request.
    ///
    /// # Errors
    ///
    /// [`ApiError::Backend`] when PostgreSQL is away, or too many passwords wait to be checked.
    pub async fn of(
        &mut self,
        app: &App,
        request: &ApiRequest,
    ) -> Result<Option<Identity>, ApiError> {
        let key = request.headers.get(AUTHORIZATION).cloned();
        if let Some(known) = self.known.get(&key) {
            return Ok(known.identity.clone());
        }
        let judged = identify(app, request, self.against.as_ref()).await?;
        let identity = judged.identity.clone();
        self.known.insert(key, judged);
        Ok(identity)
    }

    /// What the credentials of a request were compared with when they were judged, if they were those
    /// of an account.
    pub fn sign_in(&self, request: &ApiRequest) -> Option<&SignIn> {
        self.known.get(&request.headers.get(AUTHORIZATION).cloned())?.sign_in.as_ref()
    }
}

/// Whoever sent the request; `None` for anonymous requests. To be called before a transaction
/// begins: it may take long.
///
/// # Errors
///
/// [`ApiError::Backend`] when PostgreSQL is away, or too many passwords wait to be checked.
pub async fn authenticate(app: &App, request: &ApiRequest) -> Result<Option<Identity>, ApiError> {
    Ok(identify(app, request, None).await?.identity)
}

async fn identify(
    app: &App,
    request: &ApiRequest,
    against: Option<&SignIn>,
) -> Result<Judged, ApiError> {
    let mut judged = Judged::default();
    let Some(authorization) = request.headers.get(AUTHORIZATION) else { return Ok(judged) };
    for policy in &app.config.identity.policies {
        let found = match &policy.method {
            Method::BasicAuth => Credentials::parse(authorization)
                .map(|sent| sent.keyed_hash(&app.config.userid_hmac_secret.0))
                .map(|id| Identity::named(&policy.prefix, &id)),
            Method::Accounts => match Credentials::parse(authorization) {
                Some(sent) => {
                    let passwords = &app.authn.passwords;
                    let checked = passwords.check(app, &sent, &sender(request), against).await?;
                    judged.sign_in = checked.against;
                    checked.is_right.then(|| Identity::named(&policy.prefix, &sent.user))
                }
                None => None,
            },
            Method::OpenId(_) => match app.authn.provider(&policy.name) {
                Some(provider) => provider
                    .identify(authorization)
                    .await
                    .map(|token| Identity::claimed(&policy.prefix, &token)),
                None => None,
            },
        };
        if found.is_some() {
            judged.identity = found;
            break;
        }
    }
    Ok(judged)
}

/// Where a request comes from: who is connected, and whom a proxy there says that it speaks for. A
/// client without a proxy may say anything; only what all addresses do together holds it up then.
fn sender(request: &ApiRequest) -> String {
    let forwarded = request.headers.get_all("x-forwarded-for").iter().next_back();
    let last = forwarded.and_then(|text| text.to_str().ok()?.rsplit(',').next());
    let peer = request.client.map(|address| address.to_string()).unwrap_or_default();
    format!("{peer} {}", last.unwrap_or_default().trim())
}

/// Whether somebody was recognised as this account, by whichever policy.
pub fn is_account(asker: &Asker, account: &Id) -> bool {
    let id = asker.id.as_deref().and_then(|id| id.split_once(':'));
    id.is_some_and(|(_, id)| id == account.as_str())
}

impl Identity {
    fn named(prefix: &str, id: &str) -> Self {
        Self { asker: Asker::named(Some(format!("{prefix}:{id}"))), profile: None }
    }

    /// No policy's users are called as its groups are: none has the prefix `group`.
    fn claimed(prefix: &str, token: &Verified) -> Self {
        let group = |name| format!("group:{prefix}:{name}");
        let mut identity = Self::named(prefix, &token.user_id);
        identity.asker.claimed = token.groups.iter().map(group).collect();
        Self { profile: Some(token.profile.clone()), ..identity }
    }
}
