//! Certificate chains as a signing service has them, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_ECDSA_P384_SHA384,
};
use shared::chain::{Chain, RootHash};
use time::{Duration, OffsetDateTime};

/// The name of end entities, unless a test wants another.
pub(crate) const HOST: &str = "remote-settings.content-signature.mozilla.org";

/// A root with an intermediate, which certifies any key.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The intermediate and the root, in PEM.
    above: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let (root_key, middle_key) = (key(), key());
        let mut root = params("root", &[]);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root_certificate = root.self_signed(&root_key).unwrap();
        let mut middle = params("intermediate", &[]);
        middle.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = Issuer::new(root, root_key);
        let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
        let above = middle_certificate.pem() + &root_certificate.pem();
        Self { issuer: Issuer::new(middle, middle_key), above }
    }

    /// The chain of a key, whose certificate is different.
    pub(crate) fn chain_with(
        &self,
        key_pem: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> String {
        let key = KeyPair::from_pem_and_sign_algo(key_pem, &PKCS_ECDSA_P384_SHA384).unwrap();
        let mut leaf = params(HOST, &[HOST]);
        leaf.not_before = days(-40);
        leaf.not_after = days(50);
        change(&mut leaf);
        leaf.signed_by(&key, &self.issuer).unwrap().pem() + &self.above
    }

    /// The chain of a key.
    pub(crate) fn chain(&self, key_pem: &str) -> String {
        self.chain_with(key_pem, |_| ())
    }
}

/// The hash that clients of a chain pin.
pub(crate) fn pin(chain: &str) -> RootHash {
    Chain::parse(chain.as_bytes()).unwrap().root_hash()
}

/// So many days from now.
pub(crate) fn days(days: i64) -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(days)
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
    params
}
