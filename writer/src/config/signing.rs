//! Who signs: `signer.signer_backend`, `signer.ecdsa.*`, `signer.local.*` and `signer.autograph.*`,
//! for all sources, those of a bucket, or one (`remote-settings.md` §1.1, §1.3).

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use http::Uri;
use shared::{chain::RootHash, config::Layers, model::ObjectPath, wire::chain_url};

use super::Secret;

/// Settings that a bucket or a collection may have for itself.
const OVERRIDABLE: [&str; 13] = [
    "signer_backend",
    "ecdsa.private_key",
    "ecdsa.public_key",
    "local.x5u",
    "local.chain_path",
    "autograph.server_url",
    "autograph.hawk_id",
    "autograph.hawk_secret",
    "autograph.key_ids",
    "autograph.timeout_seconds",
    "autograph.verify_chain",
    "autograph.root_hashes",
    "autograph.host",
];

/// Which signer signs what: those that differ, and who uses which.
#[derive(Debug, Clone, Default)]
pub struct Signing {
    /// The signers.
    pub backends: Vec<Backend>,
    /// When the end of a service's TLS certificate is told.
    pub tls_warning: TlsWarning,
    by_bucket: BTreeMap<String, usize>,
    by_collection: BTreeMap<(String, String), usize>,
}

/// When the end of a certificate is told: in the last days of its life, so many in a hundred, but
/// no less and no more than these.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsWarning {
    /// Of its lifespan.
    pub percentage: i64,
    /// At least.
    pub min_days: i64,
    /// At most.
    pub max_days: i64,
}

/// One signer.
#[derive(Debug, Clone)]
pub enum Backend {
    /// Keys of our own.
    Local(LocalKeys),
    /// A signing service.
    Autograph(AutographSettings),
}

/// Keys of our own, the first of which makes `signature`.
#[derive(Debug, Clone)]
pub struct LocalKeys {
    /// One, or several while keys are rotated; none: nothing can be signed.
    pub keys: Vec<LocalKey>,
    /// The public key that one of them must have.
    pub public_key: Option<Pem>,
}

/// A key of our own, and what clients find its certificate with.
#[derive(Debug, Clone)]
pub struct LocalKey {
    /// The private key.
    pub private_key: Pem,
    /// URL of the chain, or of its folder with a slash at the end; empty: clients have the key.
    pub x5u: String,
    /// The chain, whose first certificate must be for this key.
    pub chain: Option<Pem>,
}

/// A PEM text.
#[derive(Debug, Clone)]
pub enum Pem {
    /// In a file, which is read again on SIGHUP.
    File(PathBuf),
    /// In the settings, or the environment.
    Text(Secret),
}

/// A service that speaks Autograph's protocol (§2.7).
#[derive(Debug, Clone)]
pub struct AutographSettings {
    /// Where it is; its path counts for nothing.
    pub server_url: Uri,
    /// Whom we say we are.
    pub hawk_id: String,
    /// What proves it.
    pub hawk_secret: Secret,
    /// One signature each, in this order.
    pub key_ids: Vec<String>,
    /// Longest time for one answer.
    pub timeout: Duration,
    /// How the chains that it names are judged; `None`: not at all.
    pub chains: Option<ChainTrust>,
}

/// Which certificate chains of a service are good, beside the rules for all.
#[derive(Debug, Clone)]
pub struct ChainTrust {
    /// The roots that clients pin; none: any root.
    pub roots: Vec<RootHash>,
    /// The name of the end entity; `None`: any name.
    pub host: Option<String>,
}

impl Pem {
    fn parse(text: &str) -> Self {
        if text.starts_with("-----BEGIN") {
            Self::Text(Secret(text.to_owned()))
        } else {
            Self::File(PathBuf::from(text))
        }
    }

    /// The text.
    ///
    /// # Errors
    ///
    /// Why the file cannot be read.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Self::File(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display())),
            Self::Text(text) => Ok(text.0.clone()),
        }
    }

    /// What to call it in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Text(_) => "the text in the settings".to_owned(),
        }
    }
}

impl TlsWarning {
    fn read(layers: &mut Layers) -> Self {
        let mut number = |name: &str, max| {
            let key = format!("signer.heartbeat_certificate_{name}");
            i64::try_from(layers.number(&key, 0, max)).unwrap_or(0)
        };
        Self {
            percentage: number("percentage_remaining_validity", 100),
            min_days: number("min_remaining_days", 3_650),
            max_days: number("max_remaining_days", 3_650),
        }
    }
}

impl Signing {
    /// Reads what the sources need, each a bucket or a collection; one with settings of its own is
    /// among them.
    pub fn read<'a>(
        layers: &mut Layers,
        sources: impl Iterator<Item = (&'a str, Option<&'a str>)>,
    ) -> Self {
        let mut signing = Self { tls_warning: TlsWarning::read(layers), ..Self::default() };
        let mut known = BTreeMap::new();
        for (bucket, collection) in sources {
            let bucket = bucket.to_owned();
            if let Some(id) = collection {
                let place = signing.place(layers, &mut known, &Scope::collection(&bucket, id));
                signing.by_collection.insert((bucket, id.to_owned()), place);
            } else {
                let place = signing.place(layers, &mut known, &Scope::bucket(&bucket));
                signing.by_bucket.insert(bucket, place);
            }
        }
        signing
    }

    /// The place of a scope's signer: an earlier one, where no setting differs.
    fn place(
        &mut self,
        layers: &mut Layers,
        known: &mut BTreeMap<Vec<String>, usize>,
        scope: &Scope,
    ) -> usize {
        let texts = OVERRIDABLE.map(|name| scope.text(layers, name).1).to_vec();
        *known.entry(texts).or_insert_with(|| {
            self.backends.extend(scope.backend(layers));
            self.backends.len().saturating_sub(1)
        })
    }

    /// The place in [`Self::backends`] of the signer for a source; `None` when it has none.
    pub fn of(&self, source: &ObjectPath) -> Option<usize> {
        let (bucket, id) = (source.bucket_id().to_owned(), source.id.to_string());
        let by_bucket = self.by_bucket.get(&bucket);
        self.by_collection.get(&(bucket, id)).or(by_bucket).copied()
    }
}

/// Where a setting is looked for, the most specific first.
struct Scope(Vec<String>);

impl Scope {
    fn bucket(bucket: &str) -> Self {
        Self(vec![format!("signer.{bucket}."), "signer.".to_owned()])
    }

    fn collection(bucket: &str, id: &str) -> Self {
        let own = [format!("signer.{bucket}.{id}."), format!("signer.{bucket}_{id}.")];
        Self([own.to_vec(), Self::bucket(bucket).0].concat())
    }

    /// The key that is set, and its text. All are asked for, so that none is unknown.
    fn text(&self, layers: &mut Layers, name: &str) -> (String, String) {
        let keys: Vec<String> = self.0.iter().map(|prefix| format!("{prefix}{name}")).collect();
        let texts: Vec<String> = keys.iter().map(|key| layers.text(key)).collect();
        let found = texts.iter().position(|text| !text.is_empty());
        let place = found.unwrap_or(keys.len().saturating_sub(1));
        (keys[place].clone(), texts[place].clone())
    }

    fn optional(&self, layers: &mut Layers, name: &str) -> Option<String> {
        Some(self.text(layers, name).1).filter(|text| !text.is_empty())
    }

    fn required(&self, layers: &mut Layers, name: &str, what: &str) -> String {
        let (key, text) = self.text(layers, name);
        if text.is_empty() {
            layers.problem(format!("{key} is not set: {what}"));
        }
        text
    }

    fn backend(&self, layers: &mut Layers) -> Option<Backend> {
        let (key, name) = self.text(layers, "signer_backend");
        match name.as_str() {
            "local_ecdsa"
            | "kinto_remote_settings.signer.backends.local_ecdsa"
            | "kinto_signer.signer.local_ecdsa" => self.local(layers).map(Backend::Local),
            "autograph"
            | "kinto_remote_settings.signer.backends.autograph"
            | "kinto_signer.signer.autograph" => self.autograph(layers).map(Backend::Autograph),
            _ => {
                let known = "known are local_ecdsa and autograph";
                layers.problem(format!("{key} is `{name}`: {known}"));
                None
            }
        }
    }

    fn local(&self, layers: &mut Layers) -> Option<LocalKeys> {
        let (key, text) = self.text(layers, "ecdsa.private_key");
        let public_key = self.optional(layers, "ecdsa.public_key").map(|text| Pem::parse(&text));
        let private_keys = pems(&text);
        if private_keys.is_empty() && public_key.is_none() {
            layers.problem(format!(
                "{key} is not set: signer.resources cannot be signed \
                 (make a key with `countersign-writer keygen`)"
            ));
            return None;
        }
        let count = private_keys.len();
        let (x5u_key, x5u) = self.text(layers, "local.x5u");
        let x5u: Vec<String> = x5u.split_whitespace().map(str::to_owned).collect();
        let (chain_key, chains) = self.text(layers, "local.chain_path");
        let chains = pems(&chains);
        for (key, found) in [(&x5u_key, x5u.len()), (&chain_key, chains.len())] {
            if found != 0 && found != count {
                layers.problem(format!("{key} has {found}, and there are {count} private keys"));
                return None;
            }
        }
        for url in &x5u {
            if let Err(expected) = chain_url(url, "name.chain") {
                layers.problem(format!("{x5u_key} is `{url}`: {expected}"));
            } else if url.starts_with("http:") {
                layers.warning(format!("{x5u_key} is `{url}`: http is for development"));
            }
            if url.ends_with('/') && chains.is_empty() {
                layers.problem(format!(
                    "{x5u_key} is a folder: {chain_key} is needed to name a file"
                ));
            }
        }
        let (mut x5u, mut chains) = (x5u.into_iter(), chains.into_iter());
        let keys = private_keys.into_iter().map(|private_key| LocalKey {
            private_key,
            x5u: x5u.next().unwrap_or_default(),
            chain: chains.next(),
        });
        Some(LocalKeys { keys: keys.collect(), public_key })
    }

    fn autograph(&self, layers: &mut Layers) -> Option<AutographSettings> {
        let (url_key, url) = self.text(layers, "autograph.server_url");
        let hawk_id = self.required(layers, "autograph.hawk_id", "the service's name for us");
        let hawk_secret =
            self.required(layers, "autograph.hawk_secret", "the key that goes with it");
        let key_ids: Vec<String> = self
            .required(layers, "autograph.key_ids", "names of the service's keys")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        if hawk_id.contains(['"', '\\']) || hawk_id.chars().any(char::is_control) {
            layers.problem("autograph.hawk_id has characters that no header can carry".to_owned());
        }
        let (timeout_key, _) = self.text(layers, "autograph.timeout_seconds");
        let timeout = Duration::from_secs(layers.number(&timeout_key, 1, 30));
        let server_url = url.parse::<Uri>().ok().filter(|uri| {
            let authority = uri.authority().map(http::uri::Authority::as_str);
            matches!(uri.scheme_str(), Some("http" | "https"))
                && authority.is_some_and(|text| !text.contains('@'))
        });
        if server_url.is_none() {
            layers.problem(format!("{url_key} is `{url}`: expected the service's http(s) URL"));
        }
        let hawk_secret = Secret(hawk_secret);
        let chains = self.chain_trust(layers);
        server_url.map(|server_url| AutographSettings {
            server_url,
            hawk_id,
            hawk_secret,
            key_ids,
            timeout,
            chains,
        })
    }

    fn chain_trust(&self, layers: &mut Layers) -> Option<ChainTrust> {
        let (key, text) = self.text(layers, "autograph.root_hashes");
        let mut roots = Vec::new();
        for word in text.split_whitespace() {
            match RootHash::parse(word) {
                Ok(root) => roots.push(root),
                Err(expected) => layers.problem(format!("{key}: {expected}")),
            }
        }
        let host = self.optional(layers, "autograph.host");
        let (key, _) = self.text(layers, "autograph.verify_chain");
        layers.flag(&key).then_some(ChainTrust { roots, host })
    }
}

/// A variable that no setting has taken is refused, not only told: it may be the one by which a
/// collection is reviewed. What its name says in capitals can be several collections, or none of
/// those that there are (§12, trap 62), so nobody guesses.
pub(super) fn refuse_unknown_variables(layers: &mut Layers) {
    for name in layers.left_in_environment("signer.") {
        let plain = name.strip_suffix("_FILE").unwrap_or(&name);
        let ends_in = |setting: &str| {
            plain.ends_with(&format!("_{}", setting.to_uppercase().replace('.', "_")))
        };
        let setting = OVERRIDABLE.into_iter().chain(["to_review_enabled"]).find(|s| ends_in(s));
        let advice = setting.map_or_else(String::new, |setting| {
            format!(
                ": of sources, only those count here that signer.resources or the file names; \
                 write signer.{{bucket}}.{{collection}}.{setting} in the file"
            )
        });
        layers.problem(format!("environment {name} is not a setting of a signer{advice}"));
    }
}

/// Whether the key would say something of a signer, or of a review, for a source.
pub(super) fn is_of_a_signer(key: &str) -> bool {
    let mut settings = OVERRIDABLE.into_iter().chain(["to_review_enabled"]);
    key.starts_with("signer.") && settings.any(|setting| key.ends_with(&format!(".{setting}")))
}

/// A PEM text, or paths, one each line.
fn pems(text: &str) -> Vec<Pem> {
    if text.starts_with("-----BEGIN") {
        return vec![Pem::parse(text)];
    }
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Pem::parse).collect()
}
