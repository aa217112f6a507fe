//! Who is who: `multiauth.*` and `account_*` (`kinto-http-api.md` §5).

use std::{collections::BTreeMap, time::Duration};

use shared::{
    config::Layers,
    model::{EVERYONE, Resource},
};

use super::{Grant, OpenIdSettings, Plugin, Plugins};

/// How users prove who they are, in the order in which policies are asked.
#[derive(Debug, Clone)]
pub struct Identity {
    /// `multiauth.policies`
    pub policies: Vec<Policy>,
    /// `account_*`
    pub accounts: AccountSettings,
}

/// One way to prove who one is.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Its name in the settings, and in the URLs of a login.
    pub name: String,
    /// What user ids begin with, before the colon.
    pub prefix: String,
    /// The realm of the challenge.
    pub realm: String,
    /// What is checked.
    pub method: Method,
}

/// What a policy checks.
#[derive(Debug, Clone)]
pub enum Method {
    /// Any user and password, hashed (§5.2).
    BasicAuth,
    /// The password of an account (§5.3).
    Accounts,
    /// A token of an OpenID provider (§5.4).
    OpenId(Box<OpenIdSettings>),
}

/// Accounts and their passwords.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// How long a password that was right needs no second check.
    pub cache_ttl: Duration,
    /// Two to the power of this is the work of one check.
    pub bcrypt_cost: u32,
    /// Wrong passwords of one account from one address before the next ones have to wait, and from
    /// all addresses twenty times as many; 0 never waits.
    pub free_failures: u32,
}

/// The policies' names in Kinto, by the ends of their dotted names.
const METHODS: [(&str, Kind); 4] = [
    ("BasicAuthAuthenticationPolicy", Kind::BasicAuth),
    ("AccountsAuthenticationPolicy", Kind::Accounts),
    ("AccountsPolicy", Kind::Accounts),
    ("OpenIDConnectPolicy", Kind::OpenId),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BasicAuth,
    Accounts,
    OpenId,
}

/// Prefixes with a meaning of their own, which no provider's users may have.
const RESERVED: [&str; 5] = ["account", "basicauth", "group", "plugin", "system"];

impl Identity {
    /// Reads the policies, and checks them against the plug-ins and the settings' rights.
    pub fn read(
        layers: &mut Layers,
        plugins: &Plugins,
        principals: &BTreeMap<(Resource, Grant), Vec<String>>,
    ) -> Self {
        let names = layers.words("multiauth.policies");
        let policies: Vec<Policy> =
            names.iter().filter_map(|name| policy(layers, name, plugins)).collect();
        ignore_unused(layers, &names);
        let identity = Self { policies, accounts: AccountSettings::read(layers) };
        identity.check_prefixes(layers);
        identity.warn(layers);
        identity.check_accounts(layers, plugins, principals);
        identity
    }

    /// Whether any user and password make a user.
    pub fn has_basicauth(&self) -> bool {
        self.policies.iter().any(Policy::is_basicauth)
    }

    /// The OpenID providers, with the names of their policies.
    pub fn providers(&self) -> impl Iterator<Item = (&str, &OpenIdSettings)> {
        self.policies.iter().filter_map(|policy| match &policy.method {
            Method::OpenId(settings) => Some((policy.name.as_str(), settings.as_ref())),
            Method::BasicAuth | Method::Accounts => None,
        })
    }

    /// What is safe only where one knows why.
    fn warn(&self, layers: &mut Layers) {
        if self.has_basicauth() && layers.text("userid_hmac_secret").len() < 32 {
            layers.warning(
                "userid_hmac_secret is shorter than 32 bytes: ids of basicauth tell passwords to \
                 whoever guesses it",
            );
        }
        for (name, settings) in self.providers() {
            if settings.audience.is_empty() {
                layers.warning(format!(
                    "multiauth.policy.{name}.audience is empty: tokens that the provider made for \
                     others are taken, too"
                ));
            }
        }
    }

    /// Two policies with one prefix could each make the other's users.
    fn check_prefixes(&self, layers: &mut Layers) {
        for (index, policy) in self.policies.iter().enumerate() {
            let prefix = &policy.prefix;
            if self.policies[..index].iter().any(|before| before.prefix == *prefix) {
                layers.problem(format!("multiauth.policies: two make users named `{prefix}:`"));
            }
        }
    }

    /// What Kinto refuses to start with (§5.3.9).
    fn check_accounts(
        &self,
        layers: &mut Layers,
        plugins: &Plugins,
        principals: &BTreeMap<(Resource, Grant), Vec<String>>,
    ) {
        if !plugins.has(Plugin::Accounts) {
            return;
        }
        let at = |wanted: fn(&Policy) -> bool| self.policies.iter().position(wanted);
        match (at(Policy::is_accounts), at(Policy::is_basicauth)) {
            (None, _) => layers.problem(
                "includes has kinto.plugins.accounts, but multiauth.policies has no policy for \
                 it: set multiauth.policy.account.use = \
                 kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
            ),
            (Some(accounts), Some(basicauth)) if basicauth < accounts => layers.problem(
                "multiauth.policies has basicauth before accounts: every password would be right",
            ),
            (Some(_), _) => {}
        }
        let of = |grant| principals.get(&(Resource::Account, grant)).into_iter().flatten();
        let outsiders: Vec<&str> = of(Grant::Create)
            .filter(|creator| *creator != EVERYONE && !of(Grant::Write).any(|w| w == *creator))
            .map(String::as_str)
            .collect();
        if !outsiders.is_empty() {
            layers.problem(format!(
                "account_create_principals has {}, who could only create their own accounts: add \
                 them to account_write_principals",
                outsiders.join(", ")
            ));
        }
    }
}

impl Policy {
    fn is_basicauth(&self) -> bool {
        matches!(self.method, Method::BasicAuth)
    }

    fn is_accounts(&self) -> bool {
        matches!(self.method, Method::Accounts)
    }

    /// What a 401 says of this policy (§5.1.3).
    pub fn challenge(&self) -> String {
        let scheme = match &self.method {
            Method::BasicAuth | Method::Accounts => "Basic",
            Method::OpenId(settings) => &settings.header_type,
        };
        format!("{scheme} realm=\"{}\"", self.realm.replace(['"', '\\'], ""))
    }
}

impl AccountSettings {
    fn read(layers: &mut Layers) -> Self {
        let number = |layers: &mut Layers, key: &str, min, max| {
            u32::try_from(layers.number(key, min, max)).unwrap_or(0)
        };
        Self {
            cache_ttl: Duration::from_secs(layers.number("account_cache_ttl_seconds", 0, 86_400)),
            bcrypt_cost: number(layers, "account_bcrypt_cost", 4, 16),
            free_failures: number(layers, "account_free_failures", 0, 1_000),
        }
    }
}

fn policy(layers: &mut Layers, name: &str, plugins: &Plugins) -> Option<Policy> {
    let key = |option: &str| format!("multiauth.policy.{name}.{option}");
    let realm = layers.optional(&key("realm")).unwrap_or_else(|| "Realm".to_owned());
    let class = layers.text(&key("use"));
    let prefix = name.to_lowercase();
    let found = METHODS.iter().find(|(end, _)| class.ends_with(end)).map(|(_, kind)| *kind);
    let kind = match found {
        None if class.is_empty() && name == "basicauth" => Kind::BasicAuth,
        None => {
            let known = METHODS.map(|(end, _)| end).join(", ");
            layers.problem(format!("{} is `{class}`: known are {known}", key("use")));
            return None;
        }
        Some(kind) => kind,
    };
    let (prefix, method) = match kind {
        Kind::BasicAuth => (prefix, Method::BasicAuth),
        // The policy has a name of its own, whatever the settings call it (§5.1.2).
        Kind::Accounts => ("account".to_owned(), Method::Accounts),
        Kind::OpenId => {
            if RESERVED.contains(&prefix.as_str()) {
                layers.problem(format!("multiauth.policies: a provider cannot be named `{name}`"));
            }
            let settings = OpenIdSettings::read(layers, name);
            if !plugins.has(Plugin::OpenId) {
                layers.warning(format!(
                    "the policy {name} takes tokens, but nobody can log in: \
                     includes lacks kinto.plugins.openid"
                ));
            }
            (prefix, Method::OpenId(Box::new(settings)))
        }
    };
    Some(Policy { name: name.to_owned(), prefix, realm, method })
}

/// Options of policies that are not in use, and of Kinto's framework.
fn ignore_unused(layers: &mut Layers, names: &[String]) {
    layers.ignore(|key| {
        let unused = key.strip_prefix("multiauth.policy.").is_some_and(|rest| {
            !names
                .iter()
                .any(|name| rest.strip_prefix(name).is_some_and(|end| end.starts_with('.')))
        });
        unused || matches!(key, "multiauth.groupfinder" | "multiauth.authorization_policy")
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, DEFAULTS};

    const ACCOUNTS: (&str, &str) = (
        "multiauth.policy.account.use",
        "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy",
    );
    const INCLUDED: (&str, &str) = ("includes", "kinto.plugins.accounts");

    fn read(settings: &[(&str, &str)]) -> Result<Config, String> {
        let mut layers = Layers::new(DEFAULTS);
        for (key, value) in settings {
            layers.set(key, *value);
        }
        Config::read(&mut layers).map_err(|problems| problems.to_string())
    }

    #[test]
    fn policies_keep_their_order_and_their_prefixes() {
        let config = read(&[
            ("multiauth.policies", "local Google basicauth"),
            ("multiauth.policy.local.use", ACCOUNTS.1),
            ("multiauth.policy.Google.use", "kinto.plugins.openid.OpenIDConnectPolicy"),
            ("multiauth.policy.Google.issuer", "https://id.example.com"),
            ("multiauth.policy.Google.client_id", "countersign"),
            ("multiauth.policy.unused.use", "anything"),
            INCLUDED,
        ])
        .unwrap();

        let prefixes: Vec<_> =
            config.identity.policies.iter().map(|policy| policy.prefix.as_str()).collect();
        assert_eq!(prefixes, ["account", "google", "basicauth"]);
        let challenges: Vec<_> = config.identity.policies.iter().map(Policy::challenge).collect();
        let expected = ["Basic realm=\"Realm\"", "Bearer realm=\"Realm\"", "Basic realm=\"Realm\""];
        assert_eq!(challenges, expected);
    }

    #[test]
    fn what_would_let_users_take_others_names_is_refused() {
        let openid = "kinto.plugins.openid.OpenIDConnectPolicy";
        for (settings, told) in [
            (vec![("multiauth.policies", "basicauth"), INCLUDED], "no policy for it"),
            (vec![("multiauth.policies", "basicauth account"), ACCOUNTS, INCLUDED], "before"),
            (
                vec![
                    ("multiauth.policies", "account"),
                    ACCOUNTS,
                    INCLUDED,
                    ("account_create_principals", "system.Authenticated"),
                ],
                "account_write_principals",
            ),
            (vec![("multiauth.policies", "ldap")], "multiauth.policy.ldap.use is ``"),
            (
                vec![("multiauth.policies", "plugin"), ("multiauth.policy.plugin.use", openid)],
                "cannot be named `plugin`",
            ),
            (
                vec![
                    ("multiauth.policies", "a account"),
                    ACCOUNTS,
                    ("multiauth.policy.a.use", ACCOUNTS.1),
                ],
                "two make users",
            ),
        ] {
            let problems = read(&settings).unwrap_err();
            assert!(problems.contains(told), "{settings:?}: {problems}");
        }
    }

    #[test]
    fn everybody_may_be_let_to_sign_up() {
        read(&[
            ("multiauth.policies", "account"),
            ACCOUNTS,
            INCLUDED,
            ("account_create_principals", "system.Everyone account:root"),
            ("account_write_principals", "account:root"),
        ])
        .unwrap();
    }
}
