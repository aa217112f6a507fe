//! All forms of a body.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::{
    Accepted, Dress, Encoding, Prepared,
    compress::{Pace, compress},
};

/// Bodies up to this size get all their forms before they are shown. Of larger ones zstd and brotli
/// follow, so that a publication is seen at once.
const AT_ONCE: usize = 32 * 1024;

/// A body in each encoding. Once there, a form stays as it is.
#[derive(Debug)]
pub struct Forms {
    identity: Arc<Prepared>,
    gzip: Option<Arc<Prepared>>,
    /// Unset while they are not made yet; `None` where they would not be smaller.
    zstd: OnceLock<Option<Arc<Prepared>>>,
    brotli: OnceLock<Option<Arc<Prepared>>>,
}

impl Forms {
    /// Prepares `body`: plain and gzip at once, the others where `is_patient`.
    pub fn new(body: Bytes, dress: &Dress, is_patient: bool) -> Self {
        let forms = Self {
            gzip: form(&body, Encoding::Gzip, dress),
            zstd: OnceLock::new(),
            brotli: OnceLock::new(),
            identity: Arc::new(Prepared::new(body, Encoding::Identity, dress)),
        };
        if is_patient && forms.plain().len() <= AT_ONCE {
            forms.complete(dress);
        }
        forms
    }

    /// Makes the forms that are missing: seconds for a body of some megabytes.
    pub fn complete(&self, dress: &Dress) {
        self.zstd.get_or_init(|| form(self.plain(), Encoding::Zstd, dress));
        self.brotli.get_or_init(|| form(self.plain(), Encoding::Brotli, dress));
    }

    /// Whether every form is there.
    pub fn is_complete(&self) -> bool {
        self.zstd.get().is_some() && self.brotli.get().is_some()
    }

    /// The form that the client prefers among those that are there.
    pub fn best(&self, accepted: Accepted) -> &Arc<Prepared> {
        accepted.preferred().find_map(|encoding| self.get(encoding)).unwrap_or(&self.identity)
    }

    fn get(&self, encoding: Encoding) -> Option<&Arc<Prepared>> {
        match encoding {
            Encoding::Identity => Some(&self.identity),
            Encoding::Gzip => self.gzip.as_ref(),
            Encoding::Zstd => self.zstd.get()?.as_ref(),
            Encoding::Brotli => self.brotli.get()?.as_ref(),
        }
    }

    /// The body as it is.
    pub fn plain(&self) -> &Bytes {
        self.identity.body().bytes()
    }

    /// The body as gzip, where that is smaller.
    pub fn gzip(&self) -> Option<Bytes> {
        self.gzip.as_ref().map(|form| form.body().bytes().clone())
    }

    /// Memory that all take, in bytes.
    pub fn bytes(&self) -> usize {
        Encoding::ALL.iter().filter_map(|&encoding| self.get(encoding)).map(|f| f.weight()).sum()
    }
}

fn form(body: &[u8], encoding: Encoding, dress: &Dress) -> Option<Arc<Prepared>> {
    let small = compress(body, encoding, Pace::Thorough)?;
    Some(Arc::new(Prepared::new(small, encoding, dress)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(forms: &Forms, accept: &str) -> Option<String> {
        let accepted = Accepted::parse(std::iter::once(accept.as_bytes()));
        let headers = forms.best(accepted).headers();
        headers.get("content-encoding").map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_form_that_is_not_there_yet_is_passed_over() {
        let body = Bytes::from("countersign ".repeat(AT_ONCE / 12 + 1));
        let forms = Forms::new(body, &Dress::default(), true);

        assert!(!forms.is_complete());
        assert_eq!(best(&forms, "br, gzip").as_deref(), Some("gzip"));
        assert_eq!(best(&forms, "br"), None);

        forms.complete(&Dress::default());

        assert_eq!(best(&forms, "br, gzip").as_deref(), Some("br"));
        assert_eq!(best(&forms, "zstd, gzip").as_deref(), Some("zstd"));
    }

    #[test]
    fn a_small_body_has_all_forms_at_once_and_a_tiny_one_needs_none() {
        let small = Forms::new("countersign ".repeat(50).into(), &Dress::default(), true);
        assert_eq!(best(&small, "gzip, br").as_deref(), Some("br"));

        let tiny = Forms::new("{}".into(), &Dress::default(), true);
        assert!(tiny.is_complete());
        assert_eq!(best(&tiny, "gzip, br"), None);
    }
}
