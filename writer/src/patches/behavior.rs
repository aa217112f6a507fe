//! `Response-Behavior`: what of a patched object is sent back (`kinto-http-api.md` §2.11.2).

use http::HeaderMap;
use serde_json::{Map, Value};
use shared::error::{Detail, Location};

use crate::store::objects::Object;

const LAST_MODIFIED: &str = "last_modified";

/// What the client wants to see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Behavior {
    /// The object and its permissions.
    #[default]
    Full,
    /// The members that the request changed.
    Light,
    /// The members that are not what the client sent.
    Diff,
}

impl Behavior {
    /// Reads the header; none, or an empty one, means all.
    ///
    /// # Errors
    ///
    /// The problem: the header says something else.
    pub fn parse(headers: &HeaderMap) -> Result<Self, Vec<Detail>> {
        let name = "Response-Behavior";
        // Several lines are a list (RFC 9110 §5.3), which is none of these.
        let lines = headers.get_all(name).iter().map(|line| line.to_str().unwrap_or("?").trim());
        match lines.collect::<Vec<_>>().join(",").as_str() {
            "" | "full" => Ok(Self::Full),
            "light" => Ok(Self::Light),
            "diff" => Ok(Self::Diff),
            other => {
                let text = format!("\"{other}\" is not one of full, light, diff");
                Err(vec![Detail::new(Location::Header, name, text)])
            }
        }
    }
}

/// What of a written object is shown; all of it by default.
#[derive(Debug, Default)]
pub struct Shown {
    behavior: Behavior,
    sent: Map<String, Value>,
    old: Map<String, Value>,
}

impl Shown {
    /// Remembers what was there and what was sent, where the client wants to see a difference.
    pub fn new(behavior: Behavior, sent: Map<String, Value>, old: &Object) -> Self {
        if behavior == Behavior::Full {
            return Self::default();
        }
        Self { behavior, sent, old: old.data.clone() }
    }

    /// The members to show of the object as it is now; `None` for all of it.
    pub fn members(&self, object: &Object) -> Option<Map<String, Value>> {
        if self.behavior == Behavior::Full {
            return None;
        }
        let mut members = Map::new();
        for (name, sent) in &self.sent {
            let now = match name.as_str() {
                LAST_MODIFIED => Some(object.last_modified.as_millis().into()),
                _ => object.data.get(name).cloned(),
            };
            // A timestamp always changes; a null where nothing was has changed nothing.
            let was = self.old.get(name).unwrap_or(&Value::Null);
            let changed = name == LAST_MODIFIED || was != now.as_ref().unwrap_or(&Value::Null);
            let wanted = self.behavior == Behavior::Light || now.as_ref() != Some(sent);
            if let Some(now) = now.filter(|_| changed && wanted) {
                members.insert(name.clone(), now);
            }
        }
        Some(members)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;
    use shared::model::Timestamp;

    use super::*;

    fn object(millis: i64, data: &Value) -> Object {
        Object {
            id: "r".to_owned(),
            last_modified: Timestamp::from_millis(millis),
            deleted: false,
            data: data.as_object().unwrap().clone(),
        }
    }

    fn shown(behavior: Behavior, sent: &Value) -> Value {
        let old = object(7, &json!({"n": 1, "s": "x", "gone": 1}));
        let new = object(9, &json!({"n": 2, "s": "x", "cache_expires": 12, "null": null}));
        let shown = Shown::new(behavior, sent.as_object().unwrap().clone(), &old);
        Value::from(shown.members(&new).unwrap())
    }

    #[test]
    fn only_what_was_sent_and_changed_is_shown() {
        let sent = json!({"n": 2, "s": "x", "cache_expires": "12", "gone": null, "id": "r"});

        assert_eq!(shown(Behavior::Light, &sent), json!({"n": 2, "cache_expires": 12}));
        assert_eq!(shown(Behavior::Diff, &sent), json!({"cache_expires": 12}));
        let stale = json!({"last_modified": 3});
        assert_eq!(shown(Behavior::Light, &stale), json!({"last_modified": 9}));
        assert_eq!(shown(Behavior::Light, &json!({"null": null})), json!({}));
        assert_eq!(shown(Behavior::Diff, &stale), json!({"last_modified": 9}));
    }

    #[test]
    fn the_header_is_case_sensitive() {
        let parse = |text| {
            let name = "response-behavior";
            Behavior::parse(&HeaderMap::from_iter([(
                name.parse().unwrap(),
                HeaderValue::from_static(text),
            )]))
        };

        assert_eq!(parse("light"), Ok(Behavior::Light));
        assert_eq!(parse(""), Ok(Behavior::Full));
        assert_eq!(
            parse("LIGHT").unwrap_err()[0].description,
            "\"LIGHT\" is not one of full, light, diff"
        );
        assert!(parse("light, diff").is_err());
    }
}
