//! How long caches may keep an answer (`remote-settings.md` §3.7 and §3.8).

use std::io::Write as _;

use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, EXPIRES, PRAGMA},
};
use shared::model::Timestamp;

use super::Dates;

const NEVER: &str = "max-age=0, must-revalidate, no-cache, no-store";

/// How long an answer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Nothing is said.
    Unset,
    /// It must not be kept.
    Never,
    /// So many seconds, then with [`Grace`].
    Seconds(u32),
    /// So many seconds and no longer: newer bytes of this URL are on their way.
    Strictly(u32),
    /// So many seconds at the client who asked, and at no cache of many clients.
    Privately(u32),
}

/// What caches may do with an answer whose life is over (RFC 5861), in seconds; 0 is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    /// Serve it once more while they fetch a new one.
    pub revalidating: u32,
    /// Serve it while the origin fails.
    pub failing: u32,
}

impl Lifetime {
    /// The lifetime of `seconds`, as settings give it: none says nothing, 0 forbids.
    pub fn of(seconds: Option<u32>, is_stale: bool) -> Self {
        match seconds {
            None => Self::Unset,
            Some(0) => Self::Never,
            Some(seconds) if is_stale => Self::Strictly(seconds),
            Some(seconds) => Self::Seconds(seconds),
        }
    }

    /// The same for the client alone. Where nothing is said, caches would decide by themselves.
    pub fn private(self) -> Self {
        match self {
            Self::Unset | Self::Never => Self::Never,
            Self::Seconds(seconds) | Self::Strictly(seconds) | Self::Privately(seconds) => {
                Self::Privately(seconds)
            }
        }
    }

    fn seconds(self) -> Option<u32> {
        match self {
            Self::Unset => None,
            Self::Never => Some(0),
            Self::Seconds(seconds) | Self::Strictly(seconds) | Self::Privately(seconds) => {
                Some(seconds)
            }
        }
    }

    /// Writes the value of `Cache-Control`. What is revalidated is served no longer than it lived.
    fn push_control(self, out: &mut Vec<u8>, grace: Grace) {
        let Some(seconds) = self.seconds() else { return };
        if seconds == 0 {
            out.extend_from_slice(NEVER.as_bytes());
            return;
        }
        if self == Self::Privately(seconds) {
            out.extend_from_slice(b"private, ");
        }
        // Writing to a vector cannot fail.
        let _ = write!(out, "max-age={seconds}");
        if matches!(self, Self::Strictly(_) | Self::Privately(_)) {
            return;
        }
        if grace.revalidating > 0 {
            let _ = write!(out, ", stale-while-revalidate={}", grace.revalidating.min(seconds));
        }
        if grace.failing > 0 {
            let _ = write!(out, ", stale-if-error={}", grace.failing);
        }
    }

    /// Adds its headers to a map.
    pub fn add_to(self, headers: &mut HeaderMap, grace: Grace, now: Timestamp) {
        let Some(seconds) = self.seconds() else { return };
        let mut control = Vec::new();
        self.push_control(&mut control, grace);
        let value = HeaderValue::from_bytes(&control);
        headers.insert(CACHE_CONTROL, value.unwrap_or(HeaderValue::from_static(NEVER)));
        if seconds == 0 {
            headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        }
        let expires = now.plus_millis(i64::from(seconds) * 1_000).http_date();
        if let Ok(expires) = HeaderValue::try_from(expires) {
            headers.insert(EXPIRES, expires);
        }
    }

    /// Writes the same as lines of HTTP/1.1.
    pub fn push(self, out: &mut Vec<u8>, grace: Grace, now: Timestamp, dates: &mut Dates) {
        let Some(seconds) = self.seconds() else { return };
        out.extend_from_slice(b"cache-control: ");
        self.push_control(out, grace);
        if seconds == 0 {
            out.extend_from_slice(b"\r\npragma: no-cache");
        }
        out.extend_from_slice(b"\r\nexpires: ");
        out.extend_from_slice(dates.at(now.plus_millis(i64::from(seconds) * 1_000)));
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::prepared::push_headers;

    const GRACE: Grace = Grace { revalidating: 60, failing: 3_600 };
    const NOW: Timestamp = Timestamp::from_millis(1_795_448_131_494);

    fn control(lifetime: Lifetime) -> String {
        let mut headers = HeaderMap::new();
        lifetime.add_to(&mut headers, GRACE, NOW);
        headers.get(CACHE_CONTROL).map_or("", |value| value.to_str().unwrap()).to_owned()
    }

    #[test]
    fn grace_ends_where_newer_bytes_are_on_their_way() {
        let of = |seconds, is_stale| control(Lifetime::of(seconds, is_stale));

        assert_eq!(
            of(Some(3_600), false),
            "max-age=3600, stale-while-revalidate=60, stale-if-error=3600"
        );
        assert_eq!(of(Some(5), false), "max-age=5, stale-while-revalidate=5, stale-if-error=3600");
        assert_eq!(of(Some(5), true), "max-age=5");
        assert_eq!(of(Some(0), true), NEVER);
        assert_eq!(of(None, false), "");
    }

    #[test]
    fn what_is_private_is_never_more_public_than_it_was() {
        let private = |seconds, is_stale| control(Lifetime::of(seconds, is_stale).private());

        assert_eq!(private(Some(3_600), false), "private, max-age=3600");
        assert_eq!(private(Some(5), true), "private, max-age=5");
        assert_eq!(private(Some(0), false), NEVER);
        assert_eq!(private(None, false), NEVER);
    }

    #[test]
    fn lines_and_map_say_the_same() {
        let mut dates = Dates::default();
        for seconds in [None, Some(0), Some(60), Some(u32::MAX)] {
            for is_stale in [false, true] {
                let lifetime = Lifetime::of(seconds, is_stale);
                let lifetime = if seconds == Some(60) { lifetime.private() } else { lifetime };
                let (mut lines, mut expected, mut headers) =
                    (Vec::new(), Vec::new(), HeaderMap::new());
                lifetime.push(&mut lines, GRACE, NOW, &mut dates);
                lifetime.add_to(&mut headers, GRACE, NOW);
                push_headers(&mut expected, &headers);
                assert_eq!(String::from_utf8(lines), String::from_utf8(expected));
            }
        }
    }
}
