//! Where certificate chains are: the URLs (`x5u`) in signatures, and their paths at the reader.
//!
//! # Source
//!
//! `remote-settings.md` §2.8, §6.5 and D24.

use http::Uri;
use serde_json::{Map, Value};

/// Where the reader serves chains.
pub const CHAINS: &str = "/v1/cert-chains/";

/// The path of a chain below [`CHAINS`]; `None` when `x5u` is not an absolute URL with a path.
pub fn chain_path(x5u: &str) -> Option<String> {
    let uri = absolute(x5u)?;
    let path = uri.path();
    let path = path.strip_prefix(CHAINS).or_else(|| path.strip_prefix('/'))?;
    Some(path.to_owned()).filter(|path| !path.is_empty())
}

/// The URL of a chain from a setting: the URL itself or, when it ends in a slash, the place where
/// chains are.
///
/// # Errors
///
/// What is expected, as text.
pub fn chain_url(setting: &str, file_name: &str) -> Result<String, &'static str> {
    let is_place = setting.ends_with('/');
    let url = if is_place { format!("{setting}{file_name}") } else { setting.to_owned() };
    let is_url = absolute(&url).is_some_and(|uri| uri.query().is_none());
    let is_plain = !url.contains('#') && !url.contains('?');
    if is_url && is_plain && chain_path(&url).is_some() {
        Ok(url)
    } else {
        Err("should be an absolute URL, of a chain or, ending in a slash, of the place of chains")
    }
}

/// Where clients shall fetch chains, instead of where their signatures say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainsBase {
    /// `scheme://host`
    origin: String,
    /// Empty, or with a slash at its beginning and none at its end.
    path: String,
}

impl ChainsBase {
    /// Parses an absolute URL.
    ///
    /// # Errors
    ///
    /// What is expected, as text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri = absolute(text)
            .filter(|uri| uri.query().is_none() && !text.contains('#'))
            .ok_or("should be an absolute URL")?;
        let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
        let scheme = uri.scheme_str().unwrap_or_default();
        let path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self { origin: format!("{scheme}://{authority}"), path })
    }

    /// Replaces scheme and host of an `x5u`, and keeps its path, below ours where it is not there
    /// yet. What is not an absolute URL stays as it is.
    pub fn rewrite(&self, x5u: &str) -> String {
        let Some(uri) = absolute(x5u) else { return x5u.to_owned() };
        let path = uri.path();
        let is_below = path.strip_prefix(&self.path).is_some_and(|rest| rest.starts_with('/'));
        let prefix = if is_below { "" } else { &self.path };
        format!("{}{prefix}{path}", self.origin)
    }

    /// Rewrites each signature of a collection's metadata, each with its own path (D24).
    pub fn rewrite_all(&self, metadata: &mut Map<String, Value>) {
        for entry in entries_mut(metadata) {
            if let Some(Value::String(x5u)) = entry.get_mut("x5u") {
                *x5u = self.rewrite(x5u);
            }
        }
    }
}

/// `signature`, and the items of `signatures`.
fn entries_mut(metadata: &mut Map<String, Value>) -> impl Iterator<Item = &mut Value> {
    metadata
        .iter_mut()
        .filter(|(name, _)| ["signature", "signatures"].contains(&name.as_str()))
        .flat_map(|(_, value)| {
            if value.is_array() {
                value.as_array_mut().into_iter().flatten().collect()
            } else {
                vec![value]
            }
        })
}

/// An absolute http or https URL.
fn absolute(url: &str) -> Option<Uri> {
    let uri: Uri = url.parse().ok()?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    (is_http && uri.host().is_some_and(|host| !host.is_empty())).then_some(uri)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn d24_each_signature_keeps_its_own_path() {
        let base = ChainsBase::parse("https://cdn.example/v1/cert-chains/").unwrap();
        let mut metadata = json!({
            "signature": {"x5u": "https://a/g/chains/1/x.chain", "mode": "p384ecdsa"},
            "signatures": [
                {"x5u": "https://a/g/chains/1/x.chain"},
                {"x5u": "http://reader:8889/v1/cert-chains/y.chain"},
                {"x5u": ""},
                {"x5u": "relative"},
                7,
            ],
            "attachment": {"x5u": "https://a/b"},
        });

        base.rewrite_all(metadata.as_object_mut().unwrap());

        let first = "https://cdn.example/v1/cert-chains/g/chains/1/x.chain";
        assert_eq!(
            metadata,
            json!({
                "signature": {"x5u": first, "mode": "p384ecdsa"},
                "signatures": [
                    {"x5u": first},
                    {"x5u": "https://cdn.example/v1/cert-chains/y.chain"},
                    {"x5u": ""},
                    {"x5u": "relative"},
                    7,
                ],
                "attachment": {"x5u": "https://a/b"},
            })
        );
        assert_eq!(chain_path(first).as_deref(), Some("g/chains/1/x.chain"));
    }

    #[test]
    fn without_a_path_only_the_host_is_replaced() {
        let base = ChainsBase::parse("https://cdn.example").unwrap();

        assert_eq!(base.rewrite("http://a:1/g/x.chain"), "https://cdn.example/g/x.chain");
        assert_eq!(
            base.rewrite("http://a/v1/cert-chains/x"),
            "https://cdn.example/v1/cert-chains/x"
        );
        for wrong in
            ["", "cdn.example", "/v1/cert-chains/", "ftp://a/b", "https://a/?b", "https://"]
        {
            assert!(ChainsBase::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_setting_names_a_chain_or_a_place() {
        let place = "https://r.example/v1/cert-chains/";
        assert_eq!(chain_url(place, "a.chain"), Ok(format!("{place}a.chain")));
        assert_eq!(chain_url("https://s/x.chain", "a"), Ok("https://s/x.chain".to_owned()));
        for wrong in
            ["", "r.example/", "https://r.example/?a=", "https://r.example/#a", "https://r"]
        {
            assert!(chain_url(wrong, "a.chain").is_err(), "{wrong}");
        }
        assert_eq!(chain_path("https://r.example/v1/cert-chains/a.chain").unwrap(), "a.chain");
        assert_eq!(chain_path("https://r.example"), None);
        assert_eq!(chain_path(""), None);
    }
}
