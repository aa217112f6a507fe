//! What certificates say. RustCrypto makes them; `shared::chain`, with webpki and aws-lc, checks
//! them as clients will.

use std::{str::FromStr as _, time::Duration};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use p384::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey},
    pkcs8::EncodePublicKey as _,
};
use shared::model::{Id, Timestamp};
use x509_cert::{
    Certificate, TbsCertificate,
    builder::{Builder as _, CertificateBuilder, profile::BuilderProfile},
    der::{DateTime, Decode as _, asn1::Ia5String, oid::db::rfc5280::ID_KP_CODE_SIGNING},
    ext::{
        Extension, ToExtension as _,
        pkix::{
            AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages,
            NameConstraints, SubjectAltName, SubjectKeyIdentifier,
            constraints::name::GeneralSubtree, name::GeneralName,
        },
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{SubjectPublicKeyInfo, SubjectPublicKeyInfoRef},
    time::{Time, Validity},
};

/// Longest common name (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;

/// A certificate with the key that it is about.
pub(super) struct Authority {
    pub(super) certificate: Certificate,
    pub(super) key: SecretKey,
}

/// What a certificate is for.
pub(super) enum Purpose<'a> {
    /// Issues intermediates, by itself.
    Root,
    /// Issues leaf certificates below a domain.
    Intermediate { root: &'a Authority, domain: &'a str },
    /// Signs content, in the name of a host.
    Leaf { intermediate: &'a Authority, host: &'a str },
}

/// From when until when.
#[derive(Clone, Copy)]
pub(super) struct Period {
    pub(super) from: Timestamp,
    pub(super) until: Timestamp,
}

/// Makes a certificate for `key`. `name` becomes the common name.
pub(super) fn issue(
    purpose: &Purpose<'_>,
    name: &str,
    key: &SecretKey,
    period: Period,
) -> Result<Certificate, String> {
    let spki = key.public_key().to_public_key_der().map_err(told)?;
    let spki = SubjectPublicKeyInfo::from_der(spki.as_bytes()).map_err(told)?;
    let validity = Validity::new(time(period.from)?, time(period.until)?);
    let profile = Profile { purpose, subject: subject(name)? };
    let builder = CertificateBuilder::new(profile, serial()?, validity, spki).map_err(told)?;
    let issuer = match purpose {
        Purpose::Root => key,
        Purpose::Intermediate { root, .. } => &root.key,
        Purpose::Leaf { intermediate, .. } => &intermediate.key,
    };
    builder.build::<_, DerSignature>(&SigningKey::from(issuer)).map_err(told)
}

/// From when until when a certificate is valid.
pub(super) fn period(certificate: &Certificate) -> Period {
    let validity = certificate.tbs_certificate().validity();
    let instant = |time: Time| {
        let millis = time.to_unix_duration().as_millis();
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    };
    Period { from: instant(validity.not_before), until: instant(validity.not_after) }
}

/// The domain that an intermediate may issue for.
pub(super) fn domain(intermediate: &Certificate) -> Option<String> {
    let constraints = intermediate.tbs_certificate().get_extension::<NameConstraints>();
    let (_, constraints) = constraints.ok().flatten()?;
    let permitted = constraints.permitted_subtrees?;
    let GeneralName::DnsName(domain) = &permitted.first()?.base else {
        return None;
    };
    Some(domain.as_str().trim_start_matches('.').to_owned())
}

/// Checks a name below which leaf certificates are made: `content-signature.example.net`.
pub(super) fn check_domain(domain: &str) -> Result<(), String> {
    let is_label =
        |label: &str| !label.ends_with('-') && Id::new(label).is_ok() && !label.contains('_');
    if domain.len() <= 253 && domain.contains('.') && domain.split('.').all(is_label) {
        Ok(())
    } else {
        Err(format!("'{domain}' is not a domain name"))
    }
}

struct Profile<'a> {
    purpose: &'a Purpose<'a>,
    subject: Name,
}

impl BuilderProfile for Profile<'_> {
    fn get_issuer(&self, subject: &Name) -> Name {
        match self.purpose {
            Purpose::Root => subject.clone(),
            Purpose::Intermediate { root: issuer, .. }
            | Purpose::Leaf { intermediate: issuer, .. } => {
                issuer.certificate.tbs_certificate().subject().clone()
            }
        }
    }

    fn get_subject(&self) -> Name {
        self.subject.clone()
    }

    fn build_extensions(
        &self,
        own_key: SubjectPublicKeyInfoRef<'_>,
        issuer_key: SubjectPublicKeyInfoRef<'_>,
        tbs: &TbsCertificate,
    ) -> x509_cert::builder::Result<Vec<Extension>> {
        let own = SubjectKeyIdentifier::try_from(own_key)?;
        let issuer = AuthorityKeyIdentifier {
            key_identifier: Some(SubjectKeyIdentifier::try_from(issuer_key)?.0),
            ..AuthorityKeyIdentifier::default()
        };
        let (constraints, usage) = match self.purpose {
            Purpose::Root => (authority(None), KeyUsages::KeyCertSign | KeyUsages::CRLSign),
            Purpose::Intermediate { .. } => {
                (authority(Some(0)), KeyUsages::KeyCertSign | KeyUsages::CRLSign)
            }
            Purpose::Leaf { .. } => (
                BasicConstraints { ca: false, path_len_constraint: None },
                KeyUsages::DigitalSignature.into(),
            ),
        };
        let subject = tbs.subject();
        let mut extensions = vec![
            constraints.to_extension(subject, &[])?,
            KeyUsage(usage).to_extension(subject, &[])?,
            ExtendedKeyUsage(vec![ID_KP_CODE_SIGNING]).to_extension(subject, &[])?,
            own.to_extension(subject, &[])?,
            issuer.to_extension(subject, &[])?,
        ];
        match self.purpose {
            Purpose::Root => (),
            Purpose::Intermediate { domain, .. } => {
                extensions.push(only_below(domain)?.to_extension(subject, &[])?);
            }
            Purpose::Leaf { host, .. } => {
                let names = SubjectAltName(vec![dns(host)?]);
                extensions.push(names.to_extension(subject, &[])?);
            }
        }
        Ok(extensions)
    }
}

const fn authority(path_len_constraint: Option<u8>) -> BasicConstraints {
    BasicConstraints { ca: true, path_len_constraint }
}

/// Names below `domain`, and not the domain itself: the leading dot, as Mozilla has it.
fn only_below(domain: &str) -> x509_cert::der::Result<NameConstraints> {
    let base = dns(&format!(".{domain}"))?;
    Ok(NameConstraints {
        permitted_subtrees: Some(vec![GeneralSubtree { base, minimum: 0, maximum: None }]),
        excluded_subtrees: None,
    })
}

fn dns(name: &str) -> x509_cert::der::Result<GeneralName> {
    Ia5String::new(name).map(GeneralName::DnsName)
}

/// A name of letters, digits and a few signs needs no escapes.
fn subject(name: &str) -> Result<Name, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || " .-".contains(c);
    let is_trimmed = name.trim() == name && !name.is_empty();
    if !is_trimmed || !name.chars().all(is_plain) || name.len() > MAX_COMMON_NAME {
        return Err(format!(
            "'{name}' cannot be a certificate's name: at most {MAX_COMMON_NAME} letters, digits, \
             blanks, dots and hyphens"
        ));
    }
    Name::from_str(&format!("CN={name}")).map_err(told)
}

fn time(instant: Timestamp) -> Result<Time, String> {
    let seconds = u64::try_from(instant.as_millis() / 1_000).map_err(told)?;
    let instant = DateTime::from_unix_duration(Duration::from_secs(seconds)).map_err(told)?;
    Ok(Time::from(instant))
}

/// Random, positive, 16 bytes.
fn serial() -> Result<SerialNumber, String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| "the system has no randomness")?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes).map_err(told)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
