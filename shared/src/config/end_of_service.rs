//! When the service ends, and what clients are told about it (`kinto-http-api.md` §1.8).

use std::fmt::Write as _;

use http::HeaderName;
use serde_json::{Value, json};
use time::{
    Date, OffsetDateTime, PrimitiveDateTime,
    format_description::well_known::{Iso8601, Rfc3339},
};

use super::Layers;
use crate::{http::Reply, model::Timestamp};

/// When the service ends, and what clients are told about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndOfService {
    /// As the setting says it, which the hello view shows.
    pub text: String,
    /// From when on.
    pub at: Timestamp,
    message: Value,
    url: String,
}

const ALERT: HeaderName = HeaderName::from_static("alert");

impl EndOfService {
    /// Reads `eos`, `eos_message` and `eos_url`, which is `docs` by default.
    pub fn read(layers: &mut Layers, docs: &str) -> Option<Self> {
        let message = layers.optional("eos_message").map_or(Value::Null, Value::from);
        let url = layers.optional("eos_url").unwrap_or_else(|| docs.to_owned());
        let text = layers.optional("eos")?;
        let Some(at) = instant(&text) else {
            layers.problem(format!("eos is `{text}`: expected a date, as 2030-01-31"));
            return None;
        };
        Some(Self { text, at, message, url })
    }

    /// Whether the service has ended.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.at <= now
    }

    /// The value of `Alert`.
    pub fn alert(&self, now: Timestamp) -> String {
        let code = if self.is_over(now) { "hard-eol" } else { "soft-eol" };
        ascii(&json!({"code": code, "message": self.message, "url": self.url}).to_string())
    }

    /// The reply, with the header. It replaces one that an operation has set (§1.8.3).
    pub fn tell(&self, reply: Reply, now: Timestamp) -> Reply {
        reply.header_text(ALERT, &self.alert(now))
    }
}

/// JSON in which every other character is escaped: headers are ASCII.
fn ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0; 2];
    for character in json.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut units) {
            let _ = write!(out, "\\u{unit:04X}");
        }
    }
    out
}

/// A date, or a date with a time, in UTC unless it says otherwise.
fn instant(text: &str) -> Option<Timestamp> {
    let joined = text.replacen(' ', "T", 1);
    let at = OffsetDateTime::parse(&joined, &Rfc3339)
        .or_else(|_| {
            PrimitiveDateTime::parse(&joined, &Iso8601::DATE_TIME)
                .map(PrimitiveDateTime::assume_utc)
        })
        .or_else(|_| Date::parse(text, &Iso8601::DATE).map(|date| date.midnight().assume_utc()))
        .ok()?;
    let millis = at.unix_timestamp_nanos() / 1_000_000;
    Some(Timestamp::from_millis(i64::try_from(millis).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_and_without_a_time() {
        for text in [
            "2030-01-31",
            "2030-01-31 00:00:00",
            "2030-01-31T00:00",
            "2030-01-31T00:00:00Z",
            "2030-01-31T02:00:00+02:00",
        ] {
            assert_eq!(instant(text), Some(Timestamp::from_millis(1_896_048_000_000)), "{text}");
        }
        assert_eq!(instant("soon"), None);
    }

    #[test]
    fn an_alert_is_ascii() {
        assert_eq!(ascii("{\"é\":\"🦊\"}"), "{\"\\u00E9\":\"\\uD83E\\uDD8A\"}");
    }
}
