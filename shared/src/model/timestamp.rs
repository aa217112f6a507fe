//! Milliseconds since the epoch: what versions, clocks and `ETag`s are made of.

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use time::{
    OffsetDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

/// An instant in whole milliseconds since the Unix epoch; never negative.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

/// The text is not a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a timestamp in milliseconds")]
pub struct InvalidTimestamp;

/// `2026-11-23T15:49:01.123456+00:00`: always six digits (`remote-settings.md` §1.7).
const ISO: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00");

impl Timestamp {
    /// The epoch.
    pub const ZERO: Self = Self(0);

    /// The latest timestamp that a client may choose: 2^53 - 1, which every client reads exactly. A
    /// list whose clock stood at the end of time could never be written again.
    pub const LATEST: Self = Self(9_007_199_254_740_991);

    /// The wall clock. Called once per request, where it enters; everything else takes `now`.
    #[expect(clippy::disallowed_methods, reason = "the one place where the clock is read")]
    pub fn now() -> Self {
        Self::from_system(SystemTime::now())
    }

    /// From the system's clock, or a file's times; zero before the epoch.
    pub fn from_system(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// From milliseconds; negative values become zero.
    pub const fn from_millis(millis: i64) -> Self {
        Self(if millis < 0 { 0 } else { millis })
    }

    /// Milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The instant `millis` later.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// The timestamp that follows `self` on a clock that shows `now`: never equal, never before.
    #[must_use]
    pub fn next(self, now: Self) -> Self {
        now.max(self.plus_millis(1))
    }

    /// Parses decimal digits, optionally between double quotes, as `_since` allows.
    ///
    /// # Errors
    ///
    /// [`InvalidTimestamp`] for anything else, one quote alone included.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let digits = match text.strip_prefix('"') {
            Some(rest) => rest.strip_suffix('"').ok_or(InvalidTimestamp)?,
            None => text,
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidTimestamp);
        }
        digits.parse().map(Self).map_err(|_| InvalidTimestamp)
    }

    /// The strong `ETag`: decimal milliseconds between double quotes.
    pub fn etag(self) -> String {
        format!("\"{}\"", self.0)
    }

    /// The same instant as an HTTP date, truncated to the second (RFC 9110 §5.6.7).
    pub fn http_date(self) -> String {
        let millis = u64::try_from(self.0).unwrap_or(0);
        // HTTP dates have four-digit years: later instants are shown as the last of them.
        let seconds = (millis / 1_000).min(253_402_300_799);
        httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    /// From ISO 8601 with an offset, as [`Self::iso8601`] or the reference writes it.
    pub fn from_iso8601(text: &str) -> Option<Self> {
        let instant = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let millis = i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok()?;
        (millis >= 0).then_some(Self(millis))
    }

    /// ISO 8601 in UTC with microseconds: `2026-11-23T15:49:01.123000+00:00`.
    pub fn iso8601(self) -> String {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|instant| instant.format(ISO).ok())
            .unwrap_or_default()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_quotes_or_none() {
        assert_eq!(Timestamp::parse("42"), Ok(Timestamp(42)));
        assert_eq!(Timestamp::parse("\"42\""), Ok(Timestamp(42)));
        for bad in ["", "\"\"", "\"42", "42\"", "-1", "+1", "1.0", "4 2", "99999999999999999999"] {
            assert_eq!(Timestamp::parse(bad), Err(InvalidTimestamp), "{bad:?}");
        }
    }

    #[test]
    fn dates_are_what_clients_parse() {
        let instant = Timestamp::from_millis(1_700_000_000_001);

        assert_eq!(instant.etag(), "\"1700000000001\"");
        assert_eq!(instant.http_date(), "Tue, 14 Nov 2023 22:13:20 GMT");
        assert_eq!(instant.iso8601(), "2023-11-14T22:13:20.001000+00:00");
        assert_eq!(Timestamp::from_iso8601(&instant.iso8601()), Some(instant));
        let whole = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(Timestamp::from_iso8601("2023-11-14T23:13:20+01:00"), Some(whole));
        assert_eq!(Timestamp::from_iso8601("2023-11-14"), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_parsed_again(millis in 0..i64::MAX) {
            let timestamp = Timestamp::from_millis(millis);
            prop_assert_eq!(Timestamp::parse(&timestamp.to_string()), Ok(timestamp));
            prop_assert_eq!(Timestamp::parse(&timestamp.etag()), Ok(timestamp));
            let _ = (timestamp.http_date(), timestamp.iso8601());
        }

        #[test]
        fn time_never_stands_still(last in 0..i64::MAX - 1, now in 0..i64::MAX) {
            let (last, now) = (Timestamp(last), Timestamp(now));
            prop_assert!(last.next(now) > last && last.next(now) >= now);
        }
    }
}
