//! When the TLS certificate of a signing service ends (`remote-settings.md` §1.20).

use rustls_pki_types::CertificateDer;
use shared::model::Timestamp;
use x509_cert::{Certificate, der::Decode as _};

use crate::config::TlsWarning;

const DAY: i64 = 24 * 3_600 * 1_000;

/// The days that are left, where they are few enough to be told; below 0 once it has ended.
pub(super) fn days_to_tell(
    certificate: &CertificateDer<'_>,
    rule: TlsWarning,
    now: Timestamp,
) -> Option<i64> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let validity = certificate.tbs_certificate().validity();
    let millis = |time: x509_cert::time::Time| {
        i64::try_from(time.to_unix_duration().as_millis()).unwrap_or(i64::MAX)
    };
    let (from, until) = (millis(validity.not_before), millis(validity.not_after));
    let left = (until - now.as_millis()).div_euclid(DAY);
    (left <= few(until.saturating_sub(from) / DAY, rule)).then_some(left)
}

/// How many days are few, of a lifespan of so many.
fn few(lifespan: i64, rule: TlsWarning) -> i64 {
    let share = lifespan.saturating_mul(rule.percentage) / 100;
    share.clamp(rule.min_days, rule.max_days.max(rule.min_days))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_lifespan_is_few_within_bounds() {
        let rule = TlsWarning { percentage: 5, min_days: 10, max_days: 30 };
        for (lifespan, expected) in [(90, 10), (200, 10), (365, 18), (600, 30), (3650, 30)] {
            assert_eq!(few(lifespan, rule), expected, "{lifespan}");
        }
        let upside_down = TlsWarning { max_days: 1, ..rule };
        assert_eq!(few(365, upside_down), 10);
    }
}
