//! The body of a list, written object by object.

use crate::error::ApiError;
use serde::Serialize;
use serde_json::{Map, Value};

/// `{"data":[…]}` in the making: one object at a time is in memory as more than its text.
#[derive(Debug)]
pub struct Body(Vec<u8>);

const START: &[u8] = b"{\"data\":[";

impl Default for Body {
    fn default() -> Self {
        Self(START.to_vec())
    }
}

impl Body {
    /// Adds an object.
    ///
    /// # Errors
    ///
    /// [`ApiError::Internal`] when it cannot be JSON, which a map of values always can.
    pub fn push(&mut self, object: &Map<String, Value>) -> Result<(), ApiError> {
        self.separate();
        object
            .serialize(&mut serde_json::Serializer::new(&mut self.0))
            .map_err(|error| ApiError::Internal(error.into()))
    }

    /// Adds an object that is JSON already.
    pub fn push_json(&mut self, object: &[u8]) {
        self.separate();
        self.0.extend_from_slice(object);
    }

    fn separate(&mut self) {
        if self.0.len() > START.len() {
            self.0.push(b',');
        }
    }

    /// The finished text.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"]}");
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_separated_by_commas() {
        for count in 0..3 {
            let mut body = Body::default();
            let objects: Vec<Value> = (0..count).map(|n| json!({"n": n})).collect();
            for object in &objects {
                body.push(object.as_object().unwrap()).unwrap();
            }
            let text = json!({"data": objects}).to_string();
            assert_eq!(String::from_utf8(body.finish()).unwrap(), text);
        }
    }
}
