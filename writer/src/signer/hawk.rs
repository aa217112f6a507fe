//! Signing a request with a shared secret: Hawk, as Autograph wants it (`remote-settings.md` §2.7).

use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Method, Uri};

/// What of a request its `Authorization` vouches for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signed<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its URL, absolute.
    pub uri: &'a Uri,
    /// Its `Content-Type`, without parameters.
    pub content_type: &'a str,
    /// Its body, byte for byte.
    pub body: &'a [u8],
    /// When it is sent, in seconds since the epoch.
    pub seconds: i64,
    /// A text that is never used again.
    pub nonce: &'a str,
}

impl Signed<'_> {
    /// The value of `Authorization`.
    pub(super) fn authorization(&self, id: &str, secret: &str) -> String {
        let hash = self.payload_hash();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let mac = STANDARD.encode(hmac::sign(&key, self.normalized(&hash).as_bytes()));
        let (seconds, nonce) = (self.seconds, self.nonce);
        format!(r#"Hawk id="{id}", ts="{seconds}", nonce="{nonce}", hash="{hash}", mac="{mac}""#)
    }

    fn payload_hash(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [b"hawk.1.payload\n", self.content_type.as_bytes(), b"\n", self.body, b"\n"] {
            context.update(part);
        }
        STANDARD.encode(context.finish())
    }

    /// No `ext`: its line stays empty.
    fn normalized(&self, payload_hash: &str) -> String {
        let Self { method, uri, seconds, nonce, .. } = self;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let host = uri.host().unwrap_or_default().to_lowercase();
        let default_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default_port);
        format!(
            "hawk.1.header\n{seconds}\n{nonce}\n{method}\n{target}\n{host}\n{port}\n{payload_hash}\n\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    fn parameters(header: &str) -> BTreeMap<String, String> {
        let parameters = header.strip_prefix("Hawk ").unwrap().split(", ");
        let pairs = parameters.map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.trim_matches('"').to_owned())).collect()
    }

    #[test]
    fn the_request_is_that_of_the_vector() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/tests/vectors/signatures.json");
        let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let vector = &vectors["hawk"];
        let text = |name: &str| vector[name].as_str().unwrap();
        let (method, uri) = (text("method").parse().unwrap(), text("url").parse().unwrap());
        let signed = Signed {
            method: &method,
            uri: &uri,
            content_type: text("content_type"),
            body: text("body").as_bytes(),
            seconds: vector["ts"].as_i64().unwrap(),
            nonce: text("nonce"),
        };
        let credentials = &vector["credentials"];
        let credential = |name: &str| credentials[name].as_str().unwrap();

        let header = signed.authorization(credential("id"), credential("key"));

        assert_eq!(credential("algorithm"), "sha256");
        assert_eq!(signed.payload_hash(), text("payload_hash"));
        assert_eq!(signed.normalized(text("payload_hash")), text("normalized"));
        assert_eq!(parameters(&header)["mac"], text("mac"));
        assert_eq!(parameters(&header), parameters(text("authorization")));
    }

    #[test]
    fn a_port_that_goes_without_saying_is_said() {
        for (url, line) in [
            ("https://Sign.example/x?a=b", "\n/x?a=b\nsign.example\n443\n"),
            ("http://sign.example", "\n/\nsign.example\n80\n"),
            ("https://sign.example:80/", "\n/\nsign.example\n80\n"),
        ] {
            let (method, uri) = (Method::POST, url.parse().unwrap());
            let (content_type, body) = ("application/json", b"".as_slice());
            let signed =
                Signed { method: &method, uri: &uri, content_type, body, seconds: 1, nonce: "n" };
            assert!(signed.normalized("").contains(line), "{url}");
        }
    }
}
