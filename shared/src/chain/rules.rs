//! The rules of a chain, one function each.

use std::time::Duration;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage as Usage, anchor_from_trusted_cert};
use x509_cert::{
    Certificate,
    der::{asn1::ObjectIdentifier, oid::db::rfc5280::ID_KP_CODE_SIGNING},
    ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName, name::GeneralName},
    time::Time,
};

use super::{ChainError, Role};
use crate::model::Timestamp;

/// [`CODE_SIGNING_OID`] as DER content.
const CODE_SIGNING: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
const CODE_SIGNING_OID: ObjectIdentifier = ID_KP_CODE_SIGNING;

/// The first and the last moment of a certificate.
pub(super) fn validity(certificate: &Certificate) -> (Timestamp, Timestamp) {
    let instant = |time: Time| {
        let millis = time.to_unix_duration().as_millis();
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    };
    let validity = certificate.tbs_certificate().validity();
    (instant(validity.not_before), instant(validity.not_after))
}

/// All three, the root included, which path building takes for granted.
pub(super) fn check_validity(chain: &[Certificate; 3], now: Timestamp) -> Result<(), ChainError> {
    for (role, certificate) in Role::ALL.into_iter().zip(chain) {
        let (from, until) = validity(certificate);
        if now < from {
            return Err(ChainError::Early(role));
        }
        if until < now {
            return Err(ChainError::Expired(role));
        }
    }
    Ok(())
}

/// Issuers are authorities, the root its own; all are for signing code. A key usage, where there
/// is one, must allow what the key does.
pub(super) fn check_purposes(chain: &[Certificate; 3]) -> Result<(), ChainError> {
    for (role, certificate) in Role::ALL.into_iter().zip(chain) {
        let refuse = |reason| Err(ChainError::Purpose(role, reason));
        let tbs = certificate.tbs_certificate();
        let is_authority = matches!(
            tbs.get_extension::<BasicConstraints>(),
            Ok(Some((_, BasicConstraints { ca: true, .. })))
        );
        if is_authority != (role != Role::Leaf) {
            return refuse(if is_authority {
                "is a certificate authority's"
            } else {
                "is not a certificate authority's"
            });
        }
        match tbs.get_extension::<ExtendedKeyUsage>() {
            Ok(Some((_, ExtendedKeyUsage(usages)))) if usages.contains(&CODE_SIGNING_OID) => (),
            _ => return refuse("is not for code signing"),
        }
        match tbs.get_extension::<KeyUsage>() {
            Ok(None) => (),
            Ok(Some((_, usage))) if role == Role::Leaf && usage.digital_signature() => (),
            Ok(Some((_, usage))) if role != Role::Leaf && usage.key_cert_sign() => (),
            _ => return refuse("has a key that may not sign"),
        }
        if role == Role::Root && tbs.issuer() != tbs.subject() {
            return refuse("is not self-issued");
        }
    }
    Ok(())
}

/// Signatures, code signing, and the intermediate's name constraints.
pub(super) fn check_path(
    [leaf, intermediate, root]: &[CertificateDer<'_>; 3],
    now: Timestamp,
) -> Result<(), ChainError> {
    let anchor = anchor_from_trusted_cert(root).map_err(|error| path_error(&error))?;
    let seconds = u64::try_from(now.as_millis() / 1_000).unwrap_or(0);
    EndEntityCert::try_from(leaf)
        .and_then(|end_entity| {
            end_entity
                .verify_for_usage(
                    ALL_VERIFICATION_ALGS,
                    &[anchor],
                    std::slice::from_ref(intermediate),
                    UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                    Usage::required(CODE_SIGNING),
                    None,
                    None,
                )
                .map(drop)
        })
        .map_err(|error| path_error(&error))
}

fn path_error(error: &webpki::Error) -> ChainError {
    ChainError::Path(error.to_string())
}

/// Browsers read the alternative names, the Rust client the common name: both must be `host`.
#[expect(clippy::wildcard_enum_match_arm, reason = "the other kinds of name do not name hosts")]
pub(super) fn check_name(leaf: &Certificate, host: &str) -> Result<(), ChainError> {
    let names = leaf.tbs_certificate().get_extension::<SubjectAltName>();
    let is_alternative = names.ok().flatten().is_some_and(|(_, SubjectAltName(names))| {
        names.iter().any(|name| match name {
            GeneralName::DnsName(dns) => dns.as_str().eq_ignore_ascii_case(host),
            _ => false,
        })
    });
    let is_common = common_name(leaf).is_some_and(|name| name.eq_ignore_ascii_case(host));
    if is_alternative && is_common { Ok(()) } else { Err(ChainError::Name(host.to_owned())) }
}

/// The subject's common name.
pub(super) fn common_name(certificate: &Certificate) -> Option<String> {
    let name = certificate.tbs_certificate().subject().common_name().ok().flatten()?;
    Some(name.value().into_owned())
}
